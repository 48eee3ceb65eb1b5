"""Writes frames to capture files: one after another, by size or by time."""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from ingest.connection import SocketRead
from ingest.recording.capture_file import UNFINISHED, CaptureFile
from ingest.recording.encoders import ENCODERS
from tickplant.intervals import floor
from tickplant.times import to_datetime

MOST_WAITING_BYTES: Final = 256 * 1024
"""Lines are written as soon as they have this size."""

_SUFFIXES: Final = {"gzip": ".gz", "zstd": ".zst", "none": ""}
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


class Rotation(Struct, frozen=True):
    """When the next file is begun; None for never."""

    size: int | None = None
    """Bytes of a file, exceeded by the lines of one flush at most."""
    every_us: int | None = None
    """Microseconds; files begin at multiples of it, in UTC."""


class CapturePath(Struct, frozen=True):
    """The names of the files."""

    folder: Path
    stem: str
    """Empty: files are named by venue and time."""
    suffix: str
    compression: str
    """A name of `ENCODERS`."""

    def of(self, *, venue: str | None, begin: datetime | None) -> Path:
        """Return the path of a file.

        Args:
            venue: part of the name if several are recorded.
            begin: the time of its first line, part of the name of one of several files; in UTC.
        """
        parts = (self.stem, venue, None if begin is None else f"{begin:%Y%m%dT%H%M%SZ}")
        return self.folder / ("-".join(part for part in parts if part) + self.suffix)


def capture_path(output: str, compression: str | None) -> CapturePath:
    """Return the names of files for what a user has named.

    Args:
        output: a file, or a folder: one that exists, or a name with a slash at its end.
        compression: None for that of the file's name, or gzip in a folder.

    Raises:
        ValueError: the compression contradicts the name.
    """
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        chosen = compression or "gzip"
        return CapturePath(path, "", f".ndjson{_SUFFIXES[chosen]}", chosen)
    named = _COMPRESSIONS.get(path.suffix)
    if compression is not None and named is not None and compression != named:
        raise ValueError(f"{path.name} is the name of a file compressed by {named}")
    stem = path.with_suffix("") if named else path
    suffix = stem.suffix + (path.suffix if named else "")
    return CapturePath(path.parent, path.name.removesuffix(suffix), suffix, compression or named or "none")


class CaptureWriter:
    """Writes the frames of one venue.

    Args:
        path: the names of the files.
        venue: part of the names; None if one venue is recorded to a named file.
        rotation: when the next file is begun.
        on_finish: called with each file that is finished and the number of its lines.
    """

    def __init__(
        self,
        path: CapturePath,
        *,
        venue: str | None,
        rotation: Rotation,
        on_finish: Callable[[Path, int], None] = lambda path, lines: None,
    ) -> None:
        self._path = path
        self._venue = venue
        self._rotation = rotation
        self._several = rotation.size is not None or rotation.every_us is not None or not path.stem
        self._on_finish = on_finish
        self._file: CaptureFile | None = None
        self._end_us: int | None = None
        """Lines from this time on belong to the next file."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._first_us = 0
        self.frames = 0
        """Received so far."""
        self.written_bytes = 0
        """In all finished files."""

    def prepare(self) -> None:
        """Create the folder, or the only file, so that a wrong name is found before anything is received.

        Raises:
            OSError: that fails.
        """
        folder = self._path.folder
        if not self._path.stem:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise FileNotFoundError(None, "there is no such folder", str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(None, "no files can be created in this folder", str(folder))
        if not self._several:
            self._file = self._open()

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return self.written_bytes + (self._file.size if self._file else 0)

    def add(self, reads: Iterable[SocketRead]) -> None:
        """Add frames, each as a line with its receive time in nanoseconds.

        Raises:
            OSError: lines can't be written, or a file can't be created.
        """
        for time_us, frames in reads:
            if self._end_us is not None and time_us >= self._end_us:
                self.rotate()
            if not self._waiting:
                self._first_us = time_us
            for frame in frames:
                # JSON has line breaks only between its tokens, where a space means the same
                text = frame if b"\n" not in frame else frame.replace(b"\n", b" ")
                self._waiting.append(b"%d000 %b\n" % (time_us, text))
                self._waiting_bytes += len(text)
            self.frames += len(frames)
            if self._file is None and self._rotation.every_us is not None and self._end_us is None:
                self._end_us = floor(time_us, self._rotation.every_us) + self._rotation.every_us
            if self._waiting_bytes >= MOST_WAITING_BYTES:
                self.flush()

    def flush(self, now_us: int | None = None) -> None:
        """Write what was added, so that it can be read; begin the next file if it is time.

        Args:
            now_us: the present; a file whose time has passed is finished though no frame arrives.

        Raises:
            OSError: lines can't be written, or a file can't be created.
        """
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if lines:
            if self._file is None:
                self._file = self._open()
            self._file.write(lines)
        full = self._rotation.size is not None and self.size - self.written_bytes >= self._rotation.size
        if full or (now_us is not None and self._end_us is not None and now_us >= self._end_us):
            self._finish()

    def rotate(self) -> None:
        """Write what was added and finish the file.

        Raises:
            OSError: that fails.
        """
        self.flush()
        self._finish()

    def close(self) -> None:
        """Finish the file with what could be written, also after an error.

        Raises:
            OSError: that fails.
        """
        self._waiting = []
        self._finish()

    def _finish(self) -> None:
        file, self._file, self._end_us = self._file, None, None
        if file is None:
            return
        self.written_bytes += file.size
        file.finish()
        if file.lines:
            self._on_finish(file.path, file.lines)

    def _open(self) -> CaptureFile:
        return CaptureFile(self._next_path(), ENCODERS[self._path.compression]())

    def _next_path(self) -> Path:
        """Return a path for the next file; of several in one second the later ones have a number."""
        begin = to_datetime(self._first_us) if self._several else None
        path = self._path.of(venue=self._venue, begin=begin)
        if not self._several:
            return path
        number = 1
        suffix = self._path.suffix
        free = path
        while free.exists() or free.with_name(free.name + UNFINISHED).exists():
            number += 1
            free = path.with_name(f"{path.name.removesuffix(suffix)}-{number}{suffix}")
        return free
