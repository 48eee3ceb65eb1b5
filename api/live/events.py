"""Messages as server-sent events, each with the id at which the whole stream can be resumed. Pure.

The id joins a cursor for each partition. It advances with every message, but for one case: while channels of
a partition start anew, with a snapshot each, it stays before the first of them, so that a client that is cut
off between two snapshots starts anew, too.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from api.live.cursor import Cursor
from api.live.frames import EncodedMessage, MessageHead

KEEP_ALIVE: Final = b":\n\n"
"""A comment, which clients ignore."""

ChannelNames = Callable[[], Mapping[int, set[str]]]
"""Returns the names of all streamed channels of a client, by partition."""


class StreamClosed(Struct, frozen=True, tag_field="type", tag="closed"):
    """The API ends the stream; this is the last event."""

    code: int
    """As the close code of a websocket."""
    reason: str


class EventIds:
    """The id of each event of a stream."""

    def __init__(
        self, since: Iterable[Cursor], channels: ChannelNames, *, snapshot: bool, wildcards: bool
    ) -> None:
        """Start a stream.

        Args:
            since: what the client has.
            channels: of the client; called when channels start anew.
            snapshot: whether new channels start with a snapshot.
            wildcards: whether channels may join later, in any partition.
        """
        self._positions = {cursor.partition: str(cursor) for cursor in since}
        self._channels = channels
        self._snapshot = snapshot
        self._wildcards = wildcards
        self._awaited: dict[int, set[str]] = {}
        """Channels that have yet to start, by partition."""
        self._text = ""

    def after(self, head: MessageHead) -> str | None:
        """Return the id after the next message; None if it hasn't changed."""
        if head.type == "ack":
            self._begin(head.cursor)
        elif head.cursor:
            self._advance(head)
        former, self._text = self._text, ",".join(self._positions.values())
        return None if self._text == former else self._text

    def _begin(self, cursors: str) -> None:
        channels = self._channels()
        if self._snapshot:
            self._awaited = {
                partition: set(names)
                for partition, names in channels.items()
                if partition not in self._positions
            }
        for cursor in cursors.split(",") if cursors else ():
            partition = _partition(cursor)
            if partition not in self._awaited and (self._wildcards or partition in channels):
                self._positions.setdefault(partition, cursor)

    def _advance(self, head: MessageHead) -> None:
        partition = _partition(head.cursor)
        if head.starts_channel and partition not in self._awaited:
            self._awaited[partition] = set(self._channels().get(partition, ()))
        awaited = self._awaited.get(partition)
        if awaited is not None:
            if head.starts_channel or head.type == "joined":
                awaited.discard(head.channel)
            if awaited:
                return
            del self._awaited[partition]
        self._positions[partition] = head.cursor


def event(message: EncodedMessage, id_: str | None) -> bytes:
    """Return the event of a message; without an id, a client keeps the one of the event before."""
    field = b"" if id_ is None else f"id: {id_}\n".encode()
    return b"%bdata: %b\n\n" % (field, message.payload)


def retry(after_ms: int) -> bytes:
    """Return the field that says after which time a client that is cut off connects again."""
    return b"retry: %d\n\n" % after_ms


def closed_event(code: int, reason: str) -> bytes:
    """Return the last event of a stream."""
    return b"data: %b\n\n" % msgspec.json.encode(StreamClosed(code, reason))


def _partition(cursor: str) -> int:
    return int(cursor.partition(".")[0])
