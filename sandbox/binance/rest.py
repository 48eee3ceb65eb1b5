"""Binance's REST interface for market data: a path with its query to an answer.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api

    GET /api/v3/historicalTrades?symbol=BTCUSDT&fromId=3735683259&limit=1
    [{"id":3735683259,"price":"61837.63000000","qty":"0.02000000","quoteQty":"1236.75260000",
      "time":1723161255342,"isBuyerMaker":true,"isBestMatch":true}]
    GET /api/v3/trades?symbol=NOSUCH  ->  400 {"code":-1121,"msg":"Invalid symbol."}
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qsl, urlsplit

import msgspec

from sandbox.binance.frames import VENUE
from sandbox.binance.klines import INTERVALS, build_klines, eight_places
from sandbox.history import Aggregate, Past
from sandbox.source import Source
from tickplant.intervals import MINUTE_US
from tickplant.market import EXACT, SymbolId, Trade

WEIGHT_PER_MINUTE: Final = 6_000

_SYMBOL: Final = re.compile(r"[A-Z0-9_.-]{1,20}")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_LAST_MILLISECOND: Final = 10**14
_FOREVER_US: Final = 2**62
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
_MAX_LIMIT: Final = 1000


class Answer(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


class _RefusalError(Exception):
    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class _Query(NamedTuple):
    """A request's parameters and what they are asked of."""

    source: Source
    values: Mapping[str, str]
    micro: bool

    @property
    def past(self) -> Past:
        """The trades of the mandatory `symbol`."""
        name = self.values.get("symbol", "")
        if not name:
            _miss("symbol")
        return self.source.past(_known(self.source, name))

    @property
    def limit(self) -> int:
        limit = self.number("limit")
        if limit == 0:
            raise _RefusalError(-1130, "Data sent for parameter 'limit' is not valid.")
        return 500 if limit is None else min(limit, _MAX_LIMIT)

    def number(self, name: str) -> int | None:
        text = self.values.get(name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise _RefusalError(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            )
        return int(text)

    def time_us(self, name: str) -> int | None:
        """Return a time that is given in milliseconds or microseconds."""
        time = self.number(name)
        return time * 1000 if time is not None and time < _LAST_MILLISECOND else time

    def told(self, time_us: int) -> int:
        """Return a time in the unit that the client asked for."""
        return time_us if self.micro else time_us // 1000


class Rest:
    """The interface, with the weight used in the running minute.

    Args:
        source: whose trades are asked for.
        now_us: this machine's time, by which minutes are counted.
        weight_per_minute: requests are refused from there on.
    """

    def __init__(
        self, source: Source, now_us: Callable[[], int], weight_per_minute: int = WEIGHT_PER_MINUTE
    ) -> None:
        self._source = source
        self._now_us = now_us
        self._weight_per_minute = weight_per_minute
        self._minute = 0
        self._used = 0

    def get(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Answer a GET; None if nothing is there.

        Args:
            path: with its query.
            headers: of the request; `X-MBX-TIME-UNIT: MICROSECOND` asks for microseconds.
        """
        parts = urlsplit(path)
        endpoint = _ENDPOINTS.get(parts.path)
        if endpoint is None:
            return None
        micro = headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
        try:
            self._charge(endpoint.weight)
            values = _read_values(parts.query, endpoint.parameters)
            return self._answer(200, endpoint.read(_Query(self._source, values, micro)))
        except _RefusalError as refusal:
            return self._answer(refusal.status, {"code": refusal.code, "msg": str(refusal)})

    def _charge(self, weight: int) -> None:
        minute = self._now_us() // MINUTE_US
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used > self._weight_per_minute:
            raise _RefusalError(
                -1003,
                f"Too much request weight used; current limit is {self._weight_per_minute} request weight per"
                " 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
                429,
            )

    def _answer(self, status: int, content: Any) -> Answer:
        headers = {
            "Content-Type": "application/json;charset=UTF-8",
            "X-MBX-USED-WEIGHT": str(self._used),
            "X-MBX-USED-WEIGHT-1M": str(self._used),
        }
        if status == 429:
            headers["Retry-After"] = str(60 - self._now_us() % MINUTE_US // 1_000_000)
        return Answer(status, headers, msgspec.json.encode(content))


def _read_values(query: str, known: frozenset[str]) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _RefusalError(-1101, "Duplicate values for a parameter detected.")
    for name, value in values.items():
        if not value:
            raise _RefusalError(-1105, f"Parameter '{name}' was empty.")
    if values and not known:
        raise _RefusalError(-1101, f"Too many parameters; expected '0' and received '{len(values)}'.")
    read = len(values.keys() & known)
    if read < len(values):
        raise _RefusalError(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(values)}'.",
        )
    return values


def _known(source: Source, name: str) -> SymbolId:
    if not _SYMBOL.fullmatch(name):
        raise _RefusalError(
            -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
        )
    symbol = SymbolId(VENUE, name)
    if symbol not in source.symbols:
        raise _RefusalError(-1121, "Invalid symbol.")
    return symbol


def _miss(name: str) -> NoReturn:
    raise _RefusalError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _ping(_: _Query) -> Any:
    return {}


def _time(query: _Query) -> Any:
    return {"serverTime": query.told(query.source.now_us())}


def _trades(query: _Query) -> Any:
    return [_tell_trade(trade, query) for trade in query.past.latest(query.limit)]


def _historical_trades(query: _Query) -> Any:
    first = query.number("fromId")
    found = query.past.latest(query.limit) if first is None else query.past.from_id(first, query.limit)
    return [_tell_trade(trade, query) for trade in found]


def _aggregate_trades(query: _Query) -> Any:
    past, limit = query.past, query.limit
    first, start_us, end_us = query.number("fromId"), query.time_us("startTime"), query.time_us("endTime")
    if first is not None and (start_us is not None or end_us is not None):
        raise _RefusalError(-1128, "Combination of optional parameters invalid.")
    if first is not None:
        found = past.aggregates_from(first, limit)
    elif start_us is None and end_us is None:
        found = past.latest_aggregates(limit)
    else:
        until_us = _FOREVER_US if end_us is None else end_us + 1000
        found = past.aggregates_between(start_us or 0, until_us)
        found = found[-limit:] if start_us is None else found[:limit]
    return [_tell_aggregate(aggregate, query) for aggregate in found]


def _klines(query: _Query) -> Any:
    past = query.past
    name = query.values.get("interval", "")
    if not name:
        _miss("interval")
    if name not in INTERVALS:
        raise _RefusalError(-1120, "Invalid interval.")
    return build_klines(
        past,
        INTERVALS[name],
        query.source.now_us(),
        start_us=query.time_us("startTime"),
        end_us=query.time_us("endTime"),
        limit=query.limit,
        micro=query.micro,
    )


def _exchange_info(query: _Query) -> Any:
    source = query.source
    if "symbol" in query.values and "symbols" in query.values:
        raise _RefusalError(-1128, "Combination of optional parameters invalid.")
    if "symbol" in query.values:
        symbols = [_known(source, query.values["symbol"])]
    elif "symbols" in query.values:
        symbols = [_known(source, name) for name in _read_names(query.values["symbols"])]
    else:
        symbols = [symbol for symbol in source.symbols if symbol.venue == VENUE]
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": WEIGHT_PER_MINUTE,
    }
    return {
        "timezone": "UTC",
        "serverTime": query.told(source.now_us()),
        "rateLimits": [limit],
        "exchangeFilters": [],
        "symbols": [_tell_symbol(source.past(symbol)) for symbol in symbols],
    }


def _read_names(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError as error:
        legal = r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'
        raise _RefusalError(
            -1100, f"Illegal characters found in parameter 'symbols'; legal range is '{legal}'."
        ) from error


def _tell_trade(trade: Trade, query: _Query) -> dict[str, Any]:
    quote = EXACT.multiply(Decimal(trade.price), Decimal(trade.size))
    return {
        "id": trade.trade_id,
        "price": trade.price,
        "qty": trade.size,
        "quoteQty": eight_places(quote),
        "time": query.told(trade.event_time_us),
        "isBuyerMaker": trade.side == "sell",
        "isBestMatch": True,
    }


def _tell_aggregate(aggregate: Aggregate, query: _Query) -> dict[str, Any]:
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
        "T": query.told(first.event_time_us),
        "m": first.side == "sell",
        "M": True,
    }


def _tell_symbol(past: Past) -> dict[str, Any]:
    name = past.symbol.symbol
    quote = next((quote for quote in _QUOTES if name.endswith(quote) and name != quote), "USDT")
    tick, step = (eight_places(Decimal(1).scaleb(-places)) for places in past.decimals)
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


class _Endpoint(NamedTuple):
    weight: int
    parameters: frozenset[str]
    read: Callable[[_Query], Any]


_ENDPOINTS: Final[dict[str, _Endpoint]] = {
    f"/api/v3/{name}": _Endpoint(weight, frozenset(parameters.split()), read)
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
