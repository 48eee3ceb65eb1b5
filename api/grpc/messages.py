"""Views of REST and messages of the hub as messages of the schema. Pure.

A field of a message has the value of the view's field of its name; one that ends with `_us` has that of the
time of the name before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from api.live.frames import EncodedMessage
from tickplant.api.v1.market_data_pb2 import Candle, StreamCandlesResponse, StreamTradesResponse, Trade
from tickplant.time_parsing import parse_time_us

MessageT = TypeVar("MessageT", bound=Message)

_US: Final = "_us"


def message_of(kind: type[MessageT], view: Any, **more: Any) -> MessageT:
    """Return a message with the values of a view, a struct or an object of its JSON, and more values."""
    given: Mapping[str, Any] = view if isinstance(view, dict) else msgspec.to_builtins(view)
    values = {
        name: parse_time_us(value) if is_time else value
        for name, source, is_time in _sources(kind.DESCRIPTOR, frozenset(more))
        if (value := given.get(source)) is not None
    }
    return kind(**values, **more)


@lru_cache(maxsize=64)
def _sources(kind: Descriptor, without: frozenset[str]) -> list[tuple[str, str, bool]]:
    """Return the name of each field, the field of a view that it takes, and whether that is a time."""
    names = [field.name for field in kind.fields if field.name not in without]
    return [
        (name, name.removesuffix(_US), True) if name.endswith(_US) else (name, name, False) for name in names
    ]


class Piece(NamedTuple):
    """A serialized response that holds one candle, or trades.

    Serialized messages in a row are one message, whose repeated fields hold all their elements:
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """

    data: bytes
    closed: bool | None = None
    """Of a candle."""


def candle_pieces(message: EncodedMessage) -> Sequence[Piece]:
    """Return what a message of a channel of candles holds, encoded once for all clients."""
    if message.translation is None:
        body = _decode(message)
        _, venue, rest = body.channel.split(":", 2)
        symbol, _, interval = rest.rpartition(":")
        message.translation = [_candle(view, f"{venue}:{symbol}", interval) for view in _rows(body.data)]
    pieces: Sequence[Piece] = message.translation
    return pieces


def trade_pieces(message: EncodedMessage) -> Sequence[Piece]:
    """Return what a message of a channel of trades holds, encoded once for all clients."""
    if message.translation is None:
        body = _decode(message)
        symbol = body.channel.partition(":")[2]
        trades = [message_of(Trade, view, symbol=symbol) for view in _rows(body.data)]
        message.translation = [Piece(StreamTradesResponse(trades=trades).SerializeToString())]
    pieces: Sequence[Piece] = message.translation
    return pieces


class _Body(msgspec.Struct):
    channel: str
    data: Any


_decoder: Final = msgspec.json.Decoder(_Body)


def _decode(message: EncodedMessage) -> _Body:
    return _decoder.decode(message.payload)


def _rows(data: Any) -> Iterable[dict[str, Any]]:
    """Return the elements of a list, or a single one."""
    return data if isinstance(data, list) else [data]


def _candle(view: dict[str, Any], symbol: str, interval: str) -> Piece:
    candle = message_of(Candle, view, symbol=symbol, interval=interval)
    return Piece(StreamCandlesResponse(candles=[candle]).SerializeToString(), candle.closed)
