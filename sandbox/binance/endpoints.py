"""What each of Binance's REST endpoints for market data answers.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api

    GET /api/v3/historicalTrades?symbol=BTCUSDT&fromId=3735683259&limit=1
    [{"id":3735683259,"price":"61837.63000000","qty":"0.02000000","quoteQty":"1236.75260000",
      "time":1723161255342,"isBuyerMaker":true,"isBestMatch":true}]
    GET /api/v3/aggTrades?symbol=BTCUSDT&limit=1
    [{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sandbox.binance.frames import VENUE
from sandbox.binance.klines import INTERVALS, build_klines, eight_places
from sandbox.binance.query import Query, RefusalError, known_symbol, read_names
from sandbox.history import Aggregate, SandboxHistory
from tickplant.assets import quote_of
from tickplant.market import EXACT, Trade

_FOREVER_US: Final = 2**62


def _ping(_: Query) -> Any:
    return {}


def _time(query: Query) -> Any:
    return {"serverTime": query.in_unit(query.now_us)}


def _trades(query: Query) -> Any:
    return [_trade_row(trade, query) for trade in query.history.latest(query.limit)]


def _historical_trades(query: Query) -> Any:
    first = query.number("fromId")
    found = query.history.latest(query.limit) if first is None else query.history.from_id(first, query.limit)
    return [_trade_row(trade, query) for trade in found]


def _aggregate_trades(query: Query) -> Any:
    history, limit = query.history, query.limit
    first, start_us, end_us = query.number("fromId"), query.time_us("startTime"), query.until_us("endTime")
    if first is not None and (start_us is not None or end_us is not None):
        raise RefusalError(-1128, "Combination of optional parameters invalid.")
    if first is not None:
        found = history.aggregates_from(first, limit)
    elif start_us is None and end_us is None:
        found = history.latest_aggregates(limit)
    else:
        found = history.aggregates_between(start_us or 0, _FOREVER_US if end_us is None else end_us)
        found = found[-limit:] if start_us is None else found[:limit]
    return [_aggregate_row(aggregate, query) for aggregate in found]


def _klines(query: Query) -> Any:
    history = query.history
    name = query.mandatory("interval")
    if name not in INTERVALS:
        raise RefusalError(-1120, "Invalid interval.")
    return build_klines(
        history,
        INTERVALS[name],
        query.now_us,
        start_us=query.time_us("startTime"),
        end_us=query.time_us("endTime"),
        limit=query.limit,
        micro=query.micro,
    )


def _exchange_info(query: Query) -> Any:
    market = query.market
    if "symbol" in query.values and "symbols" in query.values:
        raise RefusalError(-1128, "Combination of optional parameters invalid.")
    if "symbol" in query.values:
        symbols = [known_symbol(market, query.values["symbol"])]
    elif "symbols" in query.values:
        symbols = [known_symbol(market, name) for name in read_names(query.values["symbols"])]
    else:
        symbols = [symbol for symbol in market.symbols if symbol.venue == VENUE]
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": query.weight_per_minute,
    }
    return {
        "timezone": "UTC",
        "serverTime": query.in_unit(query.now_us),
        "rateLimits": [limit],
        "exchangeFilters": [],
        "symbols": [_tell_symbol(market.history(symbol)) for symbol in symbols],
    }


def _trade_row(trade: Trade, query: Query) -> dict[str, Any]:
    quote = EXACT.multiply(Decimal(trade.price), Decimal(trade.size))
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.size,
        "quoteQty": eight_places(quote),
        "time": query.in_unit(trade.event_time_us),
        "isBuyerMaker": trade.side == "sell",
        "isBestMatch": True,
    }


def _aggregate_row(aggregate: Aggregate, query: Query) -> dict[str, Any]:
    first, last = aggregate.trades[0], aggregate.trades[-1]
    size = Decimal(0)
    for trade in aggregate.trades:
        size = EXACT.add(size, Decimal(trade.size))
    return {
        "a": aggregate.number,
        "p": first.price,
        "q": eight_places(size),
        "f": first.trade_id,
        "l": last.trade_id,
        "T": query.in_unit(first.event_time_us),
        "m": first.side == "sell",
        "M": True,
    }


def _tell_symbol(history: SandboxHistory) -> dict[str, Any]:
    name = history.symbol.symbol
    quote = quote_of(name) or "USDT"
    tick, step = (eight_places(Decimal(1).scaleb(-places)) for places in history.decimals)
    most = "922327.00000000"
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": name.removesuffix(quote),
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": [],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": most, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


class Endpoint(NamedTuple):
    """What a path leads to."""

    weight: int
    parameters: frozenset[str]
    read: Callable[[Query], Any]


ENDPOINTS: Final[dict[str, Endpoint]] = {
    f"/api/v3/{name}": Endpoint(weight, frozenset(parameters.split()), read)
    for name, weight, parameters, read in (
        ("ping", 1, "", _ping),
        ("time", 1, "", _time),
        ("exchangeInfo", 20, "symbol symbols", _exchange_info),
        ("trades", 25, "symbol limit", _trades),
        ("historicalTrades", 25, "symbol limit fromId", _historical_trades),
        ("aggTrades", 4, "symbol fromId startTime endTime limit", _aggregate_trades),
        ("klines", 2, "symbol interval startTime endTime limit", _klines),
    )
}

HISTORY: Final = frozenset(
    f"/api/v3/{name}" for name in ("trades", "historicalTrades", "aggTrades", "klines")
)
