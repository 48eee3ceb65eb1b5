"""Candles of a symbol."""

from typing import Annotated, Final

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import encode_remaining
from api.http.problems import bad_parameter, conflict
from api.http.whole_lists import answer
from api.live.hub import Hub
from api.queries.candles import Fill, OpenTimeRange, read_committed_page
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import RangePage, RangePageRequest, SymbolText, resolve
from api.routes.responses import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    LiveCursor,
    Next,
    Service,
)
from api.views.candles import CandleView
from api.views.fields import SymbolName
from tickplant.intervals import BASE, CANDLE_INTERVALS, MERGED
from tickplant.near_matches import nearest


class CandlesPage(Struct, frozen=True):
    """Candles by open time, oldest first."""

    symbol: SymbolName
    interval: str
    candles: list[CandleView]
    next: Next
    cursor: LiveCursor


KNOWN_INTERVALS: Final = {"pattern": f"^(?:{'|'.join(CANDLE_INTERVALS)})$"}

IntervalText = Annotated[
    str | None,
    QueryParameter(
        description=f"The candles' length: {', '.join(CANDLE_INTERVALS)}; {BASE} if not given."
        " Candles of one second are computed from trades, and reach back as far as trades are stored;"
        f" those of {', '.join(MERGED)} are merged from stored candles.",
        examples=[Example(value="1m")],
        schema_extra=KNOWN_INTERVALS,
    ),
]
WindowText = Annotated[
    str | None,
    QueryParameter(
        description="Another name for `interval`.",
        examples=[Example(value="5m")],
        schema_extra=KNOWN_INTERVALS,
    ),
]
FillText = Annotated[
    Fill,
    QueryParameter(
        description="`none`: only intervals with trades. `previous`: all from the first with trades to the"
        " venue's present time; those without trades repeat the previous close."
    ),
]


@get(
    "/ohlcv/{symbol:path}",
    summary="Candles",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_ohlcv(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    hub: Service[Hub],
    interval: IntervalText = None,
    window: WindowText = None,
    *,
    range_page: RangePage,
    fill: FillText = "none",
) -> CandlesPage:
    """List candles by open time, oldest first on every page; the newest may still be open.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back. `start` and `end` are compared with candles' open times.
    """
    symbol_id = await resolve(directory, symbol)
    length = parse_interval(interval, window)

    async def read(page_request: RangePageRequest) -> CandlesPage:
        requested = page_request.time_range(f"ohlcv/{symbol_id}/{length}/{fill}")
        page, committed = await read_committed_page(
            history,
            symbol_id,
            length,
            OpenTimeRange(requested.low[0], requested.high[0]),
            page_request.limit,
            newest=requested.newest,
            fill=fill,
        )
        cursor = hub.cursor_after(symbol_id, committed)
        return CandlesPage(
            str(symbol_id),
            length,
            page.candles,
            encode_remaining(requested, page.remaining),
            str(cursor) if cursor else None,
        )

    return await answer(
        range_page, read, lambda page: page.candles, CandleView, lambda: history.state(symbol_id)
    )


def parse_interval(interval: str | None, window: str | None) -> str:
    """Return the requested interval.

    Raises:
        Problem: there is no such interval, or the two parameters differ.
    """
    if interval is not None and window is not None and interval != window:
        raise conflict("window", f"is another name for interval, which is {interval[:20]!r}")
    parameter = "window" if interval is None and window is not None else "interval"
    text = next((given for given in (interval, window) if given is not None), BASE)
    if text not in CANDLE_INTERVALS:
        near = nearest(text, CANDLE_INTERVALS)
        hint = f"; did you mean {near}?" if near else ""
        raise bad_parameter(parameter, f"{text[:20]!r} is not one of {', '.join(CANDLE_INTERVALS)}{hint}")
    return text
