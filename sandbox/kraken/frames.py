"""Frames of Kraken's websocket v2: recognised and parsed from captures, and encoded.

Trades, several a frame; `side` is the taker's. One of the type `snapshot` has the latest before subscribing:

    {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,
     "ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from sandbox.rows import plain_decimal, stream_name
from sandbox.times import parse_rfc3339, rfc3339
from sandbox.venue import ParsedFrame, SyntheticTrade
from tickplant.errors import PoisonError
from tickplant.market import Side, Trade, check_decimal

VENUE: Final = "kraken"


class _Row(Struct, gc=False):
    symbol: Annotated[str, Meta(min_length=1, pattern=r"^\S+$")]
    side: Side
    price: Any
    """The number's own text, or an int."""
    qty: Any
    trade_id: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    timestamp: str


class _Event(Struct, gc=False):
    channel: str = ""
    type: str = ""


class _Frame(Struct, gc=False):
    data: list[_Row]


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_frame = msgspec.json.Decoder(_Frame, float_hook=str).decode


def recognises(message: dict[str, Any]) -> bool:
    """Return whether a decoded frame is Kraken's."""
    return (isinstance(message.get("channel"), str) and "product_id" not in message) or (
        "method" in message and "success" in message
    )


def parse_frame(frame: bytes, receive_time_us: int) -> ParsedFrame | None:
    """Parse one recorded frame; see `Venue.parse_frame`."""
    try:
        event = _decode_event(frame)
        if event.channel != "trade":
            return None
        trades = read_trades(frame, receive_time_us)
    except (msgspec.DecodeError, ValueError) as error:
        raise PoisonError(f"a broken frame: {error}") from error
    for trade in trades:
        check_decimal(trade.price, "the price")
        check_decimal(trade.size, "the quantity")
    latest_us = max((trade.event_time_us for trade in trades), default=0)
    stream = stream_name([trade.symbol for trade in trades])
    return ParsedFrame(stream, frame, latest_us, trades, historical=event.type == "snapshot")


def read_trades(frame: bytes, receive_time_us: int = 0) -> tuple[Trade, ...]:
    """Read the trades of a frame."""
    return tuple(_trade(row, receive_time_us) for row in _decode_frame(frame).data)


def encode_trades(symbol: str, trades: Iterable[SyntheticTrade], time_us: int, kind: str = "update") -> bytes:
    """Return a frame of trades that happened together."""
    time = rfc3339(time_us)
    rows = (encode_row(symbol, made.trade_id, made.price, made.size, made.side, time) for made in trades)
    return wrap(rows, kind).encode()


def encode_snapshot(trades: Sequence[Trade]) -> str:
    """Return a frame of a symbol's latest trades."""
    rows = (
        encode_row(
            trade.symbol, trade.trade_id, trade.price, trade.size, trade.side, rfc3339(trade.event_time_us)
        )
        for trade in trades
    )
    return wrap(rows, "snapshot")


def encode_row(symbol: str, trade_id: int, price: str, size: str, side: Side | None, time: str) -> str:
    """Return a trade."""
    return (
        f'{{"symbol":"{symbol}","side":"{side}","price":{price},"qty":{size},"ord_type":"market",'
        f'"trade_id":{trade_id},"timestamp":"{time}"}}'
    )


def wrap(rows: Iterable[str], kind: str) -> str:
    """Return a frame of trades."""
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'


def _trade(row: _Row, receive_time_us: int) -> Trade:
    time_us = parse_rfc3339(row.timestamp)
    return Trade(
        VENUE,
        row.symbol,
        row.trade_id,
        plain_decimal(row.price),
        plain_decimal(row.qty),
        row.side,
        time_us,
        receive_time_us or time_us,
    )
