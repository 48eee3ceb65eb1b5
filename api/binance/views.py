"""Candles, trades and tickers as Binance's REST interface writes them. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from api.views.candles import CandleView
from api.views.fields import decimal_json, optional_decimal_json
from api.views.stats import ChangeView, change_view
from db.stats import Change24h, PriceMeans
from db.tickers import WindowEdges
from tickplant.market import EXACT, QUOTIENT, Trade, vwap
from tickplant.times import to_us

UNKNOWN_ID: Final = -1
"""As Binance writes the ids of a window without trades."""
_NONE: Final = "0.00000000"
"""As Binance writes a price that there is not."""


def milliseconds(time: str) -> int:
    """Return a time of a view in milliseconds since the epoch."""
    return to_us(datetime.fromisoformat(time)) // 1000


def kline(candle: CandleView) -> list[Any]:
    """Return the row of a candle; the sums over takers' buys are null where sides are not known."""
    return [
        milliseconds(candle.open_time),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        milliseconds(candle.close_time) - 1,
        candle.quote_volume,
        candle.trade_count,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
        "0",
    ]


def trade(of: Trade) -> dict[str, Any]:
    """Return the object of a trade."""
    return {
        "id": of.trade_id,
        "price": of.price,
        "qty": of.size,
        "quoteQty": decimal_json(EXACT.multiply(Decimal(of.price), Decimal(of.size))),
        "time": of.event_time_us // 1000,
        "isBuyerMaker": of.side == "sell",
        "isBestMatch": True,
    }


def aggregate_trade(of: Trade) -> dict[str, Any]:
    """Return the object of an aggregate trade: each trade is one, since orders are not known."""
    return {
        "a": of.trade_id,
        "p": of.price,
        "q": of.size,
        "f": of.trade_id,
        "l": of.trade_id,
        "T": of.event_time_us // 1000,
        "m": of.side == "sell",
        "M": True,
    }


def average_price(minutes: int, means: PriceMeans | None, last: Trade) -> dict[str, Any]:
    """Return the object of the mean price of some minutes; the last price if nothing was traded in them."""
    mean = None if means is None else means.weighted_mean
    return {
        "mins": minutes,
        "price": last.price if mean is None else decimal_json(mean),
        "closeTime": last.event_time_us // 1000,
    }


def ticker(change: Change24h, edges: WindowEdges) -> dict[str, Any]:
    """Return the object of a symbol's last 24 hours; there is no order book, so bid and ask are 0."""
    view = change_view(change)
    mean = vwap(change.quote_volume, change.volume)
    first_id, last_id = edges.first_trade_id, edges.last_trade_id
    return {
        "symbol": change.symbol.symbol,
        "priceChange": view.change or _NONE,
        "priceChangePercent": view.percent or "0.000",
        "weightedAvgPrice": _NONE if mean is None else decimal_json(QUOTIENT.plus(mean)),
        "prevClosePrice": optional_decimal_json(edges.previous_close) or view.open or _NONE,
        "lastPrice": view.last or _NONE,
        "lastQty": optional_decimal_json(edges.last_size) or _NONE,
        "bidPrice": _NONE,
        "bidQty": _NONE,
        "askPrice": _NONE,
        "askQty": _NONE,
        "openPrice": view.open or _NONE,
        "highPrice": view.high or _NONE,
        "lowPrice": view.low or _NONE,
        "volume": view.volume,
        "quoteVolume": view.quote_volume,
        "openTime": milliseconds(view.start),
        "closeTime": milliseconds(view.until),
        "firstId": UNKNOWN_ID if first_id is None else first_id,
        "lastId": UNKNOWN_ID if last_id is None else last_id,
        "count": view.trade_count,
    }


MINI: Final = (
    *("symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume"),
    *("openTime", "closeTime", "firstId", "lastId", "count"),
)
"""The members of a ticker of the type MINI."""


def mini_message(view: ChangeView, symbol: str, now_ms: int) -> dict[str, Any]:
    """Return the message of the stream `miniTicker`."""
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": symbol,
        "c": view.last or _NONE,
        "o": view.open or _NONE,
        "h": view.high or _NONE,
        "l": view.low or _NONE,
        "v": view.volume,
        "q": view.quote_volume,
    }


def ticker_message(
    view: ChangeView, last: tuple[int, str] | None, symbol: str, now_ms: int
) -> dict[str, Any]:
    """Return the message of the stream `ticker`; `last` is the id and the size of the last trade."""
    volume, quote_volume = Decimal(view.volume), Decimal(view.quote_volume)
    mean = vwap(quote_volume, volume)
    last_id, last_size = last or (UNKNOWN_ID, _NONE)
    return {
        **mini_message(view, symbol, now_ms),
        "e": "24hrTicker",
        "p": view.change or _NONE,
        "P": view.percent or "0.000",
        "w": _NONE if mean is None else decimal_json(QUOTIENT.plus(mean)),
        "x": view.open or _NONE,
        "Q": last_size,
        "b": _NONE,
        "B": _NONE,
        "a": _NONE,
        "A": _NONE,
        "O": milliseconds(view.start),
        "C": milliseconds(view.until),
        "F": UNKNOWN_ID,
        "L": last_id,
        "n": view.trade_count,
    }
