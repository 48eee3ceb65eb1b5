"""One websocket client's outgoing messages: pushed by the hub, written as fast as the client reads."""

from typing import Final, Protocol

from api.live.protocol import Channel, Close, Frame
from tickplant import metrics

CHUNK_BYTES: Final = 64 * 1024
"""How much is handed to a transport before looking whether it still takes more."""


class Outlet(Protocol):
    """Where frames go: a connection that says when it can't take more."""

    @property
    def writable(self) -> bool:
        """Whether more can be written now."""

    def write(self, frames: bytes) -> None:
        """Write whole frames."""

    async def wait_writable(self) -> None:
        """Wait until more can be written, or never again."""

    def hang_up(self, code: int, reason: str) -> None:
        """Close the connection without waiting for the client."""


class Outbox:
    """Frames not yet written, oldest first; those of one key replace one another.

    So it is bounded by what can be different at one time, and by `limit_bytes` where frames have keys of
    their own.
    """

    __slots__ = ("_frames", "_limit_bytes", "_size_bytes", "replaced")

    def __init__(self, limit_bytes: int) -> None:
        self._frames: dict[str, Frame] = {}
        self._size_bytes = 0
        self._limit_bytes = limit_bytes
        self.replaced = 0
        """How many frames were replaced by newer ones."""

    def __bool__(self) -> bool:
        return bool(self._frames)

    def push(self, key: str, frame: Frame) -> bool:
        """Add a frame at the end, in place of the one with the same key; say whether there was room."""
        frames = self._frames
        old = frames.pop(key, None)
        if old is not None:
            self._size_bytes -= len(old.data)
            self.replaced += 1
        frames[key] = frame
        self._size_bytes += len(frame.data)
        return self._size_bytes <= self._limit_bytes

    def take(self, most_bytes: int) -> list[Frame]:
        """Remove and return the oldest frames: as many as fit, and at least one."""
        if self._size_bytes <= most_bytes:
            taken = list(self._frames.values())
            self.clear()
            return taken
        taken = []
        size = 0
        while self._frames and size < most_bytes:
            frame = self._frames.pop(next(iter(self._frames)))
            size += len(frame.data)
            taken.append(frame)
        self._size_bytes -= size
        return taken

    def move_to(self, other: "Client") -> None:
        """Push everything on to a client."""
        for key, frame in self._frames.items():
            other.push(key, frame)
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._frames.clear()
        self._size_bytes = 0


class Client:
    """A connected client."""

    __slots__ = ("_cursor", "_dirty", "_outbox", "_outlet", "_own_keys", "channels", "closed", "limit_bytes")

    def __init__(self, outlet: Outlet, dirty: "list[Client]", *, limit_bytes: int) -> None:
        """Take a connection.

        Args:
            outlet: where frames go.
            dirty: the client puts itself on this list when it has something to write.
            limit_bytes: the most that waits for a slow client; then it is closed.
        """
        self._outlet = outlet
        self.limit_bytes = limit_bytes
        """The most that waits for a slow client; then it is closed."""
        self._outbox = Outbox(limit_bytes)
        self._dirty = dirty
        self._cursor = ""
        self._own_keys = 0
        self.channels: set[Channel] = set()
        """What the client is subscribed to."""
        self.closed = False

    def push(self, key: str, frame: Frame) -> None:
        """Queue a frame, in place of one with the same key."""
        if self.closed:
            return
        if not self._outbox:
            self._dirty.append(self)
        if not self._outbox.push(key, frame):
            self.close_slow()

    def send(self, frame: Frame) -> None:
        """Queue a frame that nothing replaces."""
        self._own_keys += 1
        self.push(f"#{self._own_keys}", frame)

    def flush(self) -> int:
        """Write what is queued, as far as the connection takes it; return the number of messages."""
        sent = 0
        outbox = self._outbox
        while outbox and self._outlet.writable:
            frames = outbox.take(CHUNK_BYTES)
            self._cursor = frames[-1].cursor or self._cursor
            self._outlet.write(b"".join([frame.data for frame in frames]))  # of one: the same object
            sent += len(frames)
        if outbox.replaced:
            metrics.API_CONFLATIONS.inc(outbox.replaced)
            outbox.replaced = 0
        return sent

    async def drained(self) -> None:
        """Write what is queued, waiting for the client where it is slow."""
        self.flush()
        while self._outbox and not self.closed:
            await self._outlet.wait_writable()
            self.flush()

    def close_slow(self) -> None:
        """Give up on a client that doesn't read; the reason says where it can go on."""
        self.close()
        metrics.API_DROPS.labels("slow").inc()
        self._outlet.hang_up(Close.SLOW, f"too slow; subscribe again with since={self._cursor}")

    def close(self) -> None:
        """Drop what is queued and take no more."""
        self.closed = True
        self._outbox.clear()
