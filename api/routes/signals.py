"""Signals of strategies."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.paging import SignalRangeToken, cut_range, decode_token
from api.http.whole_lists import answer
from api.queries.history import StoredHistory
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import RangePage, RangePageRequest, SymbolText, resolve
from api.routes.responses import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_PAGE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
)
from db.signals import SignalKey, read_signals
from tickplant.derived import SignalView, signal_view
from tickplant.market import SymbolId

StrategyFilter = Annotated[
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
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    strategy: StrategyFilter = None,
    *,
    range_page: RangePage,
) -> SignalsPage:
    """List the signals of a symbol by event time, oldest first on every page.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back.
    """
    symbol_id = await resolve(directory, symbol)
    return await _page(history, range_page, symbol_id, strategy)


@get(
    "/signals",
    summary="Signals",
    tags=["derived"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_all_signals(
    history: Service[StoredHistory],
    strategy: StrategyFilter = None,
    *,
    range_page: RangePage,
) -> SignalsPage:
    """List the signals of all symbols, in pages like those of one symbol."""
    return await _page(history, range_page, None, strategy)


def _requested(range_page: RangePageRequest, list_key: str) -> SignalRangeToken:
    if range_page.after is not None:
        return decode_token(range_page.after, SignalRangeToken, list_key)
    low, high = range_page.times()
    return SignalRangeToken(list_key, range_page.newest, SignalKey(low), SignalKey(high))


async def _page(
    history: StoredHistory, range_page: RangePageRequest, symbol: SymbolId | None, strategy: str | None
) -> SignalsPage:
    async def read(page_request: RangePageRequest) -> SignalsPage:
        requested = _requested(page_request, f"signals/{symbol or ''}/{strategy or ''}")
        async with history.snapshot() as connection:
            signals = await read_signals(
                connection,
                symbol=symbol,
                strategy=strategy,
                after=SignalKey(*requested.low),
                before=SignalKey(*requested.high),
                limit=page_request.limit + 1,
                newest=requested.newest,
            )
        page, next_ = cut_range(
            signals,
            page_request.limit,
            requested,
            lambda signal: SignalKey(
                signal.event_time_us, signal.venue, signal.symbol, signal.strategy, signal.number
            ),
        )
        return SignalsPage([signal_view(signal) for signal in page], next_)

    return await answer(
        range_page, read, lambda page: page.signals, SignalView, lambda: history.state(symbol)
    )
