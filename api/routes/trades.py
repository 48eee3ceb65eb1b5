"""Trades of a symbol."""

from litestar import get
from msgspec import Struct

from api.http.paging import USUAL, RestOfTimes, cut_page, write_rest
from api.live.hub import Hub
from api.queries.directory import Directory
from api.queries.history import History
from api.routes.answers import (
    BAD_PARAMETER,
    CONFLICT,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    LiveCursor,
    Next,
    Service,
)
from api.routes.parameters import After, EndText, Limit, StartText, SymbolText, parse_range, resolve
from api.views.trades import SymbolName, TradeView, trade_view
from db.trades import TradeBound, read_trades
from tickplant.market import Trade


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
    directory: Service[Directory],
    history: Service[History],
    hub: Service[Hub],
    start: StartText = None,
    end: EndText = None,
    limit: Limit = USUAL,
    after: After = None,
) -> TradesPage:
    """List trades by event time and trade id, oldest first on every page.

    With `start`, pages run forward in time from there; without it, the first page holds the newest and the
    next ones lead back.
    """
    found = await resolve(directory, symbol)
    asked = parse_range(start, end, after, f"trades/{found}")
    async with history.moment(found) as (connection, committed):
        trades = await read_trades(
            connection,
            found,
            after=TradeBound(*asked.low),
            before=TradeBound(*asked.high),
            limit=limit + 1,
            newest=asked.newest,
        )
    page = cut_page(trades, limit, newest=asked.newest)
    cursor = hub.cursor_after(found, committed)
    return TradesPage(
        str(found),
        [trade_view(trade) for trade in page.rows],
        write_rest(_rest(asked, page.rows) if page.following else None),
        str(cursor) if cursor else None,
    )


def _rest(asked: RestOfTimes, shown: list[Trade]) -> RestOfTimes:
    edge = shown[0] if asked.newest else shown[-1]
    key = (edge.event_time_us, edge.trade_id)
    if asked.newest:
        return RestOfTimes(asked.of, asked.newest, asked.low, key)
    return RestOfTimes(asked.of, asked.newest, key, asked.high)
