"""Binance spot over websocket: the trade stream.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams

A trade. `T` is its time, in microseconds if the address requests that, else in milliseconds. If `m` is true,
the buyer was the maker, so the aggressor sold. Ids are consecutive within a symbol. A raw stream sends the
content of `data` only:

    {"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136000,"s":"BNBBTC","t":12345,"p":"0.001",
     "q":"100","T":1672515782136000,"m":true,"M":true}}

A notice before the server shuts down; every connection is closed after 24 hours:

    {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}

A refusal of a message. An unknown stream in the address is ignored without a message:

    {"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":1}
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from ingest.venues.base import Closing, Parsed, ParsedFrames, Refused, VenueLimits
from ingest.venues.binance_rest import LAST_MILLISECOND, NAME, BinanceRestAdapter
from ingest.venues.frames import Batch, choose_parser, decode_frames, parse_in_columns
from ingest.venues.parsing import TradeId, decode_object
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import Trade
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=200,  # of 1,024 allowed: a short address, and few symbols lost with a connection
    messages_per_s=5,
    connects=300,
    connects_window_s=300,
    connection_age_s=24 * 3600,
    silence_s=60,  # the venue sends a ping every 20 s
    requests_per_s=4,  # each has weight 25 of 6,000 a minute
)

_SIDES: Final = bytes.maketrans(b"\0\1", b"bs")
"""The letter of the side by `m`: whether the buyer was the maker, so that the aggressor sold."""


class _Payload(Struct, gc=False):
    """The fields of a trade; a default marks a missing field."""

    e: str = ""
    s: str = ""
    t: TradeId | None = None
    p: str = ""
    q: str = ""
    T: TradeId = 0
    m: bool | None = None


class _Envelope(Struct, gc=False):
    data: _Payload | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode
_decode_envelopes = msgspec.json.Decoder(_Envelope).decode_lines
_decode_payloads = msgspec.json.Decoder(_Payload).decode_lines


class BinanceAdapter(BinanceRestAdapter):
    """The adapter of Binance."""

    name: Final = NAME
    numbered: Final = True
    acknowledges: Final = False
    ws_url: Final = "wss://stream.binance.com:9443"

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
            PoisonError: it is not JSON, or a trade with a missing or invalid field.
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
            raise PoisonError("a trade without id, symbol, time or side")
        trade = Trade(
            NAME,
            data.s,
            data.t,
            data.p,
            data.q,
            "sell" if data.m else "buy",
            data.T * 1000 if data.T < LAST_MILLISECOND else data.T,
            ingest_time_us,
        )
        return (check_trade(trade),)

    @staticmethod
    def parse_frames(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
        """Parse websocket messages up to the first that has no trades; see `VenueAdapter`."""
        return ParsedFrames(*_parse_frames(frames, ingest_time_us))


def parse_frames_in_python(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
    """Parse frames without the compiled kernel, which gives the same; see `VenueAdapter.parse_frames`."""
    return parse_in_columns(frames, ingest_time_us, NAME, _batch, BinanceAdapter.parse_frame)


_parse_frames = choose_parser(NAME, parse_frames_in_python)


def _batch(frames: Sequence[bytes]) -> tuple[Batch, int]:
    """Return the trades of the frames up to the first that is none, and the number of frames.

    Raises:
        ValueError: one can't be decoded.
        PoisonError: a trade lacks something.
    """
    combined = [envelope.data for envelope in decode_frames(_decode_envelopes, frames)]
    payloads = [payload for payload in combined if payload is not None]
    if len(payloads) < len(frames):  # raw streams
        raw = decode_frames(_decode_payloads, frames)
        payloads = [inner or outer for inner, outer in zip(combined, raw, strict=True)]
    kinds = [payload.e for payload in payloads]
    if kinds.count("trade") < len(kinds):
        payloads = payloads[: next(i for i, kind in enumerate(kinds) if kind != "trade")]
    ids = [payload.t for payload in payloads if payload.t is not None]
    makers = [payload.m for payload in payloads if payload.m is not None]
    symbols = [payload.s for payload in payloads if payload.s]
    times = [payload.T for payload in payloads if payload.T]
    if not len(ids) == len(makers) == len(symbols) == len(times) == len(payloads):
        raise PoisonError("a trade without id, symbol, time or side")
    if times and min(times) < LAST_MILLISECOND:
        times = [time * 1000 if time < LAST_MILLISECOND else time for time in times]
    prices, sizes = [payload.p for payload in payloads], [payload.q for payload in payloads]
    return Batch(symbols, ids, prices, sizes, bytes(makers).translate(_SIDES).decode(), times), len(payloads)


def _explain(frame: bytes, error: Exception | None) -> Parsed:
    """Parse a frame that is not a trade of the documented shape."""
    message = decode_object(frame)
    payload = message.get("data", message)
    kind = payload.get("e") if isinstance(payload, dict) else None
    if kind == "serverShutdown":
        return Closing("the server is shutting down")
    refusal = message.get("error", message)
    if "error" in message or ("code" in message and "msg" in message):
        return Refused(_reason(refusal))
    if error is not None and (kind == "trade" or not isinstance(payload, dict)):
        raise PoisonError(f"a trade of unexpected shape: {error}") from error
    return ()


def _reason(refusal: Any) -> str:
    if not isinstance(refusal, dict):
        return str(refusal)
    return f"{refusal.get('msg')} (code {refusal.get('code')})"
