"""Kraken spot over REST: history, the list of pairs, and candles.

Documentation: https://docs.kraken.com/api-reference/market-data/get-recent-trades

History, up to 1,000 trades since a time in nanoseconds: price, size, time in seconds, side, type, misc., id.
REST has its own names: XBT and XDG for BTC and DOGE, no slash in requests, and other names in answers:

    GET /0/public/Trades?pair=XBTUSD&since=1688669597827736000&count=1000
    {"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],
     ["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}}

Candles, only of the last 720 minutes: time (s), open, high, low, close, vwap, volume, count:

    GET /0/public/OHLC?pair=XBTUSD&interval=1&since=1688671140
    {"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1",
     "3.39243896",23]],"last":1688672160}}

All pairs, by names that the websocket does not use; `wsname` is its name, but with the old XBT and XDG:

    GET /0/public/AssetPairs
    {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","status":"online"}}}
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import ParsedRows
from ingest.venues.base_rest import TRADING, BusyError, ListedSymbol, MissingRange
from ingest.venues.parsing import (
    TradeId,
    check_time_us,
    explain_page,
    parse_history_rows,
    parse_listing_rows,
    plain_decimal,
    split_rows,
)
from tickplant.errors import MALFORMED, PoisonError
from tickplant.klines import Kline
from tickplant.market import Side, Trade, check_decimal

NAME: Final = "kraken"

_PAGE: Final = 1000
_ID_FIELD: Final = 6
"""The index of the trade id in a row of history."""
_REST_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_WS_NAMES: Final = {old: new for new, old in _REST_NAMES.items()}
_SIDES: Final[Mapping[str, Side]] = {"b": "buy", "s": "sell"}
_TEMPORARY: Final = ("Too many requests", "Rate limit", "lockout", "EService:")


class _HistoryTrade(Struct, array_like=True, gc=False):
    """A trade in a page of history."""

    price: str
    size: str
    time: Any
    side: str
    order_type: str
    miscellaneous: str
    trade_id: TradeId


class _Kline(Struct, array_like=True, gc=False):
    """A candle."""

    time: int
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    trade_count: int


class _Page(Struct, gc=False):
    error: list[str] = []
    result: dict[str, Raw] = {}


class _Pair(Struct, gc=False):
    wsname: str = ""
    status: str = "online"


_decode_listed = msgspec.json.Decoder(_Pair).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade, float_hook=str).decode
_decode_kline = msgspec.json.Decoder(_Kline, float_hook=str).decode


class KrakenRestAdapter:
    """The REST interface of Kraken."""

    rest_url: Final = "https://api.kraken.com"
    history_headers: Final[Mapping[str, str]] = {}
    history_by_time: Final = True
    symbols_path: Final = "/0/public/AssetPairs"
    klines_at_once: Final = 720

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the trades from the last one before the gap, or a little earlier."""
        since_us = (
            gap.after_time_us if gap.alone else gap.after_time_us - 1
        )  # the websocket may round times up
        count = min(_PAGE, gap.last_id - gap.first_id + 1) if gap.alone else _PAGE
        return f"/0/public/Trades?pair={_rest_name(gap.symbol)}&since={max(0, since_us) * 1000}&count={count}"

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of trades, or an error.
            BusyError: the venue asks to retry later.
        """
        rows = _read_page(body, symbol)
        return parse_history_rows(rows, lambda row: _history_trade(row, symbol, ingest_time_us), _ID_FIELD)

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the list of pairs.

        Raises:
            PoisonError: it is malformed, or an error.
        """
        try:
            page = _decode_page(body)
        except MALFORMED as error:
            raise PoisonError(f"not a list of pairs: {error}") from error
        if page.error:
            raise PoisonError(", ".join(page.error))
        return parse_listing_rows(list(page.result.values()), _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of one minute; the venue returns those after a time."""
        return f"/0/public/OHLC?pair={_rest_name(symbol)}&interval=1&since={start_us // 1_000_000 - 60}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are malformed, or the answer is an error.
            BusyError: the venue asks to retry later.
        """
        try:
            rows = [_decode_kline(row) for row in _read_page(body, None)]
        except MALFORMED as error:
            raise PoisonError(f"not a list of candles: {error}") from error
        return tuple(map(_kline, rows))


def _listed(row: Raw) -> ListedSymbol | None:
    pair = _decode_listed(row)
    if not pair.wsname:
        return None  # not traded over the websocket
    return ListedSymbol(_current_name(pair.wsname), TRADING if pair.status == "online" else pair.status)


def _current_name(wsname: str) -> str:
    """Return a pair as the websocket writes it."""
    return "/".join(_WS_NAMES.get(part, part) for part in wsname.split("/"))


def _rest_name(symbol: str) -> str:
    base, _, quoted = symbol.partition("/")
    return quote(_REST_NAMES.get(base, base) + _REST_NAMES.get(quoted, quoted))


def _answer_names(symbol: str) -> set[str]:
    """Return all names that an answer may use for a symbol, such as XXBTZUSD, XBTUSD, BTCUSD or BTC/USD."""
    base, _, quoted = symbol.partition("/")
    bases, quotes = (
        {prefix + name for name in (part, _REST_NAMES.get(part, part)) for prefix in ("", "X", "Z")}
        for part in (base, quoted)
    )
    return {first + mark + second for first in bases for second in quotes for mark in ("", "/")}


def _read_page(body: bytes, symbol: str | None) -> list[Raw]:
    """Return the rows of an answer for one symbol.

    Args:
        body: the answer.
        symbol: the requested symbol; None for any.

    Raises:
        UnreadableError: it can't be decoded.
        PoisonError: it is malformed, of another symbol, or an error.
        BusyError: the venue asks to retry later.
    """
    try:
        page = _decode_page(body)
    except MALFORMED as error:
        raise explain_page(body, error) from error
    if page.error:
        reason = ", ".join(page.error)
        raise (BusyError if any(text in reason for text in _TEMPORARY) else PoisonError)(reason)
    found = {name: rows for name, rows in page.result.items() if name != "last"}
    if len(found) != 1:
        raise PoisonError(f"a page of trades of {len(found)} symbols")
    ((name, rows),) = found.items()
    if symbol is not None and name not in _answer_names(symbol):
        raise PoisonError(f"a page of {name!r}, which was not requested")
    return split_rows(rows)


def _kline(row: _Kline) -> Kline:
    texts = (row.open, row.high, row.low, row.close, row.volume)
    open_, high, low, close, volume = [Decimal(check_decimal(text, "a candle's number")) for text in texts]
    return Kline(check_time_us(row.time * 1_000_000), open_, high, low, close, volume, row.trade_count)


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    side = _SIDES.get(trade.side)
    if side is None:
        raise PoisonError("a trade without side")
    return Trade(
        NAME,
        symbol,
        trade.trade_id,
        check_decimal(trade.price, "price"),
        check_decimal(trade.size, "size"),
        side,
        _seconds_to_us(trade.time),
        ingest_time_us,
    )


def _seconds_to_us(seconds: object) -> int:
    whole, _, fraction = plain_decimal(seconds, "time").partition(".")
    return check_time_us(int(whole + fraction[:6].ljust(6, "0")))
