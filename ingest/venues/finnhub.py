"""Finnhub: trades of US stocks, forex and crypto.

Documentation: https://finnhub.io/docs/api/websocket-trades

Trades, several in a frame, of several symbols, not in order of time. `p` and `v` are JSON numbers, read as
text so that they stay exact; `t` is in milliseconds; `c`, the conditions, is a list or null and is ignored.
There are no ids and no history. Identical rows are separate trades. In price updates without
a trade, `v` is 0:

    {"data":[{"c":["1","12"],"p":122.1,"s":"AAPL","t":1575526691136,"v":100},
     {"c":null,"p":7296.89,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0.011467}],"type":"trade"}

A heartbeat, about once a minute:

    {"type":"ping"}

A refusal, which does not name the symbol; subscriptions are not acknowledged:

    {"msg":"Subscribing to too many symbols","type":"error"}
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import Heartbeat, Parsed, ParsedFrames, Refused, Secret, VenueLimits
from ingest.venues.frames import Batch, Row, batch_of, choose_parser, decode_frames, parse_in_columns
from ingest.venues.parsing import decode_object, parse_frame_rows, plain_decimal
from tickplant.errors import MALFORMED, PoisonError, SettingsError
from tickplant.market import Trade
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=50,
    connections=1,  # for each key
    silence_s=150,
    requests_per_s=1,
)

_KEY_PLACEHOLDER: Final = "(the key)"


class _Trade(Struct, gc=False):
    """The fields of a trade; `Any` preserves a number's text."""

    s: str
    p: Any
    t: int
    v: Any


class _Message(Struct, gc=False):
    type: str = ""
    data: list[_Trade] | None = None


class _Rows(Struct, gc=False):
    data: list[Raw] = []


_decode = msgspec.json.Decoder(_Message, float_hook=str).decode
_decode_lines = msgspec.json.Decoder(_Message, float_hook=str).decode_lines
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_row = msgspec.json.Decoder(_Trade, float_hook=str).decode
_encode = msgspec.json.Encoder().encode


class FinnhubAdapter:
    """The adapter of Finnhub.

    Raises:
        SettingsError: there is no key.
    """

    name: Final = "finnhub"
    numbered: Final = False
    acknowledges: Final = False
    ws_url: Final = "wss://ws.finnhub.io"
    rest_url: Final = "https://finnhub.io"

    def __init__(self, api_key: str | None = None, limits: VenueLimits = LIMITS) -> None:
        if not api_key:
            raise SettingsError(
                [
                    "TICKPLANT_FINNHUB_API_KEY: finnhub needs an API key, free at https://finnhub.io: set"
                    " it, or TICKPLANT_FINNHUB_API_KEY_FILE to a file that contains it"
                ]
            )
        self._api_key = Secret(api_key)
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol unchanged: it is case-sensitive."""
        return symbol

    def stream_url(self, base_url: str, symbols: Sequence[str]) -> str:
        """Return the address, which contains the key and is the same for all symbols."""
        return Secret(f"{base_url}/?token=" + quote(self._api_key, safe=""))

    def subscribe_messages(self, symbols: Sequence[str]) -> Sequence[str]:
        """Return one message for each symbol."""
        return [_encode({"type": "subscribe", "symbol": symbol}).decode() for symbol in symbols]

    def parse_frames(self, frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
        """Parse websocket messages up to the first that has no trades."""
        return ParsedFrames(*_parse_frames(frames, ingest_time_us))

    def parse_frame(self, frame: bytes, ingest_time_us: int) -> Parsed:
        """Parse one websocket message; all trades get the id 0.

        Raises:
            PoisonError: it is not JSON, or no trade in it is valid.
        """
        try:
            message = _decode(frame)
        except MALFORMED as error:
            return self._explain(frame, error, ingest_time_us)
        if message.type != "trade":
            return self._explain(frame, None, ingest_time_us)
        if message.data is None:
            raise PoisonError("a trade message without trades")
        try:
            return tuple([_trade(trade, ingest_time_us) for trade in message.data])
        except PoisonError:
            return _parse_rows(frame, ingest_time_us)

    def _explain(self, frame: bytes, error: Exception | None, ingest_time_us: int) -> Parsed:
        """Parse a frame that is not a trade message of the documented shape."""
        message = decode_object(frame)
        kind = message.get("type")
        if kind == "ping":
            return Heartbeat()
        if kind == "error":
            return Refused(
                str(message.get("msg", "no reason given")).replace(self._api_key, _KEY_PLACEHOLDER)
            )
        if error is not None and kind == "trade":
            if isinstance(message.get("data"), list):
                return _parse_rows(frame, ingest_time_us)
            raise PoisonError(f"trades of unexpected shape: {error}") from error
        return ()


def parse_frames_in_python(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
    """Parse frames without the compiled kernel, which gives the same; see `VenueAdapter.parse_frames`."""
    return parse_in_columns(frames, ingest_time_us, FinnhubAdapter.name, _batch, _parse_regular)


_parse_frames = choose_parser(FinnhubAdapter.name, parse_frames_in_python)


def _batch(frames: Sequence[bytes]) -> tuple[Batch, int]:
    """Return the trades of the frames up to the first without trades, and the number of frames.

    Raises:
        ValueError: one can't be decoded.
        PoisonError: a trade is malformed.
    """
    rows: list[Row] = []
    consumed = 0
    for message in decode_frames(_decode_lines, frames):
        if message.type != "trade" or not message.data:
            break
        rows += map(_row, message.data)
        consumed += 1
    return batch_of(rows), consumed


def _row(trade: _Trade) -> Row:
    return trade.s, 0, plain_decimal(trade.p, "price"), plain_decimal(trade.v, "size"), "-", trade.t * 1000


def _parse_regular(frame: bytes, ingest_time_us: int) -> tuple[Trade, ...]:
    """Parse a frame of trades alone.

    Raises:
        PoisonError: it is anything else.
    """
    try:
        message = _decode(frame)
    except MALFORMED as error:
        raise PoisonError(str(error)) from error
    if message.type != "trade" or message.data is None:
        raise PoisonError("not a frame of trades")
    return tuple([_trade(trade, ingest_time_us) for trade in message.data])


def _parse_rows(frame: bytes, ingest_time_us: int) -> Parsed:
    return parse_frame_rows(_decode_rows(frame).data, lambda row: _trade(_decode_row(row), ingest_time_us))


def _trade(trade: _Trade, ingest_time_us: int) -> Trade:
    if not trade.s:
        raise PoisonError("a trade without symbol")
    return check_trade(
        Trade(
            FinnhubAdapter.name,
            trade.s,
            0,
            plain_decimal(trade.p, "price"),
            plain_decimal(trade.v, "size"),
            None,
            trade.t * 1000,
            ingest_time_us,
        )
    )
