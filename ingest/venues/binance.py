"""Binance spot: frames of the trade stream to trades.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams

A frame of a combined stream (a raw stream sends what is under `data` alone):

    {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,
     "p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}

`T` is when the trade happened, in milliseconds, or microseconds where the address asks for them; `m` says
that the buyer was the maker, so that the aggressor sold. Ids count up by one within a symbol.
"""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from tickplant.errors import PoisonError
from tickplant.market import Trade, check_decimal, is_decimal

NAME: Final = "binance"
MAX_SYMBOLS_PER_CONNECTION: Final = 200
"""Binance allows 1,024 streams a connection; fewer keep the address short and one loss small."""

_LAST_MILLISECOND: Final = 10**14
"""Times below are milliseconds, above microseconds: the years 5138 and 1973."""

_Int64 = Annotated[int, Meta(ge=0, le=2**63 - 2)]


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


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode
_decode_any = msgspec.json.Decoder().decode


def stream_url(base_url: str, symbols: Sequence[str]) -> str:
    """Return the address of one combined stream of the symbols' trades, in microseconds.

    Args:
        base_url: such as wss://stream.binance.com:9443.
        symbols: as Binance writes them, at most `MAX_SYMBOLS_PER_CONNECTION`.
    """
    streams = "/".join(quote(symbol.lower()) + "@trade" for symbol in symbols)
    return f"{base_url}/stream?streams={streams}&timeUnit=MICROSECOND"


def parse_trades(frame: bytes, ingest_time_us: int) -> Sequence[Trade]:
    """Parse one frame.

    Args:
        frame: the text of a websocket message.
        ingest_time_us: when it was received.

    Returns:
        The trades in it: one, or none where the frame is something else.

    Raises:
        PoisonError: it is not JSON, an error message, or a trade that lacks something.
    """
    try:
        data = _decode_envelope(frame).data
        if data is None:
            data = _decode_payload(frame)
    except msgspec.DecodeError as error:
        return _explain(frame, error)
    if data.e != "trade":
        return () if data.e else _explain(frame, None)
    if data.t is None or data.m is None or not data.s or data.T <= 0:
        raise PoisonError("a trade without its id, symbol, time or side")
    if not (is_decimal(data.p) and is_decimal(data.q)):
        check_decimal(data.p, "price")
        check_decimal(data.q, "size")
    return (
        Trade(
            NAME,
            data.s,
            data.t,
            data.p,
            data.q,
            "sell" if data.m else "buy",
            data.T * 1000 if data.T < _LAST_MILLISECOND else data.T,
            ingest_time_us,
        ),
    )


def _explain(frame: bytes, error: msgspec.DecodeError | None) -> Sequence[Trade]:
    """Tell a frame that is no trade, and may look as it likes, from one that is broken."""
    try:
        message = _decode_any(frame)
    except msgspec.DecodeError as broken:
        raise PoisonError(f"not JSON: {broken}") from broken
    if not isinstance(message, dict):
        raise PoisonError("not a JSON object")
    if "error" in message or ("code" in message and "msg" in message):
        raise PoisonError("the venue reports an error")
    payload = message.get("data", message)
    if error is not None and (not isinstance(payload, dict) or payload.get("e") == "trade"):
        raise PoisonError(f"a trade of another shape: {error}") from error
    return ()
