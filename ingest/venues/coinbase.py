"""Coinbase Exchange over websocket: the `matches` and `heartbeat` channels.

Documentation: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels

A trade. `side` is the maker's; the aggressor's is the opposite. Ids are consecutive within a product. After
the subscription the venue sends the product's latest trade as a `last_match`, a trade like all others:

    {"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8",
     "taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z",
     "product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}

A heartbeat, once a second for each product, with the id of the product's latest trade:

    {"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",
     "time":"2014-11-07T08:19:28.464459Z"}

An acknowledgement, which lists all current subscriptions of the connection:

    {"type":"subscriptions","channels":[{"name":"matches","product_ids":["ETH-USD","ETH-EUR"]},
     {"name":"heartbeat","product_ids":["ETH-EUR","ETH-USD"]}]}

A refusal, which applies to the whole message with all its products:

    {"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingest.venues.base import Heartbeat, Parsed, ParsedFrames, Refused, Subscribed, VenueLimits
from ingest.venues.coinbase_rest import NAME, TAKER_SIDES, CoinbaseRestAdapter
from ingest.venues.frames import Batch, batch_of, choose_parser, decode_frames, parse_in_columns
from ingest.venues.parsing import TradeId, decode_object, microseconds
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import Trade
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=20,  # "spread subscriptions over more than one connection"; no number is given
    messages_per_s=8,  # 100 for an IP address, but 8 "requests", which may include subscriptions
    connects=8,
    connects_window_s=1,
    silence_s=10,  # a heartbeat a second
    requests_per_s=10,
)

_TRADE_TYPES: Final = ("match", "last_match")
_KNOWN_TYPES: Final = (*_TRADE_TYPES, "heartbeat", "subscriptions", "error")
_TAKER_LETTERS: Final = {"sell": "b", "buy": "s"}
_UNKNOWN_PRODUCT: Final = " is not a valid product"


class _Message(Struct, gc=False):
    """The fields of a trade and of a heartbeat; a default marks a missing field."""

    type: str = ""
    product_id: str = ""
    trade_id: TradeId | None = None
    side: str = ""
    size: str = ""
    price: str = ""
    time: str | None = None
    last_trade_id: TradeId | None = None


_decode = msgspec.json.Decoder(_Message).decode
_decode_lines = msgspec.json.Decoder(_Message).decode_lines
_encode = msgspec.json.Encoder().encode


class CoinbaseAdapter(CoinbaseRestAdapter):
    """The adapter of Coinbase."""

    name: Final = NAME
    numbered: Final = True
    acknowledges: Final = True
    ws_url: Final = "wss://ws-feed.exchange.coinbase.com"

    def __init__(self, limits: VenueLimits = LIMITS) -> None:
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol in capitals."""
        return symbol.upper()

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the address, which is the same for all symbols."""
        return base_url

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return one message for each product, as one unknown product makes a whole message fail.

        The first must be sent within 5 seconds after connecting.
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
            PoisonError: it is not JSON, or a field is missing or invalid.
        """
        try:
            message = _decode(frame)
        except MALFORMED as error:
            return _explain(frame, error)
        if message.type in _TRADE_TYPES:
            return (_trade(message, ingest_time_us),)
        if message.type == "heartbeat":
            return _heartbeat(message)
        return _explain(frame, None)

    @staticmethod
    def parse_frames(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
        """Parse websocket messages up to the first that has no trades; see `VenueAdapter`."""
        return ParsedFrames(*_parse_frames(frames, ingest_time_us))


def parse_frames_in_python(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
    """Parse frames without the compiled kernel, which gives the same; see `VenueAdapter.parse_frames`."""
    return parse_in_columns(frames, ingest_time_us, NAME, _batch, CoinbaseAdapter.parse_frame)


_parse_frames = choose_parser(NAME, parse_frames_in_python)


def _batch(frames: Sequence[bytes]) -> tuple[Batch, int]:
    """Return the trades of the frames up to the first that is no trade, and the number of frames.

    Raises:
        ValueError: one can't be decoded.
        PoisonError: a time is malformed.
    """
    rows = []
    for match in decode_frames(_decode_lines, frames):
        side = _TAKER_LETTERS.get(match.side)
        if match.type not in _TRADE_TYPES or side is None:
            break
        if match.trade_id is None or not match.product_id or match.time is None:
            break
        time_us = microseconds(match.time)
        rows.append((match.product_id, match.trade_id, match.price, match.size, side, time_us))
    return batch_of(rows), len(rows)


def _trade(message: _Message, ingest_time_us: int) -> Trade:
    side = TAKER_SIDES.get(message.side)
    if message.trade_id is None or side is None or not message.product_id or message.time is None:
        raise PoisonError("a trade without id, product, time or side")
    return check_trade(
        Trade(
            NAME,
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
        raise PoisonError("a heartbeat without product or time")
    return Heartbeat(message.product_id, message.last_trade_id or None, microseconds(message.time))


def _explain(frame: bytes, error: Exception | None) -> Parsed:
    """Parse a frame that is neither a trade nor a heartbeat of the documented shape."""
    message = decode_object(frame)
    kind = message.get("type")
    if kind == "error":
        return _refused(message)
    if kind == "subscriptions":
        return _subscribed(message)
    if error is not None and (kind is None or kind in _KNOWN_TYPES):
        raise PoisonError(f"a {kind} of unexpected shape: {error}") from error
    return ()


def _refused(message: dict[str, Any]) -> Refused:
    reasons = [str(message[key]) for key in ("message", "reason") if message.get(key)]
    product, found, _ = reasons[-1].partition(_UNKNOWN_PRODUCT) if reasons else ("", "", "")
    return Refused(": ".join(reasons) or "no reason given", (product,) if found and product else ())


def _subscribed(message: dict[str, Any]) -> Subscribed:
    try:
        products = [
            product
            for channel in message["channels"]
            if channel["name"] == "matches"
            for product in channel["product_ids"]
        ]
        return Subscribed(tuple(msgspec.convert(products, list[str])))
    except (KeyError, TypeError, ValueError) as error:
        raise PoisonError(f"an acknowledgement of unexpected shape: {error!r}") from error
