"""The encoder and decoder of trades in stream entries (MessagePack, by columns).

An entry's trades are `[VERSION, [run, ...]]`; a run has the trades of one symbol, in their order:

    [venue, symbol, ids, prices, sizes, sides, event base, event offsets, ingest base, ingest offsets]

`ids` is the first id where each is the one before plus one, else a list; `prices` and `sizes` are lists of
decimal text; `sides` is a text with a letter of `columns.SIDES` a trade. A time in microseconds is the base
plus the trade's offset; the ingest offsets are nil where all are 0. A reader also understands the former
version, a list of trades as arrays of 8 (`wire.encode_trades`).
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from tickplant import wire
from tickplant.columns import SIDES, TradeColumns, concat, from_trades, group_trades
from tickplant.errors import MALFORMED, PoisonError
from tickplant.market import Trade

VERSION: Final = 2

_HEAD: Final = bytes([0x92, VERSION])
_LETTERS: Final = frozenset(SIDES)


_Int62 = Annotated[int, Meta(ge=-(2**62), lt=2**62)]
"""A number of which the sum of two fits into 64 bits."""


class _Run(Struct, array_like=True, forbid_unknown_fields=True):
    venue: str
    symbol: str
    ids: _Int62 | list[int]
    prices: list[str]
    sizes: list[str]
    sides: str
    event_base_us: _Int62
    event_offsets_us: list[_Int62]
    ingest_base_us: _Int62
    ingest_offsets_us: list[_Int62] | None


class _LooseRun(Struct, array_like=True, forbid_unknown_fields=True):
    """A run in which columns have elements of any kind."""

    venue: str
    symbol: str
    ids: _Int62 | list[Raw]
    prices: list[Raw]
    sizes: list[Raw]
    sides: str
    event_base_us: _Int62
    event_offsets_us: list[Raw]
    ingest_base_us: _Int62
    ingest_offsets_us: list[Raw] | None


_encode = msgspec.msgpack.Encoder().encode
_decode_entry = msgspec.msgpack.Decoder(tuple[int, list[_Run]]).decode
_decode_parts = msgspec.msgpack.Decoder(tuple[int, list[Raw]]).decode
_decode_run = msgspec.msgpack.Decoder(_Run).decode
_decode_loose = msgspec.msgpack.Decoder(_LooseRun).decode
_decode_trade = msgspec.msgpack.Decoder(Trade).decode
_decode_any = msgspec.msgpack.Decoder().decode


def encode_columns(columns: Sequence[TradeColumns]) -> bytes:
    """Encode trades for the `TRADES`, `UNNUMBERED` or `PAST` field of an entry.

    Args:
        columns: at best one a symbol; ids within 64 bits and times within 60, as those of valid trades are.

    Raises:
        OverflowError: a number is beyond 64 bits.
    """
    return _encode((VERSION, [_run(part) for part in columns if len(part)]))


def encode_run(columns: TradeColumns) -> bytes:
    """Encode one element of an entry's list of runs; there must be a trade."""
    return _encode(_run(columns))


def decode_columns(payload: bytes | Raw) -> list[TradeColumns]:
    """Decode the trades of an entry, of either version.

    Returns:
        One of each symbol, in order of first appearance; none of them is empty.

    Raises:
        PoisonError: the payload is no batch of trades, or has one that is none.
    """
    if not _is_columns(payload):
        return group_trades(wire.decode_trades(payload))
    try:
        _, runs = _decode_entry(payload)
    except MALFORMED as error:
        raise PoisonError(f"not a batch of trades: {error}") from error
    return by_symbol([_columns(run) for run in runs])


def decode_each_column(payload: bytes | Raw) -> tuple[list[TradeColumns], list[tuple[bytes, str]]]:
    """Decode the trades of an entry one by one, as `decode_columns` has failed.

    Returns:
        The trades; and what is no trade, encoded, with the reason. A run with columns of unequal length is
        malformed as a whole.

    Raises:
        PoisonError: the payload is no batch.
    """
    if not _is_columns(payload):
        trades, broken = wire.decode_each_trade(payload)
        return group_trades(trades), broken
    try:
        _, parts = _decode_parts(payload)
    except MALFORMED as error:
        raise PoisonError(f"not a batch of trades: {error}") from error
    found: list[TradeColumns] = []
    broken = []
    for part in parts:
        try:
            found.append(_columns(_decode_run(part)))
        except (PoisonError, *MALFORMED):
            try:
                trades, bad = _each_trade(_decode_loose(part))
            except (PoisonError, *MALFORMED) as error:
                broken.append((bytes(part), f"not the trades of a symbol: {error}"))
                continue
            broken += bad
            if trades:
                found.append(from_trades(trades))
    return by_symbol(found), broken


def _is_columns(payload: bytes | Raw) -> bool:
    """Say whether a payload has columns: the former version starts with two heads of arrays.

    Raises:
        PoisonError: it is of a version to come.
    """
    head = bytes(memoryview(payload)[:2])
    if head == _HEAD:
        return True
    if head[:1] == _HEAD[:1] and head[1:] < b"\x80":
        raise PoisonError(f"a batch of trades of version {head[1:].hex()}, which is not known here")
    return False


def _run(columns: TradeColumns) -> _Run:
    times_us, received_us = columns.event_times_us, columns.ingest_times_us
    base_us, received_base_us = times_us[0], received_us[0]
    same = received_us.count(received_base_us) == len(received_us)
    return _Run(
        columns.venue,
        columns.symbol,
        columns.ids[0] if columns.consecutive and abs(columns.ids[0]) < 2**62 else list(columns.ids),
        list(columns.prices),
        list(columns.sizes),
        columns.sides,
        base_us,
        [time_us - base_us for time_us in times_us],
        received_base_us,
        None if same else [time_us - received_base_us for time_us in received_us],
    )


def _columns(run: _Run) -> TradeColumns:
    count = len(run.prices)
    received = run.ingest_offsets_us
    if not (
        count
        and count == len(run.sizes) == len(run.sides) == len(run.event_offsets_us)
        and (isinstance(run.ids, int) or count == len(run.ids))
        and (received is None or count == len(received))
        and _LETTERS.issuperset(run.sides)
    ):
        raise PoisonError("not a batch of trades: columns of unequal length, or a side that is none")
    base_us, received_us = run.event_base_us, run.ingest_base_us
    return TradeColumns(
        run.venue,
        run.symbol,
        list(range(run.ids, run.ids + count)) if isinstance(run.ids, int) else run.ids,
        run.prices,
        run.sizes,
        run.sides,
        [base_us + offset for offset in run.event_offsets_us],
        [received_us] * count if received is None else [received_us + offset for offset in received],
    )


def by_symbol(
    columns: list[TradeColumns], join: Callable[[Sequence[TradeColumns]], TradeColumns] = concat
) -> list[TradeColumns]:
    """Return columns with those of one symbol joined, in order of first appearance."""
    if len({(part.venue, part.symbol) for part in columns}) == len(columns):
        return columns
    groups: dict[tuple[str, str], list[TradeColumns]] = {}
    for part in columns:
        groups.setdefault((part.venue, part.symbol), []).append(part)
    return list(map(join, groups.values()))


def _each_trade(run: _LooseRun) -> tuple[list[Trade], list[tuple[bytes, str]]]:
    """Return the trades of a run, and what is none.

    Raises:
        PoisonError: its columns are of unequal length.
    """
    count = len(run.prices)
    ids = list(range(run.ids, run.ids + count)) if isinstance(run.ids, int) else run.ids
    received = [Raw(b"\x00")] * count if run.ingest_offsets_us is None else run.ingest_offsets_us
    if (
        not count
        == len(run.sizes)
        == len(run.sides)
        == len(run.event_offsets_us)
        == len(ids)
        == len(received)
    ):
        raise PoisonError("columns of unequal length")
    trades, broken = [], []
    for i in range(count):
        part = _encode(
            (
                run.venue,
                run.symbol,
                ids[i],
                run.prices[i],
                run.sizes[i],
                SIDES.get(run.sides[i], run.sides[i]),
                _add_offset(run.event_base_us, run.event_offsets_us[i]),
                _add_offset(run.ingest_base_us, received[i]),
            )
        )
        try:
            trades.append(_decode_trade(part))
        except MALFORMED as error:
            broken.append((part, f"not a trade: {error}"))
    return trades, broken


def _add_offset(base_us: int, offset: Raw) -> Any:
    """Return a time; what stands for its offset, where that is no number."""
    try:
        number = _decode_any(offset)
    except MALFORMED:
        return offset
    if type(number) is not int:
        return offset
    return base_us + number if abs(number) < 2**62 else f"an offset of {number}"
