"""Frames of Coinbase Exchange: recognised and parsed from captures, and encoded.

A trade; `side` is the maker's, so the aggressor's is the other. A `last_match` looks the same:

    {"type":"match","trade_id":1052119289,"maker_order_id":"15bc13f2-e38c-4693-8c0b-e8c6152b9c1d",
     "taker_order_id":"13d7d08f-7396-421b-9dba-94eac92f3d78","side":"sell","size":"0.2","price":"63514.6",
     "product_id":"BTC-USD","sequence":132235026010,"time":"2026-07-07T22:58:17.164892Z"}

A heartbeat:

    {"type":"heartbeat","last_trade_id":1052119293,"product_id":"BTC-USD","sequence":132235026653,
     "time":"2026-07-07T22:58:18.000000Z"}
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sandbox.times import parse_rfc3339, rfc3339
from sandbox.venue import ParsedFrame
from tickplant.errors import PoisonError
from tickplant.market import Side, Trade, check_decimal

VENUE: Final = "coinbase"

_OTHER: Final[dict[str, Side]] = {"buy": "sell", "sell": "buy"}
_OF_THE_CONNECTION: Final = frozenset({"subscriptions", "heartbeat", "error"})
_TYPES: Final = _OF_THE_CONNECTION | {"match", "last_match", "snapshot", "l2update", "ticker", "status"}


class _Event(Struct, gc=False):
    type: str
    product_id: str = ""
    time: str | None = None


class _Match(Struct, gc=False):
    trade_id: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    side: Literal["buy", "sell"]
    size: str
    price: str
    product_id: Annotated[str, Meta(min_length=1)]
    time: str


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_match = msgspec.json.Decoder(_Match).decode


def recognises(message: dict[str, Any]) -> bool:
    """Return whether a decoded frame is Coinbase's."""
    return message.get("type") in _TYPES and ("product_id" in message or "channels" in message)


def parse_frame(frame: bytes, receive_time_us: int) -> ParsedFrame | None:
    """Parse one recorded frame; see `Venue.parse_frame`."""
    try:
        event = _decode_event(frame)
        if event.type in _OF_THE_CONNECTION:
            return None
        sent_us = parse_rfc3339(event.time) if event.time else 0
        if event.type not in ("match", "last_match"):
            return ParsedFrame(event.product_id, frame, sent_us)
        trade = read_trade(frame, receive_time_us)
    except (msgspec.DecodeError, ValueError) as error:
        raise PoisonError(f"a broken frame: {error}") from error
    check_decimal(trade.price, "the price")
    check_decimal(trade.size, "the size")
    return ParsedFrame(trade.symbol, frame, sent_us, (trade,), historical=event.type == "last_match")


def read_trade(frame: bytes, receive_time_us: int = 0) -> Trade:
    """Read a match."""
    match = _decode_match(frame)
    time_us = parse_rfc3339(match.time)
    return Trade(
        VENUE,
        match.product_id,
        match.trade_id,
        match.price,
        match.size,
        _OTHER[match.side],
        time_us,
        receive_time_us or time_us,
    )


def encode_match(
    symbol: str, trade_id: int, price: str, size: str, side: Side | None, time_us: int, *, kind: str = "match"
) -> str:
    """Return a frame of a trade; the ids of its orders and its sequence follow from its own.

    Args:
        symbol: the product.
        trade_id: its number.
        price: decimal text.
        size: decimal text.
        side: the aggressor's.
        time_us: when it happened.
        kind: `match` or `last_match`.
    """
    return (
        f'{{"type":"{kind}","trade_id":{trade_id},"maker_order_id":"{_order_id(trade_id, 1)}",'
        f'"taker_order_id":"{_order_id(trade_id, 2)}","side":"{maker_side(side)}","size":"{size}",'
        f'"price":"{price}","product_id":"{symbol}","sequence":{trade_id},"time":"{rfc3339(time_us)}"}}'
    )


def encode_heartbeat(symbol: str, last_trade_id: int, time_us: int) -> str:
    """Return a heartbeat."""
    return (
        f'{{"type":"heartbeat","last_trade_id":{last_trade_id},"product_id":"{symbol}",'
        f'"sequence":{last_trade_id},"time":"{rfc3339(time_us)}"}}'
    )


def maker_side(side: Side | None) -> Side:
    """Return the maker's side of a trade by the aggressor's."""
    return "buy" if side == "sell" else "sell"


def _order_id(trade_id: int, role: int) -> str:
    return f"{trade_id & 0xFFFFFFFF:08x}-{trade_id >> 32 & 0xFFFF:04x}-4000-8000-{role:012x}"
