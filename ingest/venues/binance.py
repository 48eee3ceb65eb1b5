"""Binance spot: the trade stream.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
and https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints

A trade. `T` is when it happened, in microseconds, as the address asks for, or in milliseconds; `m` says that
the buyer was the maker, so that the aggressor sold. Ids count up by one within a symbol. A raw stream sends
what is under `data` alone:

    {"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136000,"s":"BNBBTC","t":12345,"p":"0.001",
     "q":"100","T":1672515782136000,"m":true,"M":true}}

A notice, before the server goes away; a connection ends after 24 hours in any case:

    {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}

A refusal, of a message; a stream in the address that doesn't exist is silently not sent:

    {"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":1}

History, in milliseconds unless a header asks for microseconds:

    GET /api/v3/historicalTrades?symbol=BTCUSDT&fromId=28457&limit=1
    [{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
      "time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]

All symbols; one that does not trade has another status, such as BREAK or HALT:

    GET /api/v3/exchangeInfo
    {"timezone":"UTC","symbols":[{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH"}]}

Candles of its own: times of opening and closing around open, high, low, close and volume, and more, of which
the third is the number of trades:

    GET /api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1499040000000&limit=1
    [[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
      "2434.19055334",308,"1756.87402397","28.46694368","0"]]
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta, Raw, Struct

from ingest.venues.base import (
    TRADING,
    Closing,
    ListedSymbol,
    MissingRange,
    Parsed,
    ParsedRows,
    Refused,
    VenueLimits,
)
from ingest.venues.parsing import (
    MALFORMED,
    TRADE_ID,
    check_time_us,
    decode_object,
    parse_history_rows,
    parse_listing_rows,
    split_rows,
)
from tickplant.errors import PoisonError
from tickplant.intervals import MINUTE_US
from tickplant.klines import Kline
from tickplant.market import Trade, check_decimal
from tickplant.trade_rules import check_trade

NAME: Final = "binance"

LIMITS: Final = VenueLimits(
    symbols_per_connection=200,  # 1,024 streams are allowed; fewer keep the address short and one loss small
    messages_per_s=5,
    connects=300,
    connects_window_s=300,
    connection_age_s=24 * 3600,
    silence_s=60,  # it pings every 20 s
    requests_per_s=4,  # 25 of a weight of 6,000 a minute
)

_PAGE: Final = 1000
_LAST_MILLISECOND: Final = 10**14
"""Times below are milliseconds, above microseconds: the years 5138 and 1973."""

_Int64 = Annotated[int, TRADE_ID]


class _Payload(Struct, gc=False):
    """The fields of a trade; defaults stand for what is not there."""

    e: str = ""
    s: str = ""
    t: _Int64 | None = None
    p: str = ""
    q: str = ""
    T: _Int64 = 0
    m: bool | None = None


class _Envelope(Struct, gc=False):
    data: _Payload | None = None


class _HistoryTrade(Struct, gc=False):
    """A trade as REST gives it."""

    id: _Int64
    price: str
    qty: str
    time: Annotated[int, Meta(ge=0)]
    isBuyerMaker: bool  # noqa: N815 - the venue's name
    symbol: str | None = None
    """Not documented; where it is there, it must be the one that was asked for."""


class _Kline(Struct, array_like=True, gc=False):
    """A candle as REST gives it, up to the number of its trades."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trade_count: int


class _Listed(Struct, gc=False):
    symbol: str
    status: str = ""


class _ExchangeInfo(Struct, gc=False):
    symbols: list[Raw]


_decode_listing = msgspec.json.Decoder(_ExchangeInfo).decode
_decode_listed = msgspec.json.Decoder(_Listed).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade).decode
_decode_klines = msgspec.json.Decoder(list[_Kline]).decode


class BinanceAdapter:
    """The adapter of Binance."""

    name: Final = NAME
    numbered: Final = True
    acknowledges: Final = False
    ws_url: Final = "wss://stream.binance.com:9443"
    rest_url: Final = "https://api.binance.com"
    history_headers: Final[Mapping[str, str]] = {"X-MBX-TIME-UNIT": "MICROSECOND"}
    history_by_time: Final = False
    klines_at_once: Final = 1000
    symbols_path: Final = "/api/v3/exchangeInfo"

    def __init__(self, limits: VenueLimits = LIMITS) -> None:
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol in capitals."""
        return symbol.upper()

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the address of one combined stream of the symbols' trades, in microseconds."""
        streams = "/".join(quote(symbol.lower()) + "@trade" for symbol in symbols)
        return f"{base_url}/stream?streams={streams}&timeUnit=MICROSECOND"

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return none: the address subscribes."""
        return ()

    @staticmethod
    def parse_frame(frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is not JSON, or a trade that lacks something.
        """
        try:
            data = _decode_envelope(frame).data
            if data is None:
                data = _decode_payload(frame)
        except MALFORMED as error:
            return _explain(frame, error)
        if data.e != "trade":
            return () if data.e and data.e != "serverShutdown" else _explain(frame, None)
        if data.t is None or data.m is None or not data.s or not data.T:
            raise PoisonError("a trade without its id, symbol, time or side")
        trade = Trade(
            NAME,
            data.s,
            data.t,
            data.p,
            data.q,
            "sell" if data.m else "buy",
            data.T * 1000 if data.T < _LAST_MILLISECOND else data.T,
            ingest_time_us,
        )
        return (check_trade(trade),)

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the gap's first trades and the one before; all requests weigh the same."""
        beside = 0 if gap.alone else 1
        start = max(0, gap.first_id - beside)
        limit = min(_PAGE, gap.last_id - start + 1 + beside)
        return f"/api/v3/historicalTrades?symbol={quote(gap.symbol)}&fromId={start}&limit={limit}"

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of trades.
        """
        return parse_history_rows(
            split_rows(body), lambda row: _history_trade(row, symbol, ingest_time_us), "id"
        )

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the list of symbols.

        Raises:
            PoisonError: it is broken.
        """
        try:
            rows = _decode_listing(body).symbols
        except MALFORMED as error:
            raise PoisonError(f"no list of symbols: {error}") from error
        return parse_listing_rows(rows, _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of a minute."""
        limit = min(self.klines_at_once, (end_us - start_us) // MINUTE_US)
        return f"/api/v3/klines?symbol={quote(symbol)}&interval=1m&startTime={start_us // 1000}&limit={limit}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are broken.
        """
        try:
            rows = _decode_klines(body)
        except MALFORMED as error:
            raise PoisonError(f"no candles: {error}") from error
        return tuple([_kline(row) for row in rows])


def _listed(row: Raw) -> ListedSymbol:
    listed = _decode_listed(row)
    return ListedSymbol(
        listed.symbol, TRADING if listed.status == "TRADING" else listed.status or "no status"
    )


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    if trade.symbol not in (None, symbol):
        raise PoisonError(f"of {trade.symbol!r}, which was not asked for")
    return Trade(
        NAME,
        symbol,
        trade.id,
        check_decimal(trade.price, "price"),
        check_decimal(trade.qty, "size"),
        "sell" if trade.isBuyerMaker else "buy",
        check_time_us(trade.time * 1000 if trade.time < _LAST_MILLISECOND else trade.time),
        ingest_time_us,
    )


def _kline(row: _Kline) -> Kline:
    texts = (row.open, row.high, row.low, row.close, row.volume)
    open_, high, low, close, volume = [Decimal(check_decimal(text, "a candle's number")) for text in texts]
    open_time_us = row.open_time * 1000 if row.open_time < _LAST_MILLISECOND else row.open_time
    return Kline(check_time_us(open_time_us), open_, high, low, close, volume, row.trade_count)


def _explain(frame: bytes, error: Exception | None) -> Parsed:
    """Parse a frame that is no trade of the usual shape."""
    message = decode_object(frame)
    payload = message.get("data", message)
    kind = payload.get("e") if isinstance(payload, dict) else None
    if kind == "serverShutdown":
        return Closing("the server is shutting down")
    refusal = message.get("error", message)
    if "error" in message or ("code" in message and "msg" in message):
        return Refused(_reason(refusal))
    if error is not None and (kind == "trade" or not isinstance(payload, dict)):
        raise PoisonError(f"a trade of another shape: {error}") from error
    return ()


def _reason(refusal: Any) -> str:
    if not isinstance(refusal, dict):
        return str(refusal)
    return f"{refusal.get('msg')} (code {refusal.get('code')})"
