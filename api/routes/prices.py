"""Last prices of symbols."""

from litestar import get

from api.http.problems import Problem
from api.live.cursor import Cursor
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from api.queries.symbols import SymbolDirectory
from api.routes.parameters import SymbolText, resolve
from api.routes.responses import BAD_PARAMETER, CONFLICT, UNAVAILABLE, UNKNOWN_SYMBOL, LiveCursor, Service
from api.views.fields import SymbolName
from api.views.trades import TradeView, trade_view


class Price(TradeView, frozen=True, kw_only=True):
    """The last trade of a symbol."""

    symbol: SymbolName
    cursor: LiveCursor


@get(
    "/price/{symbol:path}",
    summary="Last price",
    tags=["market"],
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_price(
    symbol: SymbolText,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    prices: Service[Prices],
) -> Price:
    """Return the last trade of a symbol."""
    symbol_id = await resolve(directory, symbol)
    trade, update = await prices.read(symbol_id)
    if trade is None:
        raise Problem(404, "no_price", f"{symbol_id} has not traded yet")
    view = trade_view(trade)
    return Price(
        trade_id=view.trade_id,
        price=view.price,
        size=view.size,
        side=view.side,
        event_time=view.event_time,
        ingest_time=view.ingest_time,
        symbol=str(symbol_id),
        cursor=str(Cursor(history.partition_of(symbol_id), update)),
    )
