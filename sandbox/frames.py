"""Websocket frames as a server sends them (RFC 6455): one text frame a message, unmasked, uncompressed."""

from typing import Final, NamedTuple

_FINAL_TEXT: Final = 0x81


class View(NamedTuple):
    """What a connection asked for; connections with the same view get the same bytes."""

    streams: frozenset[str]
    combined: bool
    """Whether each payload is wrapped with the name of its stream."""
    micro: bool
    """Whether times are in microseconds instead of milliseconds."""


def encode_frame(payload: bytes) -> bytes:
    """Return the frame of one text message."""
    length = len(payload)
    if length < 126:
        return bytes((_FINAL_TEXT, length)) + payload
    if length < 65536:
        return bytes((_FINAL_TEXT, 126, length >> 8, length & 255)) + payload
    return bytes((_FINAL_TEXT, 127)) + length.to_bytes(8, "big") + payload


def payload_of(frame: memoryview) -> memoryview:
    """Return the message in a frame that `encode_frame` made."""
    code = frame[1]
    return frame[4:] if code == 126 else frame[10:] if code == 127 else frame[2:]
