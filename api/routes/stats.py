"""24-hour statistics of symbols, and statistics of the returns of minutes."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import MAX_PAGE_LENGTH, cut_range
from api.http.problems import Problem
from api.http.whole_lists import answer
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import RangePage, RangePageRequest, SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.views.fields import SymbolName
from api.views.stats import ChangeView, Order, Sort, StatisticsView, change_view, ranked, statistics_view
from db.stats import read_changes_24h, read_statistics


class Change24hList(Struct, frozen=True):
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
        description="What to sort symbols by. `volume` is in base currency, and so compares only symbols of"
        " one base currency; `quote_volume` only those of one quote currency.",
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
SymbolsLimit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_LENGTH, description="The most symbols.")]


@get(
    "/24h-change/{symbol:path}",
    summary="Last 24 hours of a symbol",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_24h_change(
    symbol: SymbolText, directory: Service[SymbolDirectory], history: Service[StoredHistory]
) -> ChangeView:
    """Return open, last, high, low, change and sums of the last 24 hours, to the minute.

    The window starts at a full minute and ends at the venue's time, so that it is up to a minute shorter than
    24 hours. If the symbol's first trade is later than its start, `partial` is true and `covers_from` is the
    time of that trade.
    """
    symbol_id = await resolve(directory, symbol)
    async with history.snapshot() as connection:
        changes = await read_changes_24h(connection, [symbol_id])
    if not changes:
        raise Problem(404, "no_price", f"{symbol_id} has not traded yet")
    return change_view(changes[0])


@get(
    "/24h-change",
    summary="Last 24 hours of all symbols",
    tags=["derived"],
    responses=BAD_PARAMETER | UNAVAILABLE,
)
async def get_24h_changes(
    history: Service[StoredHistory],
    sort: SortText = "quote_volume",
    order: OrderText = "desc",
    limit: SymbolsLimit = MAX_PAGE_LENGTH,
) -> Change24hList:
    """Return the last 24 hours of all symbols that have ever traded, in order: a market overview."""
    async with history.snapshot() as connection:
        changes = await read_changes_24h(connection)
    return Change24hList([change_view(change) for change in ranked(changes, sort, order)[:limit]])


@get(
    "/statistics/{symbol:path}",
    summary="Statistics of returns",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_statistics(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    range_page: RangePage,
) -> StatisticsPage:
    """List statistics of the return of each closed minute relative to those before, oldest first.

    Pages are those of `ohlcv`. Quartiles are interpolated linearly, as numpy's `percentile` does.
    """
    symbol_id = await resolve(directory, symbol)

    async def read(page_request: RangePageRequest) -> StatisticsPage:
        requested = page_request.time_range(f"statistics/{symbol_id}")
        async with history.snapshot() as connection:
            statistics = await read_statistics(
                connection,
                symbol_id,
                start_us=requested.low[0],
                end_us=requested.high[0],
                limit=page_request.limit + 1,
                newest=requested.newest,
            )
        # The start of a range is inclusive.
        step_us = 0 if requested.newest else 1
        page, next_ = cut_range(
            statistics, page_request.limit, requested, lambda minute: (minute.open_time_us + step_us, 0)
        )
        return StatisticsPage(str(symbol_id), [statistics_view(minute) for minute in page], next_)

    return await answer(
        range_page, read, lambda page: page.statistics, StatisticsView, lambda: history.state(symbol_id)
    )
