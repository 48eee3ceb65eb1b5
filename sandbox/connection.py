"""A client's websocket: its subscriptions and its way of sending frames."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from sandbox.faulty_line import FaultyLine
from sandbox.frames import View, encode_frame
from sandbox.limits import SandboxLimits, WindowLimit
from sandbox.venue import SandboxSession

_CONTROL = frozenset({Opcode.PING, Opcode.PONG})

logger = logging.getLogger(__name__)


class SandboxConnection(ServerConnection):
    """A client of the sandbox."""

    session: SandboxSession
    converse: Callable[["SandboxConnection"], Awaitable[None]]
    """Serves it until it ends."""
    line: FaultyLine | None = None
    """Injects its faults; None: it has none."""
    has_subscribed: bool = False
    """Whether it has subscribed to anything."""
    quiet: bool = True
    """Whether nothing was sent since this was last set."""
    _pace: WindowLimit | None = None
    _counts_control_frames = False
    _on_excess: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def address(self) -> str:
        """Where it came from, without the port."""
        return str(self.remote_address[0])

    @property
    def view(self) -> View:
        """What it is subscribed to now."""
        return self.session.view

    @property
    def backlog_bytes(self) -> int:
        """What was written and the network hasn't taken yet."""
        return self.transport.get_write_buffer_size() + (self.line.backlog_bytes if self.line else 0)

    def write(self, data: bytes | memoryview, *, exempt: bool = False) -> None:
        """Send frames of the source; see `Listener.write`."""
        if self.line is None:
            self.put(data)
        else:
            self.line.write(data, exempt=exempt)

    def send_messages(self, texts: Iterable[str]) -> None:
        """Send messages of the venue's own."""
        data = b"".join([encode_frame(text.encode()) for text in texts])
        if data:
            (self.line.write_exempt if self.line else self.put)(data)

    def put(self, data: bytes | memoryview) -> None:
        """Send encoded frames as they are; nothing once the connection is closing."""
        if self.protocol.state is State.OPEN:
            self.quiet = False
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the network has taken most of what was written."""
        if self.line is not None:
            await self.line.drained()
        with contextlib.suppress(OSError):
            await self.drain()

    def disconnect(self, reason: str) -> None:
        """End the connection at once."""
        logger.warning("client %s %s: disconnected", self.remote_address, reason)
        self.transport.abort()

    def abort(self) -> None:
        """End the connection without a closing handshake."""
        self.transport.abort()

    def fail(self, reason: str, code: CloseCode = CloseCode.POLICY_VIOLATION) -> None:
        """Close the connection; by default for a violation of its client."""
        if self.protocol.state is State.OPEN:
            self.protocol.fail(code, reason)
            self.send_data()

    def fail_later(self, seconds: float, reason: str, code: CloseCode) -> None:
        """Close the connection after a while, if it is open then."""
        self._timers.append(self.loop.call_later(seconds, self.fail, reason, code))

    def expect_subscription(self, within_s: float) -> None:
        """Close the connection if it has not subscribed by then."""

        def check() -> None:
            if not self.has_subscribed:
                self.fail("no subscription in time")

        self._timers.append(self.loop.call_later(within_s, check))

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel timers and discard what was on its way."""
        super().connection_lost(exc)
        for timer in self._timers:
            timer.cancel()
        if self.line is not None:
            self.line.close()

    def pace(self, limits: SandboxLimits, on_excess: Callable[[], None]) -> None:
        """Count what comes in from now on; call back, once, and close, when it is too much."""
        self._pace = WindowLimit(limits.messages_per_s, 1)
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
