"""Trades of a symbol."""

from litestar import get
from msgspec import Struct

from api.http.paging import encode_beyond
from api.http.whole_lists import answer
from api.live.hub import Hub
from api.queries.history import StoredHistory, committed_order
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
from api.views.fields import SymbolName, encoded
from api.views.trades import TradeView
from db.trades import TradeBound, read_trades_as_json
from tickplant.times import to_us


class TradesPage(Struct, frozen=True):
    """Trades by event time and trade id, oldest first."""

    symbol: SymbolName
    trades: list[TradeView]
    next: Next
    cursor: LiveCursor


@get(
    "/trades/{symbol:path}",
    summary="Trades",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_trades(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    hub: Service[Hub],
    range_page: RangePage,
) -> TradesPage:
    """List trades by event time and trade id, oldest first on every page.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back.
    """
    symbol_id = await resolve(directory, symbol)

    async def read(page_request: RangePageRequest) -> TradesPage:
        requested = page_request.time_range(f"trades/{symbol_id}")
        async with history.statement() as connection:
            page = await read_trades_as_json(
                connection,
                symbol_id,
                after=TradeBound(*requested.low),
                before=TradeBound(*requested.high),
                limit=page_request.limit,
                newest=requested.newest,
                partition=history.partition_of(symbol_id),
            )
        edge = None if page.edge is None else (to_us(page.edge[0]), page.edge[1])
        cursor = hub.cursor_after(symbol_id, committed_order(page.committed))
        return TradesPage(
            str(symbol_id),
            encoded(page.rows),
            encode_beyond(requested, edge),
            str(cursor) if cursor else None,
        )

    return await answer(
        range_page, read, lambda page: page.trades, TradeView, lambda: history.state(symbol_id)
    )
