"""Frames of Binance streams: recognised and parsed from captures, encoded, and written in either time unit.

A frame of a combined stream:

    {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,
     "p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}

A raw stream sends what is under `data` alone. Best bid and ask have no `e`, `E` or `T`:

    {"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}

Frames lie on a tape with their envelope and in microseconds, the finer unit; they are sent without, and in
milliseconds, where a client doesn't ask for more.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from sandbox.venue import ParsedFrame
from tickplant.errors import PoisonError
from tickplant.market import Trade, check_decimal

VENUE: Final = "binance"

_LAST_MILLISECOND: Final = 10**14
"""Times below are milliseconds, above microseconds: the years 5138 and 1973."""

_MILLI: Final = re.compile(rb'"([ET])":(\d{13})(?=[,}])')
_TRADE_START: Final = b'{"e":"trade","E":'
_ENVELOPE: Final = len('{"stream":"","data":')
_MICRO: Final = re.compile(rb'"([ET])":(\d{13})\d{3}(?=[,}])')


class _Envelope(Struct, gc=False):
    stream: str = ""
    data: Raw = Raw()


class _Event(Struct, gc=False):
    e: str = ""
    E: int = 0
    s: str = ""


class _Trade(Struct, gc=False):
    E: Annotated[int, Meta(gt=0, lt=2**53)]
    s: Annotated[str, Meta(min_length=1)]
    t: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    p: str
    q: str
    T: Annotated[int, Meta(gt=0, lt=2**53)]
    m: bool


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_any = msgspec.json.Decoder().decode


def recognises(message: dict[str, Any]) -> bool:
    """Return whether a decoded frame is Binance's."""
    if "stream" in message and "data" in message:
        return True
    event = message.get("e")
    return (isinstance(event, str) and ("s" in message or "E" in message)) or (
        "lastUpdateId" in message or message.keys() >= {"u", "s", "b", "B", "a", "A"}
    )


def parse_frame(frame: bytes, receive_time_us: int) -> ParsedFrame:
    """Parse one recorded frame.

    Args:
        frame: the text, with or without a combined stream's envelope.
        receive_time_us: when it was received; 0 where the capture has none: then the venue's time of
    sending stands in for a trade's `ingest_time_us`.

    Raises:
        PoisonError: it is not JSON, or a trade that lacks something.
    """
    try:
        stream, data = _open_envelope(frame)
        event = _read_event(data)
        if event.e != "trade":
            return ParsedFrame(stream, wrap(stream, _in_micro(data)), _micro(event.E))
        fields = _decode_trade(data)
    except msgspec.DecodeError as error:
        raise PoisonError(f"a broken frame: {error}") from error
    sent_us = _micro(fields.E)
    check_decimal(fields.p, "the price p")
    check_decimal(fields.q, "the quantity q")
    trade = _trade(fields, receive_time_us or sent_us)
    stream = stream or trade_stream(fields.s)
    return ParsedFrame(stream, wrap(stream, _in_micro(data)), sent_us, (trade,))


def read_trade(text: bytes) -> Trade:
    """Read the trade in a text that was encoded or parsed here."""
    fields = _decode_trade(_decode_envelope(text).data)
    return _trade(fields, _micro(fields.E))


def trade_stream(symbol: str) -> str:
    """Name the stream of a symbol's trades."""
    return symbol.lower() + "@trade"


def is_of_symbol(stream: str, trades: str) -> bool:
    """Return whether a stream carries the same symbol as a stream of trades."""
    return stream.partition("@")[0] == trades.partition("@")[0]


def wrap(stream: str, payload: bytes) -> bytes:
    """Return a payload in the envelope of its stream, if it came on one."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload) if stream else payload


def encode_payload(
    symbol: str, trade_id: int, price: str, size: str, sent: int, traded: int, *, buyer_is_maker: bool
) -> str:
    """Return a trade's payload; the times go in as they are, in either unit."""
    return (
        f'{{"e":"trade","E":{sent},"s":"{symbol}","t":{trade_id},"p":"{price}","q":"{size}","T":{traded}'
        f',"m":{"true" if buyer_is_maker else "false"},"M":true}}'
    )


def style(text: bytes, stream: str, *, combined: bool, micro: bool) -> bytes:
    """Return a text for a client.

    Args:
        text: in its envelope and in microseconds.
        stream: its name, or empty for a text that has no envelope.
        combined: whether the client gets envelopes.
        micro: whether it gets microseconds.
    """
    if combined:
        return text if micro else _in_milli(text)
    payload = text[_ENVELOPE + len(stream.encode()) : -1] if stream else text
    return payload if micro else _in_milli(payload)


def _trade(fields: _Trade, ingest_time_us: int) -> Trade:
    return Trade(
        VENUE,
        fields.s,
        fields.t,
        fields.p,
        fields.q,
        "sell" if fields.m else "buy",
        _micro(fields.T),
        ingest_time_us,
    )


def _open_envelope(frame: bytes) -> tuple[str, bytes]:
    """Return the stream's name and the payload.

    Raises:
        msgspec.DecodeError: the frame is no JSON object.
    """
    found = _decode_envelope(frame)
    return (found.stream, bytes(found.data)) if found.stream and found.data else ("", frame)


def _read_event(data: bytes) -> _Event:
    """Read what all events have in common; whatever has another shape is no event and no error.

    Raises:
        msgspec.DecodeError: it is not JSON.
    """
    try:
        return _decode_event(data)
    except msgspec.ValidationError:
        found = _decode_any(data)
        if isinstance(found, dict) and found.get("e") == "trade":
            raise
        return _Event()


def _micro(time: int) -> int:
    return time * 1000 if time < _LAST_MILLISECOND else time


def _in_milli(text: bytes) -> bytes:
    start = text.find(_TRADE_START) + 30  # past the thirteen digits that stay
    end = text.rfind(b'"T":') + 17
    if start >= 30 and text[start + 3 : start + 4] == b"," and text[end + 3 : end + 4] in (b",", b"}"):
        return b"%b%b%b" % (text[:start], text[start + 3 : end], text[end + 3 :])
    return _MICRO.sub(rb'"\1":\2', text)


def _in_micro(data: bytes) -> bytes:
    return _MILLI.sub(rb'"\1":\g<2>000', data)
