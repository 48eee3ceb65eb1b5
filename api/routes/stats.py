"""The last 24 hours of symbols, and how each minute's return lies among those before it."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import MOST, USUAL, RestOfTimes, cut_page, write_rest
from api.http.problems import Problem
from api.queries.directory import Directory
from api.queries.history import History
from api.routes.answers import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.routes.parameters import After, EndText, Limit, StartText, SymbolText, parse_range, resolve
from api.views.stats import ChangeView, Order, Sort, StatisticsView, change_view, ranked, statistics_view
from api.views.trades import SymbolName
from db.stats import read_changes_24h, read_statistics


class Changes(Struct, frozen=True):
    """The last 24 hours of every symbol that has ever traded."""

    symbols: list[ChangeView]


class StatisticsPage(Struct, frozen=True):
    """Statistics of minutes by open time, oldest first."""

    symbol: SymbolName
    statistics: list[StatisticsView]
    next: Next


SortText = Annotated[
    Sort,
    QueryParameter(
        description="What to order symbols by. `volume` is in base currency, so that it compares symbols of"
        " one base only, as `quote_volume` does those of one quote currency.",
        examples=[Example(value="percent")],
    ),
]
OrderText = Annotated[
    Order,
    QueryParameter(
        description="Descending or ascending; symbols without trades in the window are last in both.",
        examples=[Example(value="asc")],
    ),
]
Most = Annotated[int, QueryParameter(ge=1, le=MOST, description="The most symbols.")]


@get(
    "/24h-change/{symbol:path}",
    summary="Last 24 hours of a symbol",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_24h_change(
    symbol: SymbolText, directory: Service[Directory], history: Service[History]
) -> ChangeView:
    """Return open, last, high, low, change and sums over the last 24 hours by the minute.

    The window begins with a full minute and ends with the venue's time, so that it is 24 hours long, less up
    to a minute. Where the symbol's first trade is younger than that, `partial` is true and `covers_from` says
    from when on it counts.
    """
    found = await resolve(directory, symbol)
    async with history.at_once() as connection:
        changes = await read_changes_24h(connection, [found])
    if not changes:
        raise Problem(404, "no_price", f"{found} has not traded yet")
    return change_view(changes[0])


@get(
    "/24h-change",
    summary="Last 24 hours of all symbols",
    tags=["derived"],
    responses=BAD_PARAMETER | UNAVAILABLE,
)
async def get_24h_changes(
    history: Service[History],
    sort: SortText = "quote_volume",
    order: OrderText = "desc",
    limit: Most = MOST,
) -> Changes:
    """Return the last 24 hours of all symbols that have ever traded, in order: a market overview."""
    async with history.at_once() as connection:
        changes = await read_changes_24h(connection)
    return Changes([change_view(change) for change in ranked(changes, sort, order)[:limit]])


@get(
    "/statistics/{symbol:path}",
    summary="Statistics of returns",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_statistics(
    symbol: SymbolText,
    directory: Service[Directory],
    history: Service[History],
    start: StartText = None,
    end: EndText = None,
    limit: Limit = USUAL,
    after: After = None,
) -> StatisticsPage:
    """List how the return of each closed minute lies among those before it, oldest first on every page.

    Pages are those of `ohlcv`. Quartiles are interpolated linearly, as numpy's `percentile` does.
    """
    found = await resolve(directory, symbol)
    asked = parse_range(start, end, after, f"statistics/{found}")
    async with history.at_once() as connection:
        statistics = await read_statistics(
            connection,
            found,
            start_us=asked.low[0],
            end_us=asked.high[0],
            limit=limit + 1,
            newest=asked.newest,
        )
    page = cut_page(statistics, limit, newest=asked.newest)
    rest = None
    if page.following and asked.newest:
        rest = RestOfTimes(asked.of, True, asked.low, (page.rows[0].open_time_us, 0))
    elif page.following:
        rest = RestOfTimes(asked.of, False, (page.following.open_time_us, 0), asked.high)
    return StatisticsPage(str(found), [statistics_view(row) for row in page.rows], write_rest(rest))
