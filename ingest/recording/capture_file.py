"""One capture file while it is written."""

import os
from pathlib import Path
from typing import Final

from ingest.recording.encoders import FrameEncoder

UNFINISHED: Final = ".part"
"""Ends the name of a file that is being written, or whose writer was killed."""


class CaptureFile:
    """A capture, complete after every write; it has the name of an unfinished file until it is finished."""

    def __init__(self, path: Path, encoder: FrameEncoder) -> None:
        """Create the file.

        Args:
            path: its name once it is finished.
            encoder: a new one.

        Raises:
            OSError: it can't be created, or exists already, finished or not.
        """
        self.path = path
        self._encoder = encoder
        self._unfinished = path.with_name(path.name + UNFINISHED)
        if path.exists():
            raise FileExistsError(None, "the file exists already", str(path))
        try:
            self._file = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            raise FileExistsError(
                None,
                "the file exists already: a recording writes it, or one that was killed; it can be played",
                str(self._unfinished),
            ) from None
        self._end = 0
        self._tail = b""
        self.lines = 0
        """Lines that can be read."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._end + len(self._tail)

    def write(self, lines: list[bytes]) -> None:
        """Add lines, so that they can be read.

        Raises:
            OSError: they can't be written; the file has the lines from before.
        """
        data = self._encoder.encode(b"".join(lines))
        tail = self._encoder.tail()
        try:
            self._write_at(self._end, data + tail)
        except OSError as error:
            self._write_at(self._end, self._tail)  # over bytes of the file: needs no space
            os.ftruncate(self._file, self.size)
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self._end, self._tail = self._end + len(data), tail
        self.lines += len(lines)

    def finish(self) -> None:
        """Store the file safely and give it its name; remove it if it has no lines.

        Raises:
            OSError: that fails; the file remains under its other name.
        """
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)
        if self.lines:
            self._unfinished.rename(self.path)
        else:
            self._unfinished.unlink()

    def _write_at(self, position: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, position)
            position, rest = position + written, rest[written:]
