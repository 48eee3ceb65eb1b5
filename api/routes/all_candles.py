"""Candles of a symbol that are made of trades, and the venue's own where there are none."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import encode_remaining
from api.http.problems import bad_parameter
from api.http.whole_lists import answer
from api.queries.candles import OpenTimeRange, read_page_of_all
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import RangePage, RangePageRequest, SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, Next, Service
from api.views.candles import AnyCandleView
from api.views.fields import SymbolName
from db.venue_candles import read_changed_at
from tickplant.intervals import BASE, INTERVALS


class AllCandlesPage(Struct, frozen=True):
    """Candles by open time, oldest first."""

    symbol: SymbolName
    interval: str
    candles: list[AnyCandleView]
    next: Next


StoredInterval = Annotated[
    str,
    QueryParameter(
        description=f"The candles' length: {', '.join(INTERVALS)}; {BASE} if not given.",
        examples=[Example(value="1d")],
        schema_extra={"pattern": f"^(?:{'|'.join(INTERVALS)})$"},
    ),
]


@get(
    "/all-candles/{symbol:path}",
    summary="Candles of trades, and the venue's own",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_all_candles(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    range_page: RangePage,
    interval: StoredInterval = BASE,
) -> AllCandlesPage:
    """List candles as `/ohlcv` does, and the venue's own, imported from its files, where those lack trades.

    Each says by `origin` which it is. One open time has one candle: that of our trades, unless the venue has
    counted more trades in it than are stored.
    """
    symbol_id = await resolve(directory, symbol)
    if interval not in INTERVALS:
        raise bad_parameter("interval", f"{interval[:20]!r} is not one of {', '.join(INTERVALS)}")

    async def read(page_request: RangePageRequest) -> AllCandlesPage:
        requested = page_request.time_range(f"all-candles/{symbol_id}/{interval}")
        candles, remaining = await read_page_of_all(
            history,
            symbol_id,
            interval,
            OpenTimeRange(requested.low[0], requested.high[0]),
            page_request.limit,
            newest=requested.newest,
        )
        return AllCandlesPage(str(symbol_id), interval, candles, encode_remaining(requested, remaining))

    async def state() -> str:
        async with history.snapshot() as connection:
            changed_at = await read_changed_at(connection, symbol_id)
        return f"{await history.state(symbol_id)} {changed_at}"

    return await answer(range_page, read, lambda page: page.candles, AnyCandleView, state)
