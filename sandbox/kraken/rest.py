"""Kraken's REST interface for market data.

Trades after a time, oldest first, with price, size, time, side, type, miscellaneous and id; `last` is the
time of the last one in nanoseconds, to go on from:

    GET /0/public/Trades?pair=XBTUSD&since=1688669597827736000&count=1000
    {"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],
     ["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}}

Candles, with time, open, high, low, close, average price by volume, volume and count:

    GET /0/public/OHLC?pair=XBTUSD&interval=1
    {"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1","3.39",23]],
     "last":1688672160}}

Errors come with status 200: `{"error":["EQuery:Unknown asset pair"]}`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw

from sandbox.history import SandboxHistory
from sandbox.limits import Budget, SandboxLimits
from sandbox.times import epoch_seconds
from sandbox.venue import Answer, SandboxMarket
from tickplant.intervals import MINUTE_US, SECOND_US, WEEK_US, floor
from tickplant.market import Candle, SymbolId, Trade, fold

_PREFIX: Final = "/0/public/"
_MAX_TRADES: Final = 1000
_MAX_CANDLES: Final = 720
_INTERVALS: Final = frozenset({1, 5, 15, 30, 60, 240, 1440, 10080, 21600})
_LAST_SECOND: Final = 10**12
"""Times below are in seconds, above in nanoseconds."""
_OLD: Final = {"BTC": "XBT", "DOGE": "XDG"}
_CLASSED: Final = frozenset({"XBT", "XDG", "ETH", "LTC", "XRP", "ETC", "MLN", "REP", "XLM", "XMR", "ZEC"})
_MONEY: Final = frozenset({"USD", "EUR", "GBP", "JPY", "CAD", "AUD"})
_ROUNDED: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)


class _RefusalError(Exception):
    """The message is Kraken's."""


class KrakenRest:
    """The interface.

    Args:
        market: what is asked about.
        limits: how many requests are answered, for each pair and each endpoint.
        clock_us: this machine's time, by which they are counted.
    """

    def __init__(self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]) -> None:
        self._market = market
        self._limits = limits
        self._clock_us = clock_us
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._names = {alias: symbol for symbol in market.symbols for alias in _aliases(symbol.symbol)}

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> Answer | None:
        """Answer a GET; None if there is no such endpoint."""
        parts = urlsplit(path)
        name = parts.path.removeprefix(_PREFIX)
        if name == parts.path or name not in ("Time", "SystemStatus", "AssetPairs", "Trades", "OHLC"):
            return None
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        try:
            self._charge(name, query.get("pair", ""))
            return _answer(self._read(name, query, now_us))
        except _RefusalError as refusal:
            return refuse(200, str(refusal))

    def _charge(self, name: str, pair: str) -> None:
        budget = self._budgets.setdefault((name, pair), Budget(self._limits, self._clock_us))
        if not budget.charge():
            raise _RefusalError("EGeneral:Too many requests")

    def _read(self, name: str, query: dict[str, str], now_us: int) -> dict[str, Any]:
        if name == "Time":
            moment = datetime.fromtimestamp(now_us // SECOND_US, UTC)
            return {
                "unixtime": now_us // SECOND_US,
                "rfc1123": moment.strftime("%a, %d %b %y %H:%M:%S +0000"),
            }
        if name == "SystemStatus":
            moment = datetime.fromtimestamp(now_us // SECOND_US, UTC)
            return {"status": "online", "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if name == "AssetPairs":
            return self._pairs(query.get("pair"))
        history = self._market.history(self._symbol(query.get("pair", "")))
        return _trades(history, query, now_us) if name == "Trades" else _candles(history, query, now_us)

    def _symbol(self, pair: str) -> SymbolId:
        symbol = self._names.get(pair.upper())
        if symbol is None:
            raise _RefusalError("EQuery:Unknown asset pair")
        return symbol

    def _pairs(self, pairs: str | None) -> dict[str, Any]:
        symbols = [self._symbol(pair) for pair in pairs.split(",")] if pairs else self._market.symbols
        return {rest_name(symbol.symbol): _pair(self._market.history(symbol)) for symbol in symbols}


def rest_name(symbol: str) -> str:
    """Return what REST calls a symbol in its answers, such as XXBTZUSD for BTC/USD."""
    base, quote = _old_names(symbol)
    if base in _CLASSED and (quote in _MONEY or quote in _CLASSED):
        return f"X{base}{'Z' if quote in _MONEY else 'X'}{quote}"
    return base + quote


def refuse(status: int, message: str) -> Answer:
    """Return an error object."""
    return Answer(status, {"Content-Type": "application/json"}, msgspec.json.encode({"error": [message]}))


def _answer(result: dict[str, Any]) -> Answer:
    body = msgspec.json.encode({"error": [], "result": result})
    return Answer(200, {"Content-Type": "application/json; charset=utf-8"}, body)


def _trades(history: SandboxHistory, query: dict[str, str], now_us: int) -> dict[str, Any]:
    count, since_ns = _number(query, "count", _MAX_TRADES), _since_ns(query)
    if not 1 <= count <= _MAX_TRADES:
        raise _RefusalError("EGeneral:Invalid arguments:count")
    found = history.latest(count) if since_ns is None else _take(history, since_ns, count)
    last_ns = found[-1].event_time_us * 1000 if found else since_ns or now_us * 1000
    return {rest_name(history.symbol.symbol): [_trade(trade) for trade in found], "last": str(last_ns)}


def _take(history: SandboxHistory, since_ns: int, count: int) -> list[Trade]:
    trades: Iterator[Trade] = history.between(since_ns // 1000 + 1, 2**62)
    return [trade for trade, _ in zip(trades, range(count), strict=False)]


def _trade(trade: Trade) -> list[Any]:
    return [
        _padded(Decimal(trade.price), 5),
        _padded(Decimal(trade.size), 8),
        Raw(epoch_seconds(trade.event_time_us).encode()),
        "s" if trade.side == "sell" else "b",
        "m",
        "",
        trade.trade_id,
    ]


def _candles(history: SandboxHistory, query: dict[str, str], now_us: int) -> dict[str, Any]:
    """Return the latest candles, the last of which may still be open."""
    interval, since_ns = _number(query, "interval", 1), _since_ns(query) or 0
    if interval not in _INTERVALS:
        raise _RefusalError("EGeneral:Invalid arguments:interval")
    length_us = interval * MINUTE_US
    high = floor(now_us, WEEK_US if length_us == WEEK_US else length_us)
    low = max(high - (_MAX_CANDLES - 1) * length_us, since_ns // 1000 + 1, history.first_whole_us(length_us))
    candles = sorted(fold(history.between(low, high + length_us), length_us=length_us), key=_open_time_us)
    closed = [candle for candle in candles if candle.open_time_us < high]
    last = closed[-1].open_time_us if closed else high - length_us
    rows = [_candle(candle) for candle in candles]
    return {rest_name(history.symbol.symbol): rows, "last": last // SECOND_US}


def _open_time_us(candle: Candle) -> int:
    return candle.open_time_us


def _candle(candle: Candle) -> list[Any]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    average = _ROUNDED.divide(candle.quote_volume, candle.volume) if candle.volume else candle.close
    return [
        candle.open_time_us // SECOND_US,
        *(format(price, "f") for price in prices),
        f"{average:.5f}",
        _padded(candle.volume, 8),
        candle.trade_count,
    ]


def _pair(history: SandboxHistory) -> dict[str, Any]:
    base, quote = _old_names(history.symbol.symbol)
    price_decimals, size_decimals = history.decimals
    return {
        "altname": base + quote,
        "wsname": f"{base}/{quote}",
        "base": base,
        "quote": quote,
        "pair_decimals": price_decimals,
        "lot_decimals": size_decimals,
        "status": "online",
    }


def _aliases(symbol: str) -> set[str]:
    """Return everything that a request may call a symbol."""
    old = "/".join(_old_names(symbol))
    return {symbol, symbol.replace("/", ""), old, old.replace("/", ""), rest_name(symbol)}


def _old_names(symbol: str) -> tuple[str, str]:
    base, _, quote = symbol.partition("/")
    return _OLD.get(base, base), _OLD.get(quote, quote)


def _since_ns(query: dict[str, str]) -> int | None:
    if "since" not in query:
        return None
    since = _number(query, "since", 0)
    return since * 1_000_000_000 if since < _LAST_SECOND else since


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise _RefusalError(f"EGeneral:Invalid arguments:{name}")
    return int(text)


def _padded(number: Decimal, places: int) -> str:
    exponent = number.as_tuple().exponent
    has = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return f"{number:.{max(places, has)}f}"
