"""The encoder and decoder of data in Redis (MessagePack, structs as arrays); trades are in `wire_columns`.

An input entry has one field, `TRADES` to `CHANGE` below; a live entry has one, `UPDATE` or `BREAK`.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from tickplant.bot import PaperAccount
from tickplant.derived import Change, Firing, Signal, Unified
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import Candle, Gap, Trade

TRADES: Final = b"t"
"""A batch of trades."""
UNNUMBERED: Final = b"n"
"""A batch of trades of a venue without trade ids, with ids of our own."""
HISTORICAL: Final = b"p"
"""A batch of old trades that were fetched from history; live clients don't receive them."""
CLOCK: Final = b"c"
"""A `Clock`."""
VERDICT: Final = b"v"
"""A `Verdict`."""
CHANGE: Final = b"a"
"""What a user changed: `tickplant.derived.Change`."""
UPDATE: Final = b"u"
"""A `LiveUpdate`."""
BREAK: Final = b"b"
"""In a live stream: earlier updates may have been lost, or hold trades that will be published again.

Its value is the input entry up to which trades that are not published again will be stored."""


class Clock(Struct, frozen=True, array_like=True):
    """A venue's time: all earlier trades of the symbols have been written to the stream."""

    venue: str
    symbols: tuple[str, ...]
    time_us: int


VerdictKind = Literal["backfilling", "unrecoverable", "void"]
"""Requested from the venue; refused by the venue; without trades, according to the venue."""


class Verdict(Struct, frozen=True, array_like=True):
    """What is known of missing ids other than by receiving their trades."""

    venue: str
    symbol: str
    first_id: int
    last_id: int
    verdict: VerdictKind
    reason: str | None = None


class LiveEntry(Struct, frozen=True, array_like=True):
    """The trades of one input entry that were new."""

    entry_id: str
    trades: Raw
    """A batch as in `TRADES`, left encoded until a client needs it."""


class LiveUpdate(Struct, frozen=True, array_like=True):
    """What changed in one partition."""

    entries: tuple[LiveEntry, ...] = ()
    """New trades, in stream order."""
    prices: tuple[Trade, ...] = ()
    """The last trade of every symbol that traded."""
    candles: tuple[Candle, ...] = ()
    """The whole state, not a delta, of every candle that changed."""
    gaps: tuple[Gap, ...] = ()
    """The whole state of every gap that changed."""
    signals: tuple[Signal, ...] = ()
    """After the commit, as are all fields from here on."""
    firings: tuple[Firing, ...] = ()
    accounts: tuple[PaperAccount, ...] = ()
    """The paper bot's account of every symbol where it changed."""
    unified: tuple[Unified, ...] = ()
    """Each symbol that traded, with its latest averages and signals."""


class SymbolProblem(Struct, frozen=True):
    """The reason why no trades of a symbol are received, though its connection may be live."""

    symbol: str
    state: str
    """refused, unknown, halted, delisted or silent"""
    reason: str


class ConnectionStatus(Struct, frozen=True):
    """The state of one venue connection, as ingest last reported it."""

    name: str
    venue: str
    symbols: tuple[str, ...]
    state: str
    """connecting, live, refused (no symbol is accepted) or down"""
    since_us: int
    reason: str = ""
    reported_at_us: int = field(default=0, name="told_us")
    """When ingest reported it, which it does every few seconds: an old report is out of date."""
    problems: tuple[SymbolProblem, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_trades_decoder = msgspec.msgpack.Decoder(list[Trade])
_parts_decoder = msgspec.msgpack.Decoder(list[Raw])
_trade_decoder = msgspec.msgpack.Decoder(Trade)
_verdict_decoder = msgspec.msgpack.Decoder(Verdict)
_gaps_decoder = msgspec.msgpack.Decoder(list[Gap])
_clock_decoder = msgspec.msgpack.Decoder(Clock)
_update_decoder = msgspec.msgpack.Decoder(LiveUpdate)
_change_decoder: msgspec.msgpack.Decoder[Change] = msgspec.msgpack.Decoder(Change)
_connection_decoder = msgspec.msgpack.Decoder(ConnectionStatus)


_T = TypeVar("_T")


def _decode(decoder: msgspec.msgpack.Decoder[_T], payload: bytes | Raw, what: str) -> _T:
    try:
        return decoder.decode(payload)
    except MALFORMED as error:
        raise PoisonError(f"not {what}: {error}") from error


def encode_trades(trades: Sequence[Trade]) -> bytes:
    """Encode a batch for the `TRADES` field in version 1; `wire_columns.encode_columns` writes version 2."""
    return _encoder.encode(trades)


def decode_trades(payload: bytes | Raw) -> list[Trade]:
    """Decode a `TRADES` field of version 1.

    Raises:
        PoisonError: the payload is not a batch of trades.
    """
    return _decode(_trades_decoder, payload, "a batch of trades")


def decode_each_trade(payload: bytes | Raw) -> tuple[list[Trade], list[tuple[bytes, str]]]:
    """Decode a `TRADES` field of version 1 trade by trade.

    Returns:
        The trades; and the items that are not trades, each with the reason.

    Raises:
        PoisonError: the payload is not a list.
    """
    trades, broken = [], []
    for part in _decode(_parts_decoder, payload, "a batch of trades"):
        try:
            trades.append(_trade_decoder.decode(part))
        except MALFORMED as error:
            broken.append((bytes(part), f"not a trade: {error}"))
    return trades, broken


def encode_trade(trade: Trade) -> bytes:
    """Encode one trade, as stored in the `prices` hash."""
    return _encoder.encode(trade)


def decode_trade(payload: bytes) -> Trade:
    """Decode one trade.

    Raises:
        PoisonError: the payload is not a trade.
    """
    return _decode(_trade_decoder, payload, "a trade")


def encode_clock(clock: Clock) -> bytes:
    """Encode a `CLOCK` field."""
    return _encoder.encode(clock)


def decode_clock(payload: bytes) -> Clock:
    """Decode a `CLOCK` field.

    Raises:
        PoisonError: the payload is not a clock.
    """
    return _decode(_clock_decoder, payload, "a clock")


def encode_verdict(verdict: Verdict) -> bytes:
    """Encode a `VERDICT` field."""
    return _encoder.encode(verdict)


def decode_verdict(payload: bytes) -> Verdict:
    """Decode a `VERDICT` field.

    Raises:
        PoisonError: the payload is not a verdict.
    """
    return _decode(_verdict_decoder, payload, "a verdict")


def encode_change(change: Change) -> bytes:
    """Encode a `CHANGE` field."""
    return _encoder.encode(change)


def decode_change(payload: bytes) -> Change:
    """Decode a `CHANGE` field.

    Raises:
        PoisonError: the payload is not a change.
    """
    return _decode(_change_decoder, payload, "a change")


def encode_gaps(gaps: Sequence[Gap]) -> bytes:
    """Encode the open gaps of a symbol, as stored in the `gaps` hash."""
    return _encoder.encode(gaps)


def decode_gaps(payload: bytes) -> list[Gap]:
    """Decode the open gaps of a symbol.

    Raises:
        PoisonError: the payload is not a list of gaps.
    """
    return _decode(_gaps_decoder, payload, "a list of gaps")


def encode_update(update: LiveUpdate) -> bytes:
    """Encode an `UPDATE` field."""
    return _encoder.encode(update)


def decode_update(payload: bytes) -> LiveUpdate:
    """Decode an `UPDATE` field.

    Raises:
        PoisonError: the payload is not an update.
    """
    return _decode(_update_decoder, payload, "an update")


def encode_connection(connection: ConnectionStatus) -> bytes:
    """Encode a connection's state."""
    return _encoder.encode(connection)


def decode_connection(payload: bytes) -> ConnectionStatus:
    """Decode a connection's state.

    Raises:
        PoisonError: the payload is not one.
    """
    return _decode(_connection_decoder, payload, "the state of a connection")
