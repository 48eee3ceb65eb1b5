"""The outgoing messages of one websocket client: queued by the hub, written as fast as the client reads."""

from collections.abc import Sequence
from typing import Final, Protocol

from api.live.frames import EncodedMessage
from api.live.protocol import Channel, CloseCode, Pattern
from tickplant import metrics

CHUNK_BYTES: Final = 64 * 1024
"""How much is written to a transport before checking whether it is still writable."""


class FrameWriter(Protocol):
    """Writes frames to a connection, and reports whether it is writable."""

    @property
    def writable(self) -> bool:
        """Whether more can be written now."""

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages."""

    async def wait_writable(self) -> None:
        """Wait until more can be written, or the connection has ended."""

    def close_now(self, code: int, reason: str) -> None:
        """Close the connection without waiting for the client."""


class MessageSink(Protocol):
    """Accepts frames: a client, or a buffer for one."""

    def push(self, key: str, frame: EncodedMessage) -> None:
        """Queue a frame, in place of the one with the same key."""


class MessageBuffer(MessageSink, Protocol):
    """Holds frames for a client."""

    def release(self) -> None:
        """Move all frames to the client."""


class Outbox:
    """Frames not yet written, oldest first; a frame replaces the one with the same key.

    Its size is bounded by the number of keys, and by `limit_bytes` where each frame has its own key.
    """

    __slots__ = ("_frames", "_size_bytes", "limit_bytes", "replaced")

    def __init__(self, limit_bytes: int) -> None:
        self._frames: dict[str, EncodedMessage] = {}
        self._size_bytes = 0
        self.limit_bytes = limit_bytes
        self.replaced = 0
        """How many frames were replaced by newer ones."""

    @property
    def waiting(self) -> bool:
        """Whether there is a frame."""
        return bool(self._frames)

    def put(self, key: str, frame: EncodedMessage) -> bool:
        """Append a frame and remove the one with the same key; return whether the limit still holds."""
        frames = self._frames
        if frames:
            old = frames.pop(key, None)
            if old is not None:
                self._size_bytes -= len(old.data)
                self.replaced += 1
        frames[key] = frame
        self._size_bytes += len(frame.data)
        return self._size_bytes <= self.limit_bytes

    def take(self, max_bytes: int) -> list[EncodedMessage]:
        """Remove and return the oldest frames: as many as fit, and at least one."""
        frames = self._frames
        if len(frames) == 1:  # most often; the dict keeps its memory for the next frame
            self._size_bytes = 0
            return [frames.popitem()[1]]
        if self._size_bytes <= max_bytes:
            taken = list(frames.values())
            self.clear()
            return taken
        taken = []
        size = 0
        while frames and size < max_bytes:
            frame = frames.pop(next(iter(frames)))
            size += len(frame.data)
            taken.append(frame)
        self._size_bytes -= size
        return taken

    def move_to(self, other: "Client") -> None:
        """Move all frames to a client's queue."""
        for key, frame in self._frames.items():
            other.push(key, frame)
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._frames.clear()
        self._size_bytes = 0


class Client(Outbox):
    """A connected client, and the frames queued for it."""

    __slots__ = (
        "_cursor",
        "_dirty",
        "_unique_keys",
        "_writer",
        "channels",
        "closed",
        "paces",
        "patterns",
    )

    def __init__(self, writer: FrameWriter, dirty: "list[Client]", *, limit_bytes: int) -> None:
        """Serve a connection.

        Args:
            writer: writes frames to it.
            dirty: the client appends itself to this list when it has something to write.
            limit_bytes: the most that is queued for a slow client; beyond it the client is closed.
        """
        super().__init__(limit_bytes)
        self._writer = writer
        self._dirty = dirty
        self._cursor = ""
        self._unique_keys = 0
        self.channels: dict[Channel, MessageSink] = {}
        """The channels to which the client is subscribed, and where their changes go."""
        self.patterns: set[Pattern] = set()
        """Its wildcards."""
        self.paces: dict[float, MessageBuffer] = {}
        """Where the changes of channels go that are sent once in an interval, by its seconds."""
        self.closed = False

    def push(self, key: str, frame: EncodedMessage) -> None:
        """Queue a frame, in place of one with the same key."""
        if self.closed:
            return
        if not self._frames:
            self._dirty.append(self)
        if not self.put(key, frame):
            self.close_slow_client()

    def send(self, frame: EncodedMessage) -> None:
        """Queue a frame that no later frame replaces.

        Changes that wait for their interval go before it if it has a cursor: cursors come in order.
        """
        if frame.cursor:
            for sink in self.paces.values():
                sink.release()
        self._unique_keys += 1
        self.push(f"#{self._unique_keys}", frame)

    def flush(self) -> int:
        """Write queued frames while the connection is writable; return the number of messages."""
        sent = 0
        writer = self._writer
        while self._frames and writer.writable:
            messages = self.take(CHUNK_BYTES)
            self._cursor = messages[-1].cursor or self._cursor
            writer.write(messages)
            sent += len(messages)
        if self.replaced:
            metrics.API_CONFLATIONS.inc(self.replaced)
            self.replaced = 0
        return sent

    def flush_now(self) -> None:
        """Write queued frames outside of a round of all clients."""
        metrics.API_SENDS.inc(self.flush())

    async def drained(self) -> None:
        """Write all queued frames, waiting for a slow client."""
        self.flush()
        while self._frames and not self.closed:
            await self._writer.wait_writable()
            self.flush()

    def close_slow_client(self) -> None:
        """Close a client that reads too slowly; the reason has the cursor to resume from."""
        self.close()
        metrics.API_DROPS.labels("slow").inc()
        self._writer.close_now(CloseCode.SLOW, f"too slow; subscribe again with since={self._cursor}")

    def close(self) -> None:
        """Drop all queued frames, and accept no more."""
        self.closed = True
        self.clear()
