"""Captures: what a venue's socket sent, one frame a line, read and merged in time order.

A line is a frame, or `<receive time, nanoseconds since the epoch> <frame>`. Files may be plain, gzip or zstd,
recognised by their first bytes. A file's venue is recognised by its frames.
"""

import gzip
import heapq
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

import msgspec
import zstandard

from sandbox.venue import ParsedFrame, SandboxVenue
from sandbox.venues import VENUES
from tickplant.errors import FatalError, PoisonError
from tickplant.market import Trade

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_READ_BYTES: Final = 32 * 1024
_SNIFFED_LINES: Final = 50
"""How far into a file its venue must show."""

_decode = msgspec.json.Decoder().decode


class CaptureError(FatalError):
    """A file can't be played; the message names it and gives the reason."""


class CapturedFrame(NamedTuple):
    """One frame, with the moment at which a tape plays it."""

    time_ns: int
    """Of receiving, or the venue's where the capture has none; never falls within a file."""
    venue: SandboxVenue
    frame: ParsedFrame


class CaptureProblem(NamedTuple):
    """A line that could not be parsed and was skipped."""

    path: Path
    line: int
    """Counts from 1."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


OnProblem = Callable[[CaptureProblem], None]


def read_frames(paths: Iterable[Path], on_problem: OnProblem = lambda _: None) -> Iterator[CapturedFrame]:
    """Read captures and merge them by time; frames of one moment keep the order of their files.

    Args:
        paths: files, and directories, of which every capture in them is taken.
        on_problem: called with each line that could not be parsed.

    Raises:
        CaptureError: a file is not there, or holds no frames of a known venue.
    """
    files = find_captures(paths)
    return heapq.merge(
        *(_read_file(path, venue, on_problem) for path, venue in files), key=lambda frame: frame.time_ns
    )


def read_captured_trades(paths: Iterable[Path], on_problem: OnProblem = lambda _: None) -> Iterator[Trade]:
    """Read the trades that captures saw happen, in the order in which tapes play them; see `read_frames`.

    Where the venue doesn't number its trades, their `trade_id` is 0.
    """
    frames = (captured.frame for captured in read_frames(paths, on_problem))
    return (trade for frame in frames if not frame.historical for trade in frame.trades)


def find_captures(paths: Iterable[Path]) -> list[tuple[Path, SandboxVenue]]:
    """Return the capture files and their venues, directories expanded in the order of names, each file once.

    Raises:
        CaptureError: see `read_frames`. Files that are no captures are passed over within directories only.
    """
    found: list[tuple[Path, SandboxVenue]] = []
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise CaptureError(f"{path}: neither a file nor a directory")  # a pipe would be waited for
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        captures = [(file, venue) for file in files if (venue := _recognise(file)) is not None]
        if not captures and path.is_dir():
            raise CaptureError(f"{path}: there is no capture in this directory")
        if not captures:
            raise CaptureError(
                f"{path}: no frame of a known venue in its first {_SNIFFED_LINES} lines; a capture has one"
                " frame a line, which the receive time in nanoseconds may precede"
            )
        found += captures
    found = list({file.resolve(): (file, venue) for file, venue in found}.values())
    if not found:
        raise CaptureError("no capture is named")
    return found


def _recognise(path: Path) -> SandboxVenue | None:
    """Return the venue whose frames a file holds."""
    try:
        for number, line in _read_lines(path, lambda _: None):
            if number > _SNIFFED_LINES:
                break
            message = _object_of(line)
            for venue in VENUES.values():
                if message is not None and venue.recognises(message):
                    return venue
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from error
    return None


def _object_of(line: bytes) -> dict[str, Any] | None:
    try:
        message = _decode(_split(line)[1])
    except (msgspec.DecodeError, ValueError):
        return None
    return message if isinstance(message, dict) else None


def _read_file(path: Path, venue: SandboxVenue, on_problem: OnProblem) -> Iterator[CapturedFrame]:
    latest_ns = 0
    untimed: list[ParsedFrame] = []
    for number, line in _read_lines(path, on_problem):
        try:
            receive_ns, text = _split(line)
            parsed = venue.parse_frame(text, receive_ns // 1000)
        except (PoisonError, ValueError) as error:
            on_problem(CaptureProblem(path, number, str(error)))
            continue
        if parsed is None:
            continue
        latest_ns = max(latest_ns, receive_ns or parsed.event_time_us * 1000)
        untimed.append(parsed)
        if latest_ns:  # frames without a time go with the first that has one
            yield from (CapturedFrame(latest_ns, venue, frame) for frame in untimed)
            untimed.clear()
    if untimed:
        on_problem(CaptureProblem(path, 1, "no line has a time of receiving or sending"))


def _read_lines(path: Path, on_problem: OnProblem) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines that are not blank; a file that breaks off ends there."""
    number = 0
    with _open(path) as file:
        try:
            for number, line in enumerate(file, 1):
                stripped = line.strip()
                if stripped:
                    yield number, stripped
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            on_problem(CaptureProblem(path, number + 1, f"the file breaks off here: {error}"))


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        return io.BufferedReader(_Unpacked(lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), file))
    if magic == _ZSTD:
        return io.BufferedReader(_Unpacked(zstandard.ZstdDecompressor().decompressobj, file))
    return file


class _Decompressor(Protocol):
    """Decompresses one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Unpacked(io.RawIOBase):
    """A decompressed file, up to the last byte that can be decompressed.

    The standard library's reader of gzip loses up to a buffer of text before the place where a file breaks
    off.

    Args:
        start: returns the decompressor of the next gzip member or zstd frame.
        file: the compressed file; it is closed with this one.
    """

    def __init__(self, start: Callable[[], _Decompressor], file: BinaryIO) -> None:
        super().__init__()
        self._start = start
        self._file = file
        self._decompressor: _Decompressor | None = None
        self._text = memoryview(b"")
        self._rest = b""
        """Compressed bytes that were read and belong to the next member or frame."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read up to a buffer of text.

        Raises:
            EOFError: the file ends within a member or frame.
            zlib.error: it is damaged, or zstandard.ZstdError.
        """
        while not self._text:
            data = self._rest or self._file.read(_READ_BYTES)
            self._rest = b""
            if not data:
                if self._decompressor is not None:
                    raise EOFError("its end is missing")
                return 0
            if self._decompressor is None:
                self._decompressor = self._start()
            self._text = memoryview(self._decompressor.decompress(data))
            if self._decompressor.eof:
                self._rest = self._decompressor.unused_data
                self._decompressor = None
        count = min(len(buffer), len(self._text))
        buffer[:count] = self._text[:count]
        self._text = self._text[count:]
        return count

    def close(self) -> None:
        super().close()
        self._file.close()


def _split(line: bytes) -> tuple[int, bytes]:
    """Return the receive time, 0 if there is none, and the frame.

    Raises:
        ValueError: the line starts with a digit, but not with a receive time.
    """
    if not line[:1].isdigit():
        return 0, line
    time, _, frame = line.partition(b" ")
    if not (time.isdigit() and len(time) == 19):
        raise ValueError(
            f"expected a receive time in nanoseconds since the epoch: {time[:30].decode(errors='replace')!r}"
        )
    return int(time), frame.lstrip()
