"""Compression of a capture that is a complete file after every flush.

A stream is flushed at a block's end, and what would end the file there follows: its tail. The next block
replaces the tail. So any program can read a file whose writer was killed, to its last flush, without a
warning.
"""

import zlib
from typing import Final, Protocol

import zstandard

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, unknown system (RFC 1952, section 2.3)."""
_LAST_DEFLATE_BLOCK: Final = b"\x03\x00"
"""An empty block that is marked as the last (RFC 1951, section 3.2.6)."""
_LAST_ZSTD_BLOCK: Final = b"\x01\x00\x00"
"""An empty raw block that is marked as the last (RFC 8878, section 3.1.1.2)."""


class FrameEncoder(Protocol):
    """Compresses a file block by block."""

    def encode(self, data: bytes) -> bytes:
        """Return what is added to the file for some data, up to a block's end."""

    def tail(self) -> bytes:
        """Return what ends the file after the data so far."""


class Plain:
    """No compression."""

    def encode(self, data: bytes) -> bytes:
        """Return the data."""
        return data

    def tail(self) -> bytes:
        """Return nothing: the file can end anywhere."""
        return b""


class Gzip:
    """gzip (RFC 1952), one member."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._header = _GZIP_HEADER
        self._checksum = self._length = 0

    def encode(self, data: bytes) -> bytes:
        """Return the header, if it was not returned before, and the compressed data."""
        header, self._header = self._header, b""
        self._checksum, self._length = zlib.crc32(data, self._checksum), self._length + len(data)
        return header + self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def tail(self) -> bytes:
        """Return the last block, and the checksum and length of the data."""
        length = self._length & 0xFFFFFFFF
        return _LAST_DEFLATE_BLOCK + self._checksum.to_bytes(4, "little") + length.to_bytes(4, "little")


class Zstd:
    """zstd (RFC 8878), one frame without a checksum."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=6).compressobj()

    def encode(self, data: bytes) -> bytes:
        """Return the compressed data, after the first call's frame header."""
        return self._compressor.compress(data) + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def tail(self) -> bytes:
        """Return the last block."""
        return _LAST_ZSTD_BLOCK


ENCODERS: Final[dict[str, type[FrameEncoder]]] = {"gzip": Gzip, "zstd": Zstd, "none": Plain}
"""By the names of compressions."""
