"""Coinbase Exchange: the `matches` and `heartbeat` channels.

Documentation: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
and https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades

A trade. `side` is the maker's, so the aggressor is the other. Ids count up by one within a product. After
subscribing comes the product's latest trade so far, which is one of its trades, too, as a `last_match`:

    {"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8",
     "taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z",
     "product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}

A heartbeat, once a second and product, with the id of the product's latest trade:

    {"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",
     "time":"2014-11-07T08:19:28.464459Z"}

An acknowledgement, which lists all subscriptions that the connection has now:

    {"type":"subscriptions","channels":[{"name":"matches","product_ids":["ETH-USD","ETH-EUR"]},
     {"name":"heartbeat","product_ids":["ETH-EUR","ETH-USD"]}]}

A refusal, of a whole message with all its products:

    {"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}

History, newest first; `after` gives what is older than an id:

    GET /products/BTC-USD/trades?after=75&limit=2
    [{"trade_id":74,"side":"sell","size":"0.01000000","price":"10.00000000","time":"2014-11-07T22:19:28.578544Z"},
     {"trade_id":73,"side":"buy","size":"0.01000000","price":"11.00000000","time":"2014-11-07T01:08:43.642366Z"}]

Candles of its own, at most 300, newest first: time in seconds, low, high, open, close, volume. Minutes
without trades have none, and at times others haven't either:

    GET /products/BTC-USD/candles?granularity=60&start=2014-11-07T22:19:00Z&end=2014-11-07T22:20:00Z
    [[1415398768,0.32,4.2,0.35,4.2,12.3]]

All products; `trading_disabled` says that one does not trade:

    GET /products
    [{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","status":"online","trading_disabled":false}]
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import (
    TRADING,
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
    microseconds,
    parse_history_rows,
    parse_listing_rows,
    plain_decimal,
    split_rows,
)
from tickplant.errors import PoisonError
from tickplant.intervals import MINUTE_US
from tickplant.klines import Kline
from tickplant.market import Side, Trade, check_decimal
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=20,  # "spread subscriptions over more than one connection"; no number is given
    messages_per_s=8,  # 100 an address, but 8 "requests", which a subscription may be
    connects=8,
    connects_window_s=1,
    silence_s=10,  # a heartbeat a second
    requests_per_s=10,
)

_PAGE: Final = 1000
_MATCHES: Final = ("match", "last_match")
_OURS: Final = (*_MATCHES, "heartbeat", "subscriptions", "error")
_UNKNOWN_PRODUCT: Final = " is not a valid product"
_TAKER: Final[Mapping[str, Side]] = {"sell": "buy", "buy": "sell"}

_Int64 = Annotated[int, TRADE_ID]


class _Message(Struct, gc=False):
    """The fields of a trade and of a heartbeat; defaults stand for what is not there."""

    type: str = ""
    product_id: str = ""
    trade_id: _Int64 | None = None
    side: str = ""
    size: str = ""
    price: str = ""
    time: str | None = None
    last_trade_id: _Int64 | None = None


class _HistoryTrade(Struct, gc=False):
    """A trade as REST gives it."""

    trade_id: _Int64
    side: Literal["buy", "sell"]
    size: str
    price: str
    time: str
    product_id: str | None = None
    """Not documented; where it is there, it must be the one that was asked for."""


class _Kline(Struct, array_like=True, gc=False):
    """A candle as REST gives it."""

    time: int
    low: Any
    high: Any
    open: Any
    close: Any
    volume: Any


class _Product(Struct, gc=False):
    id: str
    status: str = "online"
    trading_disabled: bool = False


_decode_product = msgspec.json.Decoder(_Product).decode
_decode = msgspec.json.Decoder(_Message).decode
_decode_history_trade = msgspec.json.Decoder(_HistoryTrade).decode
_decode_klines = msgspec.json.Decoder(list[_Kline], float_hook=str).decode
_encode = msgspec.json.Encoder().encode


class CoinbaseAdapter:
    """The adapter of Coinbase."""

    name: Final = "coinbase"
    numbered: Final = True
    acknowledges: Final = True
    ws_url: Final = "wss://ws-feed.exchange.coinbase.com"
    rest_url: Final = "https://api.exchange.coinbase.com"
    history_headers: Final[Mapping[str, str]] = {}
    history_by_time: Final = False
    symbols_path: Final = "/products"
    klines_at_once: Final = 300

    def __init__(self, limits: VenueLimits = LIMITS) -> None:
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol in capitals."""
        return symbol.upper()

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the address, which is the same for all symbols."""
        return base_url

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return one message a product, as one that doesn't exist makes the whole message fail.

        The first has to be sent within 5 seconds.
        """
        return [
            _encode(
                {"type": "subscribe", "product_ids": [symbol], "channels": ["matches", "heartbeat"]}
            ).decode()
            for symbol in symbols
        ]

    @staticmethod
    def parse_frame(frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message.

        Raises:
            PoisonError: it is not JSON, or lacks something.
        """
        try:
            message = _decode(frame)
        except MALFORMED as error:
            return _explain(frame, error)
        if message.type in _MATCHES:
            return (_trade(message, ingest_time_us),)
        if message.type == "heartbeat":
            return _heartbeat(message)
        return _explain(frame, None)

    def history_path(self, gap: MissingRange) -> str:
        """Return the request for the gap's first trades and the one before, as the latest before an id."""
        beside = 0 if gap.alone else 1
        start = max(0, gap.first_id - beside)
        limit = min(_PAGE, gap.last_id - start + 1 + beside)
        return f"/products/{quote(gap.symbol)}/trades?after={start + limit}&limit={limit}"

    def parse_history(self, body: bytes, symbol: str, ingest_time_us: int) -> ParsedRows:
        """Parse a page of history.

        Raises:
            UnreadableError: it can't be decoded.
            PoisonError: it is not a page of trades.
        """
        return parse_history_rows(
            split_rows(body), lambda row: _history_trade(row, symbol, ingest_time_us), "trade_id"
        )

    def parse_symbols(self, body: bytes) -> tuple[ListedSymbol, ...]:
        """Parse the list of products.

        Raises:
            PoisonError: it is broken.
        """
        return parse_listing_rows(split_rows(body), _listed)

    def klines_path(self, symbol: str, start_us: int, end_us: int) -> str:
        """Return the request for candles of a minute; the venue takes both ends for inclusive."""
        start, end = (
            f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
            for at_us in (start_us, end_us - MINUTE_US)
        )
        return f"/products/{quote(symbol)}/candles?granularity=60&start={start}&end={end}"

    def parse_klines(self, body: bytes) -> tuple[Kline, ...]:
        """Parse candles.

        Raises:
            PoisonError: they are broken.
        """
        try:
            rows = _decode_klines(body)
        except MALFORMED as error:
            raise PoisonError(f"no candles: {error}") from error
        return tuple(sorted(map(_kline, rows), key=lambda kline: kline.open_time_us))


def _listed(row: Raw) -> ListedSymbol:
    product = _decode_product(row)
    status = "trading is disabled" if product.trading_disabled else TRADING
    return ListedSymbol(product.id, status if product.status == "online" else product.status)


def _history_trade(row: Raw, symbol: str, ingest_time_us: int) -> Trade:
    trade = _decode_history_trade(row)
    if trade.product_id not in (None, symbol):
        raise PoisonError(f"of {trade.product_id!r}, which was not asked for")
    return Trade(
        CoinbaseAdapter.name,
        symbol,
        trade.trade_id,
        check_decimal(trade.price, "price"),
        check_decimal(trade.size, "size"),
        _TAKER[trade.side],
        microseconds(trade.time),
        ingest_time_us,
    )


def _kline(row: _Kline) -> Kline:
    numbers = (row.open, row.high, row.low, row.close, row.volume)
    open_, high, low, close, volume = [
        Decimal(plain_decimal(number, "a candle's number")) for number in numbers
    ]
    return Kline(check_time_us(row.time * 1_000_000), open_, high, low, close, volume, None)


def _trade(message: _Message, ingest_time_us: int) -> Trade:
    side = _TAKER.get(message.side)
    if message.trade_id is None or side is None or not message.product_id or message.time is None:
        raise PoisonError("a trade without its id, product, time or side")
    return check_trade(
        Trade(
            CoinbaseAdapter.name,
            message.product_id,
            message.trade_id,
            message.price,
            message.size,
            side,
            microseconds(message.time),
            ingest_time_us,
        )
    )


def _heartbeat(message: _Message) -> Heartbeat:
    if not message.product_id or message.time is None:
        raise PoisonError("a heartbeat without its product or time")
    return Heartbeat(message.product_id, message.last_trade_id or None, microseconds(message.time))


def _explain(frame: bytes, error: Exception | None) -> Parsed:
    """Parse a frame that is no trade and no heartbeat of the usual shape."""
    message = decode_object(frame)
    kind = message.get("type")
    if kind == "error":
        return _refused(message)
    if kind == "subscriptions":
        return _subscribed(message)
    if error is not None and (kind is None or kind in _OURS):
        raise PoisonError(f"a {kind} of another shape: {error}") from error
    return ()


def _refused(message: dict[str, Any]) -> Refused:
    words = [str(message[key]) for key in ("message", "reason") if message.get(key)]
    product, found, _ = words[-1].partition(_UNKNOWN_PRODUCT) if words else ("", "", "")
    return Refused(": ".join(words) or "no reason given", (product,) if found and product else ())


def _subscribed(message: dict[str, Any]) -> Subscribed:
    try:
        names = [channel["product_ids"] for channel in message["channels"] if channel["name"] == "matches"]
        return Subscribed(tuple(msgspec.convert([name for some in names for name in some], list[str])))
    except (KeyError, TypeError, ValueError) as error:
        raise PoisonError(f"an acknowledgement of another shape: {error!r}") from error
