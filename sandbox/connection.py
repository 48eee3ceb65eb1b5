"""A client's websocket: what it asked for and how frames get to it."""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from sandbox.frames import View, encode_frame
from sandbox.limits import Limits, Pace
from sandbox.venue import Session

_CONTROL = frozenset({Opcode.PING, Opcode.PONG})

logger = logging.getLogger(__name__)


class Connection(ServerConnection):
    """A client."""

    session: Session
    converse: Callable[["Connection"], Awaitable[None]]
    """Serves it until it ends."""
    quiet: bool = True
    """Nothing was sent since this was last set."""
    _pace: Pace | None = None
    _counts_control_frames = False
    _on_excess: Callable[[], None]

    @property
    def address(self) -> str:
        """Where it came from, without the port."""
        return str(self.remote_address[0])

    @property
    def view(self) -> View:
        """What it asked for, as of now."""
        return self.session.view

    @property
    def backlog_bytes(self) -> int:
        """What was written and the network hasn't taken yet."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes | memoryview) -> None:
        """Send encoded frames; nothing once the connection is closing."""
        if self.protocol.state is State.OPEN:
            self.quiet = False
            self.transport.write(data)

    def say(self, texts: Iterable[str]) -> None:
        """Send messages of the venue's own."""
        self.write(b"".join([encode_frame(text.encode()) for text in texts]))

    async def drained(self) -> None:
        """Wait until the network has taken most of what was written."""
        with contextlib.suppress(OSError):
            await self.drain()

    def give_up(self, reason: str) -> None:
        """End the connection at once."""
        logger.warning("client %s %s: disconnected", self.remote_address, reason)
        self.transport.abort()

    def fail(self, reason: str) -> None:
        """Close the connection for what its client did."""
        if self.protocol.state is State.OPEN:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, reason)
            self.send_data()

    def pace(self, limits: Limits, on_excess: Callable[[], None]) -> None:
        """Count what comes in from now on; call back, once, and close, when it is too much."""
        self._pace = Pace(limits.messages_per_s, 1)
        self._counts_control_frames = limits.counts_control_frames
        self._on_excess = on_excess

    def process_event(self, event: Any) -> None:
        """Count what comes in, and end the connection of a client that sends too much."""
        super().process_event(event)
        if isinstance(event, Frame) and self._exceeds_limit(event) and self.protocol.state is State.OPEN:
            self._on_excess()
            self.fail("Too many requests")

    def _exceeds_limit(self, frame: Frame) -> bool:
        counts = frame.opcode is not Opcode.CLOSE and (
            self._counts_control_frames or frame.opcode not in _CONTROL
        )
        return counts and self._pace is not None and not self._pace.allows(self.loop.time())
