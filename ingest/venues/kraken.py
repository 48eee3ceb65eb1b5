"""Kraken spot over websocket v2: the `trade` channel and its heartbeats.

Documentation: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade

Trades, several in a frame. `side` is the taker's; `price` and `qty` are JSON numbers with all digits, read as
text; times are in microseconds. Ids are consecutive within a symbol; the websocket is known to omit some
trades (https://github.com/krakenfx/api-go/issues/36). After the subscription the venue sends a `snapshot` of
the latest 50 trades, which are trades like all others:

    {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,
     "ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}

A heartbeat, about once a second while nothing else is sent:

    {"channel":"heartbeat"}

Acknowledgement and refusal, one for each symbol, and a refusal of messages beyond the rate limit:

    {"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"MATIC/USD"},"success":true,
     "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}
    {"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",
     "time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}
    {"Error":"Exceeded msg rate"}

The state of the trading engine, after connecting and when it changes; ignored:

    {"channel":"status","type":"update","data":[{"system":"online","api_version":"v2",
     "connection_id":12393906104898154338,"version":"2.0.4"}]}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ingest.venues.base import Heartbeat, Parsed, ParsedFrames, Refused, Subscribed, VenueLimits
from ingest.venues.frames import Batch, Row, batch_of, choose_parser, decode_frames, parse_in_columns
from ingest.venues.kraken_rest import NAME, KrakenRestAdapter
from ingest.venues.parsing import (
    TradeId,
    decode_object,
    microseconds,
    parse_frame_rows,
    plain_decimal,
)
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import Side, Trade
from tickplant.trade_rules import check_trade

LIMITS: Final = VenueLimits(
    symbols_per_connection=100,  # no number is given
    messages_per_s=1,  # "dynamic": no number is given
    connects=150,
    connects_window_s=600,  # beyond that, the IP address is banned for as long
    silence_s=10,  # a heartbeat a second; the venue advises "a deadline timer (e.g. 5 seconds)"
    requests_per_s=1,
    requests_per_symbol=True,
)

_SIDES: Final[Mapping[str, Side]] = {"buy": "buy", "sell": "sell"}
_SIDE_LETTERS: Final = {"buy": "b", "sell": "s"}


class _Trade(Struct, gc=False):
    """The fields of a trade; `Any` preserves a number's text. A default marks a missing field."""

    symbol: str = ""
    side: str = ""
    price: Any = None
    qty: Any = None
    trade_id: TradeId | None = None
    timestamp: str | None = None


class _Message(Struct, gc=False):
    channel: str = ""
    data: list[_Trade] | None = None


class _Rows(Struct, gc=False):
    data: list[Raw] = []


_decode = msgspec.json.Decoder(_Message, float_hook=str).decode
_decode_lines = msgspec.json.Decoder(_Message, float_hook=str).decode_lines
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_row = msgspec.json.Decoder(_Trade, float_hook=str).decode
_encode = msgspec.json.Encoder().encode


class KrakenAdapter(KrakenRestAdapter):
    """The adapter of Kraken."""

    name: Final = NAME
    numbered: Final = True
    acknowledges: Final = True
    ws_url: Final = "wss://ws.kraken.com"

    def __init__(self, limits: VenueLimits = LIMITS) -> None:
        self.limits = limits

    def normalize_symbol(self, symbol: str) -> str:
        """Return the symbol unchanged: it is case-sensitive."""
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
            PoisonError: it is not JSON, or no trade in it is valid.
        """
        try:
            message = _decode(frame)
        except MALFORMED as error:
            return _explain(frame, error, ingest_time_us)
        if message.channel != "trade":
            return _explain(frame, None, ingest_time_us)
        if message.data is None:
            raise PoisonError("a trade message without trades")
        try:
            return tuple([_trade(trade, ingest_time_us) for trade in message.data])
        except PoisonError:
            return _parse_rows(frame, ingest_time_us)

    @staticmethod
    def parse_frames(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
        """Parse websocket messages up to the first that has no trades; see `VenueAdapter`."""
        return ParsedFrames(*_parse_frames(frames, ingest_time_us))


def parse_frames_in_python(frames: Sequence[bytes], ingest_time_us: int) -> ParsedFrames:
    """Parse frames without the compiled kernel, which gives the same; see `VenueAdapter.parse_frames`."""
    return parse_in_columns(frames, ingest_time_us, NAME, _batch, KrakenAdapter.parse_frame)


_parse_frames = choose_parser(NAME, parse_frames_in_python)


def _batch(frames: Sequence[bytes]) -> tuple[Batch, int]:
    """Return the trades of the frames up to the first without trades, and the number of frames.

    Raises:
        ValueError: one can't be decoded.
        PoisonError: a trade is malformed.
    """
    rows: list[Row] = []
    consumed = 0
    for message in decode_frames(_decode_lines, frames):
        if message.channel != "trade" or not message.data:
            break
        rows += map(_row, message.data)
        consumed += 1
    return batch_of(rows), consumed


def _row(trade: _Trade) -> Row:
    side = _SIDE_LETTERS.get(trade.side)
    if trade.trade_id is None or side is None or not trade.symbol or trade.timestamp is None:
        raise PoisonError("a trade without id, symbol, time or side")
    price, size = plain_decimal(trade.price, "price"), plain_decimal(trade.qty, "size")
    return trade.symbol, trade.trade_id, price, size, side, microseconds(trade.timestamp)


def _parse_rows(frame: bytes, ingest_time_us: int) -> Parsed:
    return parse_frame_rows(_decode_rows(frame).data, lambda row: _trade(_decode_row(row), ingest_time_us))


def _trade(trade: _Trade, ingest_time_us: int) -> Trade:
    side = _SIDES.get(trade.side)
    if trade.trade_id is None or side is None or not trade.symbol or trade.timestamp is None:
        raise PoisonError("a trade without id, symbol, time or side")
    return check_trade(
        Trade(
            NAME,
            trade.symbol,
            trade.trade_id,
            plain_decimal(trade.price, "price"),
            plain_decimal(trade.qty, "size"),
            side,
            microseconds(trade.timestamp),
            ingest_time_us,
        )
    )


def _explain(frame: bytes, error: Exception | None, ingest_time_us: int) -> Parsed:
    """Parse a frame that is not a trade message of the documented shape."""
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
        raise PoisonError(f"trades of unexpected shape: {error}") from error
    return ()


def _subscribed(message: dict[str, Any]) -> Subscribed:
    result = message.get("result")
    symbol = result.get("symbol") if isinstance(result, dict) else None
    if message.get("success") is not True or not isinstance(symbol, str):
        raise PoisonError("an acknowledgement of unexpected shape")
    return Subscribed((symbol,))
