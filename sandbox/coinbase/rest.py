"""Coinbase Exchange's REST interface for market data.

Trades come newest first. `after` gives what is older than an id; `before` what is newer, and of that the
newest; the headers `CB-BEFORE` and `CB-AFTER` name the first and the last of a page:

    GET /products/BTC-USD/trades?after=75&limit=2
    [{"trade_id":74,"side":"sell","size":"0.01000000","price":"10.00000000","time":"2014-11-07T22:19:28.578544Z"},
     {"trade_id":73,"side":"buy","size":"0.01000000","price":"11.00000000","time":"2014-11-07T01:08:43.642366Z"}]

Candles, newest first, with time in seconds, low, high, open, close and volume:

    GET /products/BTC-USD/candles?granularity=60
    [[1415398768,0.32,4.2,0.35,4.2,12.3]]
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import Raw

from sandbox.coinbase.frames import VENUE, maker_side
from sandbox.history import SandboxHistory
from sandbox.limits import Budget, SandboxLimits
from sandbox.times import epoch_seconds, rfc3339
from sandbox.venue import Answer, SandboxMarket
from tickplant.intervals import SECOND_US, floor
from tickplant.market import Candle, SymbolId, Trade, fold
from tickplant.times import to_us

_MAX_TRADES: Final = 1000
_MAX_CANDLES: Final = 300
_GRANULARITIES: Final = frozenset({60, 300, 900, 3600, 21600, 86400})


class _RefusalError(Exception):
    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class CoinbaseRest:
    """The interface.

    Args:
        market: what is asked about.
        limits: how many requests are answered.
        clock_us: this machine's time, by which they are counted.
    """

    def __init__(self, market: SandboxMarket, limits: SandboxLimits, clock_us: Callable[[], int]) -> None:
        self._market = market
        self._budget = Budget(limits, clock_us)

    def get(self, path: str, headers: Mapping[str, str], now_us: int) -> Answer | None:
        """Answer a GET; None if there is no such endpoint."""
        parts = urlsplit(path)
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        if steps[0] not in ("time", "products") or len(steps) > 3:
            return None
        try:
            self._charge()
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            return self._read(steps, query, now_us)
        except _RefusalError as refusal:
            return refuse(refusal.status, str(refusal))

    def _charge(self) -> None:
        if not self._budget.charge():
            raise _RefusalError("Public rate limit exceeded", 429)

    def _read(self, steps: list[str], query: dict[str, str], now_us: int) -> Answer:
        if steps == ["time"]:
            return _answer({"iso": rfc3339(now_us), "epoch": Raw(epoch_seconds(now_us).encode())})
        if steps == ["products"]:
            return _answer([_product(self._market.history(symbol)) for symbol in self._market.symbols])
        history = self._history(steps[1])
        if len(steps) == 2:
            return _answer(_product(history))
        if steps[2] == "trades":
            return _trades(history, query)
        if steps[2] == "candles":
            return _answer(_candles(history, query, now_us))
        raise _RefusalError("NotFound", 404)

    def _history(self, product: str) -> SandboxHistory:
        symbol = SymbolId(VENUE, product)
        if symbol not in self._market.symbols:
            raise _RefusalError("NotFound", 404)
        return self._market.history(symbol)


def refuse(status: int, message: str) -> Answer:
    """Return an error object."""
    return Answer(status, {"Content-Type": "application/json"}, msgspec.json.encode({"message": message}))


def _answer(content: Any, extra: Mapping[str, str] | None = None) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8", **(extra or {})}
    return Answer(200, headers, msgspec.json.encode(content))


def _trades(history: SandboxHistory, query: dict[str, str]) -> Answer:
    limit = min(_number(query, "limit") or _MAX_TRADES, _MAX_TRADES)
    before, after = _number(query, "before"), _number(query, "after")
    found = history.latest(limit) if after is None else history.before_id(after, limit)
    newest = [trade for trade in reversed(found) if before is None or trade.trade_id > before]
    cursors = {}
    if newest:
        cursors = {"CB-BEFORE": str(newest[0].trade_id), "CB-AFTER": str(newest[-1].trade_id)}
    return _answer([_trade(trade) for trade in newest], cursors)


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "side": maker_side(trade.side),
        "size": f"{Decimal(trade.size):.8f}",
        "price": f"{Decimal(trade.price):.8f}",
        "time": rfc3339(trade.event_time_us),
    }


def _candles(history: SandboxHistory, query: dict[str, str], now_us: int) -> list[list[Any]]:
    """Return the candles of intervals with trades, newest first."""
    seconds = _number(query, "granularity") or 60
    if seconds not in _GRANULARITIES:
        raise _RefusalError("Unsupported granularity")
    length_us = seconds * SECOND_US
    start_us, end_us = _moment(query, "start"), _moment(query, "end")
    if end_us is None:
        end_us = now_us if start_us is None else start_us + (_MAX_CANDLES - 1) * length_us
    if start_us is None:
        start_us = end_us - (_MAX_CANDLES - 1) * length_us
    low, high = -(-start_us // length_us) * length_us, floor(end_us, length_us)
    if (high - low) // length_us + 1 > _MAX_CANDLES:
        raise _RefusalError(
            "granularity too small for the requested time range. Count of aggregations exceeds 300"
        )
    low = max(low, history.first_whole_us(length_us))
    candles = fold(history.between(low, high + length_us), length_us=length_us)
    return [_candle(candle) for candle in sorted(candles, key=_open_time_us, reverse=True)]


def _open_time_us(candle: Candle) -> int:
    return candle.open_time_us


def _candle(candle: Candle) -> list[Any]:
    numbers = (candle.low, candle.high, candle.open, candle.close, candle.volume)
    return [candle.open_time_us // SECOND_US, *(Raw(format(number, "f").encode()) for number in numbers)]


def _product(history: SandboxHistory) -> dict[str, Any]:
    name = history.symbol.symbol
    base, _, quote = name.partition("-")
    quote_increment, base_increment = (format(Decimal(1).scaleb(-places), "f") for places in history.decimals)
    return {
        "id": name,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": quote_increment,
        "base_increment": base_increment,
        "display_name": name,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
    }


def _number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _RefusalError(f"Invalid {name}")
    return int(text)


def _moment(query: dict[str, str], name: str) -> int | None:
    """Return a time that is given as ISO 8601 or in seconds since the epoch."""
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text) * SECOND_US
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _RefusalError(f"Invalid {name}") from error
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
