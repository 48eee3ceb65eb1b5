"""Websocket frames as a server sends them (RFC 6455): one text frame a message, unmasked, uncompressed."""

from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple

_FINAL_TEXT: Final = 0x81


class View(NamedTuple):
    """A connection's streams and format; connections with equal views get equal bytes."""

    streams: frozenset[str]
    style: Hashable = None
    """Whatever else of the request shapes its frames; the venue's to know."""


def encode_frame(payload: bytes) -> bytes:
    """Return the frame of one text message."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL_TEXT, length)) + payload
    if length < 65536:
        return bytes((_FINAL_TEXT, 126, length >> 8, length & 255)) + payload
    return bytes((_FINAL_TEXT, 127)) + length.to_bytes(8, "big") + payload


def payload_of(frame: bytes | memoryview) -> bytes | memoryview:
    """Return the message in a frame that `encode_frame` made."""
    code = frame[1]
    return frame[4:] if code == 126 else frame[10:] if code == 127 else frame[2:]


def split_frames(data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Yield the frames in a run of frames that `encode_frame` made."""
    start, end = 0, len(data)
    while start < end:
        code = data[start + 1]
        if code < 126:
            after = start + 2 + code
        elif code == 126:
            after = start + 4 + (data[start + 2] << 8 | data[start + 3])
        else:
            after = start + 10 + int.from_bytes(data[start + 2 : start + 10], "big")
        yield data[start:after]
        start = after
