"""One venue websocket: frames in the order of arrival, in batches of whatever has come."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tickplant.clock import NowUs, now_us

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
_PAUSE_FRAMES: Final = 4_096
"""Frames waiting to be taken from which on the socket is left unread; the venue's TCP does the rest."""


class Received(NamedTuple):
    """Frames that came out of one read of the socket."""

    time_us: int
    frames: list[bytes]


class VenueConnection(ClientConnection):
    """A websocket client whose frames are taken in batches.

    The library's own queue hands out one message per wake-up of a task, which costs half as much again as
    reading the socket. Handshake, pings, closing and limits stay the library's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now_us: NowUs = now_us
        self._reads: list[Received] = []
        self._frames: list[bytes] = []
        self._waiting = 0
        self._fragments: list[bytes] = []
        self._arrived = asyncio.Event()
        self._paused = False
        self._heard_s = self.loop.time()

    async def take(self) -> list[Received]:
        """Return all frames received since the last call; wait for at least one.

        Raises:
            ConnectionClosed: the connection has ended and everything received has been taken.
        """
        while not self._reads:
            if self.connection_lost_waiter.done():
                raise self.protocol.close_exc
            self._arrived.clear()
            await self._arrived.wait()
        reads, self._reads = self._reads, []
        self._waiting = 0
        if self._paused:
            self._paused = False
            self._heard_s = self.loop.time()
            self.transport.resume_reading()
        return reads

    @property
    def heard_s(self) -> float:
        """When the socket last gave anything, pongs included, by the loop's clock; now, if it is paused."""
        return self.loop.time() if self._paused else self._heard_s

    @property
    def drained(self) -> bool:
        """Whether everything received has been taken."""
        return not self._reads

    def data_received(self, data: bytes) -> None:
        """Parse what the socket gave and keep its text frames."""
        self._heard_s = self.loop.time()
        super().data_received(data)
        if self._frames:
            self._reads.append(Received(self.now_us(), self._frames))
            self._waiting += len(self._frames)
            self._frames = []
            self._arrived.set()
            if self._waiting >= _PAUSE_FRAMES and not self._paused:
                self._paused = True
                self.transport.pause_reading()

    def process_event(self, event: Any) -> None:
        """Keep text frames; leave the rest to the library."""
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._keep(event)
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for frames."""
        super().connection_lost(exc)
        self._arrived.set()

    def _keep(self, frame: Frame) -> None:
        if frame.fin and not self._fragments:
            self._frames.append(bytes(frame.data))
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            self._frames.append(b"".join(self._fragments))
            self._fragments = []


def open_connection(url: str, *, timeout_s: float) -> "connect":
    """Return an async context manager that yields a `VenueConnection`.

    Args:
        url: ws:// or wss:// address.
        timeout_s: longest wait for the connection and its handshake.
    """
    return connect(
        url,
        create_connection=VenueConnection,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=timeout_s,
        ping_interval=20,
        ping_timeout=None,  # a socket left unread gets no pong; silence has its own deadline
        close_timeout=2,
    )


__all__: Sequence[str] = ("ConnectionClosed", "Received", "VenueConnection", "open_connection")
