"""Parsing of many frames at once into columns, with one call of a decoder, and checks of whole columns."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ingest.venues.base import Parsed, ParsedFrames
from tickplant import kernel
from tickplant.columns import Row, group_rows, group_trades
from tickplant.errors import PoisonError
from tickplant.market import Trade

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


def parse_in_columns(
    frames: Sequence[bytes],
    ingest_time_us: int,
    venue: str,
    rows_of: Callable[[Sequence[bytes]], tuple[Sequence[Row], int]],
    parse_frame: Callable[[bytes, int], Parsed],
) -> ParsedFrames:
    """Parse the first frames of some; see `VenueAdapter.parse_frames`.

    Args:
        frames: of a venue.
        ingest_time_us: when they were received.
        venue: its name.
        rows_of: returns the rows of the first frames, and how many frames these are; may raise ValueError or
            RecursionError where any of them can't be decoded.
        parse_frame: the adapter's.
    """
    if not frames:
        return _NOTHING
    try:
        rows, consumed = rows_of(frames)
    except (PoisonError, ValueError, RecursionError):
        return _parse_one_by_one(frames, ingest_time_us, parse_frame)
    if not rows:
        return _NOTHING
    columns = group_rows(venue, rows, ingest_time_us)
    if all(it.valid() for it in columns):
        return ParsedFrames(columns, consumed)
    return _parse_one_by_one(frames, ingest_time_us, parse_frame)


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
