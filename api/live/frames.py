"""Messages as they go over the wire: encoded once for all clients. Pure."""

import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from api.live.protocol import Code

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_SHORT: Final = 126
"""The first length of a payload that takes more than a byte."""

_encoder: Final = msgspec.json.Encoder()


class MessageHead(Struct):
    """The fields of a message that its event depends on."""

    type: str
    channel: str = ""
    cursor: str = ""
    recovered: bool = True
    code: Code | None = None
    message: str = ""
    near: list[str] = []

    @property
    def starts_channel(self) -> bool:
        """Whether the channel starts anew, so that earlier changes are not needed to follow it."""
        return self.type == "snapshot" or (self.type == "resumed" and not self.recovered)


_head_decoder: Final = msgspec.json.Decoder(MessageHead)


class EncodedMessage(Struct, eq=False, gc=False):
    """A message, the same object for every client."""

    data: bytes
    """An unmasked text frame that holds its JSON."""
    cursor: str = ""
    """Where its channel continues after it; empty for other messages."""
    _packed: bytes | None = None
    _head: MessageHead | None = None
    translation: Any = None
    """What another interface sends of it, which makes that once for all its clients."""

    @property
    def payload(self) -> bytes:
        """The JSON alone."""
        length = self.data[1]
        return self.data[2 if length < _SHORT else 4 if length == _SHORT else 10 :]

    @property
    def packed(self) -> bytes:
        """A binary frame that holds the message in MessagePack, encoded when it is first needed."""
        if self._packed is None:
            message = msgspec.json.decode(self.payload)
            self._packed = _frame(_BINARY, msgspec.msgpack.encode(message))
        return self._packed

    @property
    def head(self) -> MessageHead:
        """The fields that its event depends on, decoded when they are first needed."""
        if self._head is None:
            self._head = _head_decoder.decode(self.payload)
        return self._head


def text_frame(message: Any, cursor: str = "") -> EncodedMessage:
    """Encode a message into one unmasked text frame."""
    return EncodedMessage(_frame(_TEXT, _encoder.encode(message)), cursor)


def joined(messages: Sequence[EncodedMessage]) -> bytes:
    """Return the text frames of messages; of a single one the same object for all clients."""
    if len(messages) == 1:
        return messages[0].data
    return b"".join([message.data for message in messages])


def _frame(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < _SHORT:
        head = bytes((kind, length))
    elif length < 65_536:
        head = struct.pack("!BBH", kind, 126, length)
    else:
        head = struct.pack("!BBQ", kind, 127, length)
    return head + payload
