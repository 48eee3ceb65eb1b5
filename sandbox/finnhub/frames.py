"""Frames of Finnhub: recognised and parsed from captures, and encoded.

Trades, several a frame, of several symbols, without ids; `t` is in milliseconds, `c` a list or null:

    {"data":[{"c":["1","12"],"p":122.1,"s":"AAPL","t":1575526691136,"v":100},
     {"c":null,"p":7296.89,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0.011467}],"type":"trade"}
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from sandbox.rows import plain_decimal, stream_name
from sandbox.venue import ParsedFrame, SyntheticTrade
from tickplant.errors import PoisonError
from tickplant.market import Trade, check_decimal

VENUE: Final = "finnhub"


class _Row(Struct, gc=False):
    s: Annotated[str, Meta(min_length=1, pattern=r"^\S+$")]
    p: Any
    """The number's own text, or an int."""
    v: Any
    t: Annotated[int, Meta(gt=0, lt=2**43)]


class _Event(Struct, gc=False):
    type: str = ""


class _Frame(Struct, gc=False):
    data: list[_Row]


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_frame = msgspec.json.Decoder(_Frame, float_hook=str).decode


def recognises(message: dict[str, Any]) -> bool:
    """Return whether a decoded frame is Finnhub's."""
    return message.get("type") == "trade" and isinstance(message.get("data"), list)


def parse_frame(frame: bytes, receive_time_us: int) -> ParsedFrame | None:
    """Parse one recorded frame; see `Venue.parse_frame`."""
    try:
        if _decode_event(frame).type != "trade":
            return None
        trades = read_trades(frame, receive_time_us)
    except msgspec.DecodeError as error:
        raise PoisonError(f"a broken frame: {error}") from error
    for trade in trades:
        check_decimal(trade.price, "the price p")
        check_decimal(trade.size, "the volume v")
    latest_us = max((trade.event_time_us for trade in trades), default=0)
    return ParsedFrame(stream_name([trade.symbol for trade in trades]), frame, latest_us, trades)


def read_trades(frame: bytes, receive_time_us: int = 0) -> tuple[Trade, ...]:
    """Read the trades of a frame."""
    return tuple(
        Trade(
            VENUE,
            row.s,
            0,
            plain_decimal(row.p),
            plain_decimal(row.v),
            None,
            row.t * 1000,
            receive_time_us or row.t * 1000,
        )
        for row in _decode_frame(frame).data
    )


def encode_trades(symbol: str, trades: Sequence[SyntheticTrade], time_us: int) -> bytes:
    """Return a frame of trades that happened together."""
    rows = (
        f'{{"c":null,"p":{made.price},"s":"{symbol}","t":{time_us // 1000},"v":{made.size}}}'
        for made in trades
    )
    return f'{{"data":[{",".join(rows)}],"type":"trade"}}'.encode()
