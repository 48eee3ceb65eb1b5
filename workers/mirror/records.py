"""Kafka records: what is mirrored, and its JSON and Protobuf forms. Pure.

`KINDS` is the schema of both formats: JSON has these names, and Protobuf numbers them from 1 in this order,
as in schema/tickplant.proto. Consumers rely on it, so fields are added at the end only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from tickplant import wire
from tickplant.derived import Firing, Signal
from tickplant.errors import PoisonError
from tickplant.kernel import decode_trades
from tickplant.market import Candle, Trade
from workers.mirror import protobuf

Format = Literal["json", "protobuf"]


class MirroredKind(NamedTuple):
    """The topic and fields of one type that is mirrored."""

    topic: str
    """Without the prefix."""
    fields: tuple[str, ...]


class Record(NamedTuple):
    """A Kafka record."""

    topic: str
    key: bytes
    """`venue:symbol`, so that all records of a symbol are in one partition, in their order."""
    value: bytes


_CANDLE: Final = (
    *(
        "venue",
        "symbol",
        "interval",
        "open_time_us",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
    ),
    *("trade_count", "first_event_time_us", "first_trade_id", "last_event_time_us", "last_trade_id"),
    *("revision", "closed", "complete", "taker_buy_volume", "taker_buy_quote_volume"),
)
_SIGNAL: Final = (
    *("strategy", "venue", "symbol", "number", "event_time_us", "trade_id", "price", "side", "strength"),
    "values",
)
_FIRING: Final = (
    *("alert_id", "number", "user", "venue", "symbol", "kind", "event_time_us", "trade_id", "price", "value"),
    *("threshold", "note"),
)
_TRADE: Final = (
    *("venue", "symbol", "trade_id", "price", "size", "side", "event_time_us", "ingest_time_us"),
)

KINDS: Final[Mapping[type[Struct], MirroredKind]] = {
    Trade: MirroredKind("trades", _TRADE),
    Candle: MirroredKind("candles", _CANDLE),
    Signal: MirroredKind("signals", _SIGNAL),
    Firing: MirroredKind("alerts", _FIRING),
}

Fields = Mapping[bytes, bytes]
Extract = Callable[[Fields], Sequence[Struct]]
"""Returns what of an entry is to be mirrored, in order; raises PoisonError where it can't be understood."""


def extract_trades(fields: Fields) -> Sequence[Trade]:
    """Return the trades of an input entry, duplicates included.

    Raises:
        PoisonError: they are malformed.
    """
    payload = fields.get(wire.TRADES) or fields.get(wire.UNNUMBERED) or fields.get(wire.HISTORICAL)
    return decode_trades(payload) if payload is not None else ()


def extract_results(fields: Fields) -> Sequence[Struct]:
    """Return the closed and corrected candles, signals and firings of an update.

    Raises:
        PoisonError: it is malformed.
    """
    payload = fields.get(wire.UPDATE)
    if payload is None:
        raise PoisonError(f"an entry without an update: fields {sorted(fields)!r}")
    update = wire.decode_update(payload)
    return [*(candle for candle in update.candles if candle.closed), *update.signals, *update.firings]


class Encoder:
    """Encodes trades and results as records."""

    def __init__(self, *, prefix: str, format: Format) -> None:
        """Take the prefix of the topics and the format of the values."""
        self._topics = {kind: f"{prefix}{KINDS[kind].topic}" for kind in KINDS}
        self._values = {kind: attrgetter(*KINDS[kind].fields) for kind in KINDS}
        self._encode = _encode_protobuf if format == "protobuf" else _encode_json

    @property
    def topics(self) -> list[str]:
        """The names of all topics, with the prefix."""
        return list(self._topics.values())

    def encode(self, items: Iterable[Any]) -> list[Record]:
        """Return the records of trades or results, in order."""
        return [
            Record(
                self._topics[type(item)],
                f"{item.venue}:{item.symbol}".encode(),
                self._encode(KINDS[type(item)].fields, map(_plain, self._values[type(item)](item))),
            )
            for item in items
        ]


_json: Final = msgspec.json.Encoder()


def _encode_json(names: Sequence[str], values: Iterable[Any]) -> bytes:
    return _json.encode(dict(zip(names, values, strict=True)))


def _encode_protobuf(names: Sequence[str], values: Iterable[Any]) -> bytes:
    return protobuf.encode_message(values)


def _plain(value: Any) -> Any:
    """Return decimals as text without exponent, as in all other formats."""
    return format(value, "f") if type(value) is Decimal else value
