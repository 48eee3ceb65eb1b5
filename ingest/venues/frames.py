"""Parsing of many frames at once into columns, with one call of a decoder, and checks of whole columns."""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

from ingest.venues.base import Parsed, ParsedFrames
from tickplant import kernel
from tickplant.columns import TradeColumns, group_trades
from tickplant.errors import PoisonError
from tickplant.market import Trade
from tickplant.trade_rules import are_fine

Row = tuple[str, int, str, str, str, int]
"""A trade of a known venue: symbol, id, price, size, letter of the side, event time (us)."""

_NOTHING: Final = ParsedFrames([], 0)
_Message = TypeVar("_Message")


def choose_parser(venue: str, pure: kernel.FrameParser) -> kernel.FrameParser:
    """Return the parser of a venue's frames: compiled where there is one, else the given one."""
    return kernel.frame_parser(venue) or pure


def decode_frames(
    decode_lines: Callable[[bytes], list[_Message]], frames: Sequence[bytes]
) -> Sequence[_Message]:
    """Decode frames at once, each exactly as it is decoded alone.

    Raises:
        ValueError, RecursionError: a frame can't be decoded, or has several lines.
    """
    lines = b"\n".join(frames)
    messages = decode_lines(lines)
    # A message starts a line. Where there are as many of both, no message continues on another frame's line.
    if len(messages) != len(frames) or lines.count(b"\n") != len(frames) - 1:
        raise ValueError("frames of several lines")
    return messages


class Batch(NamedTuple):
    """The trades of some frames as columns, in order of arrival."""

    symbols: Sequence[str]
    ids: Sequence[int]
    prices: Sequence[str]
    sizes: Sequence[str]
    sides: str
    """A letter of `columns.SIDES` a trade."""
    event_times_us: Sequence[int]


NO_TRADES: Final = Batch((), (), (), (), "", ())


def batch_of(rows: Sequence[Row]) -> Batch:
    """Return rows as columns."""
    if not rows:
        return NO_TRADES
    symbols, ids, prices, sizes, sides, times_us = zip(*rows, strict=True)
    return Batch(symbols, ids, prices, sizes, "".join(sides), times_us)


def parse_in_columns(
    frames: Sequence[bytes],
    ingest_time_us: int,
    venue: str,
    batch_from: Callable[[Sequence[bytes]], tuple[Batch, int]],
    parse_frame: Callable[[bytes, int], Parsed],
) -> ParsedFrames:
    """Parse the first frames of some; see `VenueAdapter.parse_frames`.

    Args:
        frames: of a venue.
        ingest_time_us: when they were received.
        venue: its name.
        batch_from: returns the trades of the first frames, and how many frames these are; may raise
            PoisonError, ValueError or RecursionError where any of them can't be decoded.
        parse_frame: the adapter's.
    """
    if not frames:
        return _NOTHING
    try:
        batch, consumed = batch_from(frames)
    except (PoisonError, ValueError, RecursionError):
        return _parse_one_by_one(frames, ingest_time_us, parse_frame)
    if not batch.ids:
        return _NOTHING
    numbers = [*batch.prices, *batch.sizes]
    names = {venue, *batch.symbols}
    if not are_fine(names, batch.ids, numbers, batch.event_times_us, (ingest_time_us,)):
        return _parse_one_by_one(frames, ingest_time_us, parse_frame)
    return ParsedFrames(_group(venue, batch, ingest_time_us), consumed)


def _group(venue: str, batch: Batch, ingest_time_us: int) -> list[TradeColumns]:
    """Return the trades by symbol, in order of first appearance."""
    counts = Counter(batch.symbols)
    columns = batch[1:]
    if len(counts) > 1:
        ranks = {symbol: rank for rank, symbol in enumerate(counts)}
        keys = list(map(ranks.__getitem__, batch.symbols))
        ordered = itemgetter(*sorted(range(len(keys)), key=keys.__getitem__))
        ids, prices, sizes, sides, times_us = map(ordered, columns)
        columns = (ids, prices, sizes, "".join(sides), times_us)
    ids, prices, sizes, sides, times_us = columns
    found = []
    start = 0
    for symbol, count in counts.items():
        stop = start + count
        found.append(
            TradeColumns(
                venue,
                symbol,
                ids[start:stop],
                prices[start:stop],
                sizes[start:stop],
                sides[start:stop],
                times_us[start:stop],
                (ingest_time_us,) * count,
            )
        )
        start = stop
    return found


def _parse_one_by_one(
    frames: Sequence[bytes], ingest_time_us: int, parse_frame: Callable[[bytes, int], Parsed]
) -> ParsedFrames:
    """Parse the frames before the first that is odd; the way for batches that have one."""
    trades: list[Trade] = []
    consumed = 0
    for frame in frames:
        try:
            parsed = parse_frame(frame, ingest_time_us)
        except PoisonError:
            break
        if type(parsed) is not tuple or not parsed:
            break
        trades += parsed
        consumed += 1
    return ParsedFrames(group_trades(trades), consumed)
