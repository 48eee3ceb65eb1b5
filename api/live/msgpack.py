"""The websocket protocol in MessagePack: the same requests and messages, in binary frames. Pure."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from api.http.problems import bad_parameter
from api.live.frames import EncodedMessage, text_frame
from api.live.protocol import ProtocolError
from tickplant.errors import MALFORMED

JSON_PROTOCOL: Final = "tickplant"
MSGPACK_PROTOCOL: Final = "tickplant.msgpack"
"""Subprotocols; a browser that offers some requires one of them as the answer."""

_FORMATS: Final = ("json", "msgpack")


class MessageFormat(NamedTuple):
    """How the messages of a client are written."""

    msgpack: bool
    """In MessagePack rather than in JSON."""
    subprotocol: str | None
    """The answer to those that the client offers."""


def choose_format(offered: Collection[str], requested: str | None) -> MessageFormat:
    """Choose the format of a client, which may offer subprotocols, or name the format in its address.

    Raises:
        Problem: there is no such format, or the subprotocols contradict it.
    """
    if requested not in (None, *_FORMATS):
        raise bad_parameter("format", f"{str(requested)[:20]!r} is not one of {', '.join(_FORMATS)}")
    spoken = [name for name in (MSGPACK_PROTOCOL, JSON_PROTOCOL) if name in offered]
    if requested == "json":
        if spoken == [MSGPACK_PROTOCOL]:
            raise bad_parameter("format", f"json contradicts the subprotocol {MSGPACK_PROTOCOL}")
        spoken.reverse()
    subprotocol = spoken[0] if spoken else None
    msgpack = requested == "msgpack" or (requested is None and subprotocol == MSGPACK_PROTOCOL)
    return MessageFormat(msgpack, subprotocol)


class MsgpackTranslation:
    """Translates for a client that reads MessagePack."""

    def requests(self, data: str | bytes) -> tuple[list[bytes], bytes]:
        """Return a request as JSON; one in a text frame is JSON already."""
        if isinstance(data, str):
            return [data.encode()], b""
        try:
            document: Any = msgspec.msgpack.decode(data)
            return [msgspec.json.encode(document)], b""
        except (*MALFORMED, TypeError) as error:  # TypeError: what JSON doesn't have
            problem = ProtocolError("malformed", f"not MessagePack: {error}")
            return [], text_frame(problem.message(None)).packed

    def frames(self, messages: Sequence[EncodedMessage]) -> bytes:
        """Return messages in binary frames."""
        return b"".join([message.packed for message in messages])
