"""One stream of server-sent events: written to by the hub, and sent as fast as its client reads."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from api.live.events import KEEP_ALIVE, EventIds, closed_event, event
from api.live.frames import EncodedMessage, MessageHead
from api.live.protocol import CloseCode
from tickplant import metrics

_log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
"""How long nothing is sent before a comment is, which proxies and both ends take as a sign of life."""
LINGER_S: Final = 3.0
"""How long a client may take to read what was written before its stream was closed."""


class EventStream:
    """The events of one client; an `api.live.client.FrameWriter`."""

    def __init__(self, ids: EventIds, first: bytes, abort: Callable[[], object]) -> None:
        """Start with what is sent before all events; `abort` ends the connection at once."""
        self._ids = ids
        self._pending = [first]
        self._ended = self._lost = self._idle = False
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._acknowledged = False
        self._abort = abort
        self._lingering: asyncio.TimerHandle | None = None
        self._keep_alive = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._send_comment)
        self.refusal: MessageHead | None = None
        """The first error before the stream has begun."""
        self.on_writable: Callable[[], object] = lambda: None
        """Called when more can be written again."""

    @property
    def writable(self) -> bool:
        """Whether more can be written now."""
        return self._writable.is_set()

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages as events."""
        if self._ended:
            return
        for message in messages:
            self._pending.append(event(message, self._ids.after(message.head)))
            self._note(message.head)
        self._idle = False
        if self._begun.is_set():  # before that nothing is sent, and what decides whether to begin must come
            self._writable.clear()
        self._changed.set()

    async def wait_writable(self) -> None:
        """Wait until more can be written, or the stream has ended."""
        await self._writable.wait()

    def close_now(self, code: int, reason: str) -> None:
        """End the stream with the reason; abort the connection if the client doesn't read that soon."""
        if not self._ended:
            if code == CloseCode.SLOW:
                reason = "too slow: the stream continues after the id of the last event"
            self._pending.append(closed_event(code, reason))
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._abort)
            self.end()

    def end(self) -> None:
        """End the stream after what has been written."""
        self._ended = True
        self._keep_alive.cancel()
        for each in (self._begun, self._changed, self._writable):
            each.set()

    def lose(self) -> None:
        """Send nothing more."""
        self._lost = True
        if self._lingering is not None:
            self._lingering.cancel()
        self.end()

    def note_subscribed(self, task: asyncio.Task[None]) -> None:
        """Note that the subscription has ended; if it failed after the stream began, end that."""
        self._begun.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self._acknowledged:
            _log.error("a stream of events failed", exc_info=error)
            metrics.API_DROPS.labels("failed").inc()
            self.close_now(CloseCode.FAILED, "internal error; it has been logged")

    async def begun(self) -> None:
        """Wait until all channels are accepted, or one is refused, or the stream has ended."""
        await self._begun.wait()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent; the next part is requested when the client has room for it."""
        while not self._lost:
            if self._pending:
                part = b"".join(self._pending)
                self._pending.clear()
                yield part
            elif self._ended:
                return
            else:
                self._changed.clear()
                self._writable.set()
                self.on_writable()
                await self._changed.wait()

    def _note(self, head: MessageHead) -> None:
        if head.type == "ack":
            self._acknowledged = True
            self._begun.set()
        elif head.type == "error":
            if not self._acknowledged:
                self.refusal = self.refusal or head
            elif head.code == "unavailable":  # the client connects again, as it can't subscribe again
                self.end()

    def _send_comment(self) -> None:
        if self._idle and self.writable:
            self._pending.append(KEEP_ALIVE)
            self._changed.set()
        self._idle = True
        self._keep_alive = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._send_comment)
