"""Kraken spot, websocket v2: the `trade` channel and its heartbeats.

Documentation: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade
and https://docs.kraken.com/api-reference/market-data/get-recent-trades

Trades, several a frame. `side` is the taker's; `price` and `qty` are JSON numbers with all their digits, read
as text; times are in microseconds. Ids count up by one within a symbol, of which the socket has been seen to
leave some out (https://github.com/krakenfx/api-go/issues/36). A `snapshot` of the latest 50 trades, which are
trades like all others, comes after subscribing:

    {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,
     "ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}

A heartbeat, about once a second while there is nothing else:

    {"channel":"heartbeat"}

Acknowledgement and refusal, one a symbol, and a refusal for what has been sent too fast:

    {"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"MATIC/USD"},"success":true,
     "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}
    {"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",
     "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}
    {"Error":"Exceeded msg rate"}

Other: the state of the trading engine, upon connecting and when it changes:

    {"channel":"status","type":"update","data":[{"system":"online","api_version":"v2",
     "connection_id":12393906104898154338,"version":"2.0.4"}]}

History, up to 1,000 trades since a time in nanoseconds: price, size, time in seconds, side, type, misc., id.
REST has names of its own: XBT and XDG for BTC and DOGE, no slash in requests, others still in answers:

    GET /0/public/Trades?pair=XBTUSD&since=1688669597827736000&count=1000
    {"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],
     ["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953]],"last":"1688671969993150842"}}

Candles of its own, only of the last 720 minutes: time (s), open, high, low, close, vwap, volume, count:

    GET /0/public/OHLC?pair=XBTUSD&interval=1&since=1688671140
    {"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1",
     "3.39243896",23]],"last":1688672160}}

All pairs, by names that the websocket does not use; `wsname` is near it, but has the old names XBT and XDG:

    GET /0/public/AssetPairs
    {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","status":"online"}}}
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import (
    TRADING,
    BusyError,
    Heartbeat,
    ListedSymbol,
    MissingRange,
    Parsed,
    ParsedRows,
    Refused,
    Subscribed,
    VenueLimits,
)
from ingest.venues.parsing import (
    MALFORMED,
    TRADE_ID,
    check_time_us,
    decode_object,
    explain_page,
    microseconds,
    parse_frame_rows,
    parse_history_rows,
    parse_listing_rows,
    plain_decimal,
    split_rows,
)
from tickplant.errors import PoisonError
from tickplant.klines import Kline
from tickplant.market import Side, Trade, check_decimal
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=100,  # no number is given
    messages_per_s=1,  # "dynamic": no number is given
    connects=150,
    connects_window_s=600,  # from then on, the address is banned for as long
    silence_s=10,  # a heartbeat a second; "a deadline timer (e.g. 5 seconds)"
    requests_per_s=1,
    requests_per_symbol=True,
)

_PAGE: Final = 1000
_ID_FIELD: Final = 6
"""Where a row of history has its trade id."""
_REST_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_WS_NAMES: Final = {old: new for new, old in _REST_NAMES.items()}
_SIDES: Final[Mapping[str, Side]] = {"buy": "buy", "sell": "sell", "b": "buy", "s": "sell"}
_PASSING: Final = ("Too many requests", "Rate limit", "lockout", "EService:")

_Int64 = Annotated[int, TRADE_ID]


class _Trade(Struct, gc=False):
    """The fields of a trade; `Any` keeps a number's own text. Defaults stand for what is not there."""

    symbol: str = ""
    side: str = ""
    price: Any = None
    qty: Any = None
    trade_id: _Int64 | None = None
    timestamp: str | None = None


class _Message(Struct, gc=False):
    channel: str = ""
    data: list[_Trade] | None = None


class _Rows(Struct, gc=False):
    data: list[Raw] = []


class _HistoryTrade(Struct, array_like=True, gc=False):
    """A trade as REST gives it."""

    price: str
    size: str
    time: Any
    side: str
    order_type: str
    miscellaneous: str
    trade_id: _Int64


class _Kline(Struct, array_like=True, gc=False):
    """A candle as REST gives it."""

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
_decode = msgspec.json.Decoder(_Message, float_hook=str).decode
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_row = msgspec.json.Decoder(_Trade, float_hook=str).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade, float_hook=str).decode
_decode_kline = msgspec.json.Decoder(_Kline, float_hook=str).decode
_encode = msgspec.json.Encoder().encode


class KrakenAdapter:
    """The adapter of Kraken."""

    name: Final = "kraken"
    numbered: Final = True
    acknowledges: Final = True
    ws_url: Final = "wss://ws.kraken.com"
    rest_url: Final = "https://api.kraken.com"
    history_headers: Final[Mapping[str, str]] = {}
    history_by_time: Final = True
    symbols_path: Final = "/0/public/AssetPairs"
    klines_at_once: Final = 720

    def __init__(self, limits: VenueLimits = LIMITS) -> None:
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol as it is: its case has a meaning."""
        return symbol

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the address, which is the same for all symbols."""
        return f"{base_url}/v2"

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return one message for all symbols."""
        parameters = {"channel": "trade", "symbol": list(symbols), "snapshot": True}
        return (_encode({"method": "subscribe", "params": parameters}).decode(),)

    @staticmethod
    def parse_frame(frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is not JSON, or trades that lack something.
        """
        try:
            message = _decode(frame)
        except MALFORMED as error:
            return _explain(frame, error, ingest_time_us)
        if message.channel != "trade":
            return _explain(frame, None, ingest_time_us)
        if message.data is None:
            raise PoisonError("a frame of trades without trades")
        try:
            return tuple([_trade(trade, ingest_time_us) for trade in message.data])
        except PoisonError:
            return _parse_rows(frame, ingest_time_us)

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the trades from the last one before the gap, or a little earlier."""
        since_us = gap.after_time_us if gap.alone else gap.after_time_us - 1  # the socket may round times up
        count = min(_PAGE, gap.last_id - gap.first_id + 1) if gap.alone else _PAGE
        return f"/0/public/Trades?pair={_pair(gap.symbol)}&since={max(0, since_us) * 1000}&count={count}"

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
            PoisonError: it is broken, or an error.
        """
        try:
            page = _decode_page(body)
        except MALFORMED as error:
            raise PoisonError(f"no list of pairs: {error}") from error
        if page.error:
            raise PoisonError(", ".join(page.error))
        return parse_listing_rows(list(page.result.values()), _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of a minute; the venue gives those after a time."""
        return f"/0/public/OHLC?pair={_pair(symbol)}&interval=1&since={start_us // 1_000_000 - 60}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are broken, or the answer is an error.
            BusyError: the venue asks to retry later.
        """
        try:
            rows = [_decode_kline(row) for row in _read_page(body, None)]
        except MALFORMED as error:
            raise PoisonError(f"no candles: {error}") from error
        return tuple(map(_kline, rows))


def _listed(row: Raw) -> ListedSymbol | None:
    pair = _decode_listed(row)
    if not pair.wsname:
        return None  # not traded over the websocket
    return ListedSymbol(_spell(pair.wsname), TRADING if pair.status == "online" else pair.status)


def _spell(wsname: str) -> str:
    """Return a pair as the websocket writes it today."""
    return "/".join(_WS_NAMES.get(part, part) for part in wsname.split("/"))


def _pair(symbol: str) -> str:
    base, _, quoted = symbol.partition("/")
    return quote(_REST_NAMES.get(base, base) + _REST_NAMES.get(quoted, quoted))


def _names(symbol: str) -> set[str]:
    """Return everything that an answer may call a symbol, such as XXBTZUSD, XBTUSD, BTCUSD or BTC/USD."""
    base, _, quoted = symbol.partition("/")
    bases, quotes = (
        {prefix + name for name in (part, _REST_NAMES.get(part, part)) for prefix in ("", "X", "Z")}
        for part in (base, quoted)
    )
    return {first + mark + second for first in bases for second in quotes for mark in ("", "/")}


def _read_page(body: bytes, symbol: str | None) -> list[Raw]:
    """Return the rows of an answer's one symbol.

    Args:
        body: the answer.
        symbol: whose they must be; None for whosever they are.

    Raises:
        UnreadableError: it can't be decoded.
        PoisonError: it is broken, of another symbol, or an error.
        BusyError: the venue asks to retry later.
    """
    try:
        page = _decode_page(body)
    except MALFORMED as error:
        raise explain_page(body, error) from error
    if page.error:
        reason = ", ".join(page.error)
        raise (BusyError if any(word in reason for word in _PASSING) else PoisonError)(reason)
    found = {name: rows for name, rows in page.result.items() if name != "last"}
    if len(found) != 1:
        raise PoisonError(f"a page of trades of {len(found)} symbols")
    ((name, rows),) = found.items()
    if symbol is not None and name not in _names(symbol):
        raise PoisonError(f"a page of {name!r}, which was not asked for")
    return split_rows(rows)


def _kline(row: _Kline) -> Kline:
    texts = (row.open, row.high, row.low, row.close, row.volume)
    open_, high, low, close, volume = [Decimal(check_decimal(text, "a candle's number")) for text in texts]
    return Kline(check_time_us(row.time * 1_000_000), open_, high, low, close, volume, row.trade_count)


def _parse_rows(frame: bytes, ingest_time_us: int) -> Parsed:
    return parse_frame_rows(_decode_rows(frame).data, lambda row: _trade(_decode_row(row), ingest_time_us))


def _trade(trade: _Trade, ingest_time_us: int) -> Trade:
    side = _SIDES.get(trade.side)
    if trade.trade_id is None or side is None or not trade.symbol or trade.timestamp is None:
        raise PoisonError("a trade without its id, symbol, time or side")
    return check_trade(
        Trade(
            KrakenAdapter.name,
            trade.symbol,
            trade.trade_id,
            plain_decimal(trade.price, "price"),
            plain_decimal(trade.qty, "size"),
            side,
            microseconds(trade.timestamp),
            ingest_time_us,
        )
    )


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    side = _SIDES.get(trade.side)
    if side is None:
        raise PoisonError("a trade without its side")
    return Trade(
        KrakenAdapter.name,
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


def _explain(frame: bytes, error: Exception | None, ingest_time_us: int) -> Parsed:
    """Parse a frame that is not of trades of the usual shape."""
    message = decode_object(frame)
    refusal = message.get("error") or message.get("Error")
    if refusal:
        symbol = message.get("symbol")
        return Refused(str(refusal), (symbol,) if isinstance(symbol, str) else ())
    if message.get("method") == "subscribe":
        return _subscribed(message)
    if message.get("channel") == "heartbeat":
        return Heartbeat()
    if error is not None and message.get("channel") == "trade":
        if isinstance(message.get("data"), list):
            return _parse_rows(frame, ingest_time_us)
        raise PoisonError(f"trades of another shape: {error}") from error
    return ()


def _subscribed(message: dict[str, Any]) -> Subscribed:
    result = message.get("result")
    symbol = result.get("symbol") if isinstance(result, dict) else None
    if message.get("success") is not True or not isinstance(symbol, str):
        raise PoisonError("an acknowledgement of another shape")
    return Subscribed((symbol,))
