"""Lines of a text file, plain or in a zip, in blocks that can be read in any order and in constant memory.

A deflated stream can only be read from its start. So the first pass keeps the state of the decompressor
before each block, some 40 kB, from which the block can be read again.
"""

import zipfile
import zlib
from collections.abc import Iterator
from errno import EINVAL
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from ingest.imports.source import FileError

_BLOCK_BYTES: Final = 8 * 1024 * 1024
_READ_BYTES: Final = 32 * 1024
"""Each kept state holds what is left of one read."""
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_LOCAL_HEADER: Final = 30
_METHODS: Final = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA", 93: "Zstandard"}


class TextBlock(NamedTuple):
    """Some whole lines of a file."""

    first_line: int
    """Counts from 1."""
    before: bytes
    """The start of the first line, which the block before has read."""
    state: "_Reader"
    """Continues after that."""
    size: int
    """How many bytes the reader gives."""


class TextFile:
    """A text file; close it at the end."""

    def __init__(self, path: Path) -> None:
        """Open a plain file, or a zip with one file in it.

        Raises:
            FileError: it is another kind of file.
            OSError: it can't be read.
        """
        self.path = path
        self._file = path.open("rb")
        try:
            self.stem, self._start, self._crc = self._open()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def scan(self) -> Iterator[tuple[TextBlock, bytes]]:
        """Read everything, and yield the blocks with their lines; the last line may lack its end.

        Raises:
            FileError: it is damaged.
        """
        reader, line, before, crc = self._start.copy(), 1, b"", 0
        while True:
            state = reader.copy()
            data = self._read(reader, _BLOCK_BYTES)
            crc = zlib.crc32(data, crc)
            text = before + data
            cut = text.rfind(b"\n") + 1 if data else len(text)
            if text[:cut]:
                yield TextBlock(line, before, state, len(data)), text[:cut]
                line += text.count(b"\n", 0, cut)
            elif not data:
                break
            before = text[cut:]
            if len(before) > _BLOCK_BYTES:
                raise FileError(f"{self.path}: line {line} is too long: this is not a CSV file")
            if not data:
                break
        if self._crc is not None and crc != self._crc:
            raise FileError(
                f"{self.path} is damaged: its content does not have the checksum that the zip gives. Delete"
                " it, and download it again"
            )

    def read(self, block: TextBlock) -> bytes:
        """Return the lines of a block again.

        Raises:
            FileError: the file has changed, or is damaged.
        """
        text = block.before + self._read(block.state.copy(), block.size)
        return text[: text.rfind(b"\n") + 1] if block.size else text

    def _read(self, reader: "_Reader", size: int) -> bytes:
        try:
            return reader.read(self._file, size)
        except zlib.error as error:
            raise FileError(
                f"{self.path} is damaged: it can't be unpacked ({error}). Delete it, and download it again"
            ) from error

    def _open(self) -> tuple[str, "_Reader", int | None]:
        """Return the name of the text without its extension, a reader at its start, and its checksum."""
        magic = self._file.read(4)
        if magic not in (_ZIP, _EMPTY_ZIP):
            return self.path.name.removesuffix(self.path.suffix), _PlainReader(0, None), None
        try:
            with zipfile.ZipFile(self._file) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        except (zipfile.BadZipFile, ValueError, OverflowError, OSError) as error:
            if isinstance(error, OSError) and error.errno != EINVAL:  # of a place before the file's start
                raise
            raise FileError(
                f"{self.path} is damaged or incomplete: it is not a whole zip ({error}). Delete it, and"
                " download it again"
            ) from error
        if len(members) != 1:
            raise FileError(f"{self.path}: expected one file in the zip, found {len(members)}")
        return self._open_member(members[0])

    def _open_member(self, member: zipfile.ZipInfo) -> tuple[str, "_Reader", int]:
        if member.flag_bits & 1:
            raise FileError(
                f"{self.path}: the file in the zip is encrypted: unpack it, and import what is in it"
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
            raise FileError(
                f"{self.path}: the file in the zip is compressed by {method}, which is not supported:"
                " unpack it, and import what is in it"
            )
        self._file.seek(max(0, member.header_offset))
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != _ZIP or member.header_offset < 0:
            raise FileError(f"{self.path} is damaged: its zip has no file where it says. Download it again")
        start = member.header_offset + _LOCAL_HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        end = start + member.compress_size
        reader: _Reader = _PlainReader(start, end)
        if member.compress_type == zipfile.ZIP_DEFLATED:
            reader = _DeflateReader(start, end, zlib.decompressobj(-zlib.MAX_WBITS))
        return Path(member.filename).stem, reader, member.CRC


class _Reader(Protocol):
    """Reads a text on from a place."""

    def copy(self) -> "_Reader":
        """Return a reader at the same place."""

    def read(self, file: BinaryIO, size: int) -> bytes:
        """Return so many bytes, fewer only at the end.

        Raises:
            zlib.error: it can't be unpacked.
        """


class _PlainReader:
    def __init__(self, at: int, end: int | None) -> None:
        self._at = at
        self._end = end

    def copy(self) -> "_PlainReader":
        return _PlainReader(self._at, self._end)

    def read(self, file: BinaryIO, size: int) -> bytes:
        file.seek(self._at)
        data = file.read(size if self._end is None else min(size, self._end - self._at))
        self._at += len(data)
        return data


class _DeflateReader:
    def __init__(self, at: int, end: int, inflater: Any) -> None:
        self._at = at
        self._end = end
        self._inflater = inflater

    def copy(self) -> "_DeflateReader":
        return _DeflateReader(self._at, self._end, self._inflater.copy())

    def read(self, file: BinaryIO, size: int) -> bytes:
        file.seek(self._at)
        parts: list[bytes] = []
        while size > 0 and not self._inflater.eof:
            packed = file.read(min(_READ_BYTES, self._end - self._at))
            part = self._inflater.decompress(packed, size)
            self._at += len(packed) - len(self._inflater.unconsumed_tail)
            if self._inflater.unconsumed_tail:
                file.seek(self._at)
            elif not packed and not part:
                raise zlib.error("it breaks off")
            size -= len(part)
            parts.append(part)
        return b"".join(parts)
