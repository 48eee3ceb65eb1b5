"""What strategies said."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import USUAL, RestOfSignals, cut_page, read_rest, write_rest
from api.queries.directory import Directory
from api.queries.history import History
from api.routes.answers import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_PAGE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
)
from api.routes.parameters import After, EndText, Limit, StartText, SymbolText, parse_times, resolve
from db.signals import SignalKey, read_signals
from tickplant.derived import Signal, SignalView, signal_view
from tickplant.market import SymbolId

OfStrategy = Annotated[
    str | None,
    QueryParameter(
        pattern="^[a-z][a-z0-9_]*$",
        description="Only signals of this strategy; of all if not given.",
        examples=[Example(value="cross")],
    ),
]


class SignalsPage(Struct, frozen=True):
    """Signals by event time, oldest first."""

    signals: list[SignalView]
    next: Next


@get(
    "/signals/{symbol:path}",
    summary="Signals of a symbol",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_signals(
    symbol: SymbolText,
    directory: Service[Directory],
    history: Service[History],
    strategy: OfStrategy = None,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = USUAL,
    after: After = None,
) -> SignalsPage:
    """List what strategies said of a symbol by event time, oldest first on every page.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back.
    """
    found = await resolve(directory, symbol)
    asked = _range(start, end, after, f"signals/{found}/{strategy or ''}")
    return await _page(history, found, strategy, asked, limit)


@get(
    "/signals",
    summary="Signals",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_all_signals(
    history: Service[History],
    strategy: OfStrategy = None,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = USUAL,
    after: After = None,
) -> SignalsPage:
    """List what strategies said of all symbols, in pages like those of one symbol."""
    asked = _range(start, end, after, f"signals//{strategy or ''}")
    return await _page(history, None, strategy, asked, limit)


def _range(start: str | None, end: str | None, after: str | None, of: str) -> RestOfSignals:
    if after is not None:
        return read_rest(after, RestOfSignals, of)
    low, high = parse_times(start, end)
    return RestOfSignals(of, start is None, SignalKey(low), SignalKey(high))


async def _page(
    history: History, symbol: SymbolId | None, strategy: str | None, asked: RestOfSignals, limit: int
) -> SignalsPage:
    async with history.at_once() as connection:
        signals = await read_signals(
            connection,
            symbol=symbol,
            strategy=strategy,
            after=SignalKey(*asked.low),
            before=SignalKey(*asked.high),
            limit=limit + 1,
            newest=asked.newest,
        )
    page = cut_page(signals, limit, newest=asked.newest)
    rest = _rest(asked, page.rows) if page.following else None
    return SignalsPage([signal_view(signal) for signal in page.rows], write_rest(rest))


def _rest(asked: RestOfSignals, shown: list[Signal]) -> RestOfSignals:
    edge = shown[0] if asked.newest else shown[-1]
    key = SignalKey(edge.event_time_us, edge.venue, edge.symbol, edge.strategy, edge.number)
    low, high = (asked.low, key) if asked.newest else (key, asked.high)
    return RestOfSignals(asked.of, asked.newest, low, high)
