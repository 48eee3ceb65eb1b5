"""One stream of messages to a client: written to by the hub, sent in parts as fast as the client reads."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from api.live.events import EventIds
from api.live.frames import EncodedMessage, MessageHead
from api.live.protocol import CloseCode
from tickplant import metrics

_log = logging.getLogger(__name__)


class PartStream(ABC):
    """A stream, which other classes encode; an `api.live.client.FrameWriter`."""

    idle_s: float
    """How long nothing is sent before a sign of life is."""

    def __init__(self, ids: EventIds) -> None:
        """Start; `ids` name the place after each message."""
        self._ids: Final = ids
        self._pending: list[bytes] = []
        self._ended = self._lost = self._idle = False
        self._begun = asyncio.Event()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._acknowledged = False
        self._failure: BaseException | None = None
        self._timer = asyncio.get_running_loop().call_later(self.idle_s, self._check_idle)
        self.refusal: MessageHead | None = None
        """The first error before the stream has begun."""
        self.on_writable: Callable[[], object] = lambda: None
        """Called when more can be written again."""

    @abstractmethod
    def encode(self, message: EncodedMessage, id_: str | None) -> bytes:
        """Return what is sent of a message; without an id, the one of the message before is still valid."""

    @abstractmethod
    def sign_of_life(self) -> bytes:
        """Return what is sent if nothing else has been for `idle_s`."""

    @abstractmethod
    def fail(self, error: MessageHead) -> None:
        """End the stream, if need be, since a channel of it has failed after its beginning."""

    @abstractmethod
    def close_now(self, code: int, reason: str) -> None:
        """End the stream with a reason."""

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return a part that consists of encoded messages."""
        return b"".join(pieces)

    @property
    def writable(self) -> bool:
        """Whether more can be written now."""
        return self._writable.is_set()

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages."""
        if self._ended:
            return
        for message in messages:
            piece = self.encode(message, self._ids.after(message.head))
            if piece:
                self._pending.append(piece)
            self._note(message.head)
        if not self._pending:
            return
        self._idle = False
        if self._begun.is_set():  # before that nothing is sent, and what decides whether to begin must come
            self._writable.clear()
        self._changed.set()

    async def wait_writable(self) -> None:
        """Wait until more can be written, or the stream has ended."""
        await self._writable.wait()

    def end(self) -> None:
        """End the stream after what has been written."""
        self._ended = True
        self._timer.cancel()
        for each in (self._begun, self._changed, self._writable):
            each.set()

    def lose(self) -> None:
        """Send nothing more."""
        self._lost = True
        self.end()

    def note_subscribed(self, task: asyncio.Task[None]) -> None:
        """Note that the subscription has ended; if it failed after the stream began, end that."""
        error = None if task.cancelled() else task.exception()
        if not self._acknowledged:
            self._failure = error
        self._begun.set()
        if error is not None and self._acknowledged:
            _log.error("a stream failed", exc_info=error)
            metrics.API_DROPS.labels("failed").inc()
            self.close_now(CloseCode.FAILED, "internal error; it has been logged")

    async def begun(self) -> None:
        """Wait until all channels are accepted, or one is refused, or the stream has ended.

        Raises:
            Exception: the subscription failed.
        """
        await self._begun.wait()
        if self._failure is not None:
            raise self._failure

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent; the next part is requested when the client has room for it."""
        while not self._lost:
            if self._pending:
                part = self.join(self._pending)
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
            if self._acknowledged:
                self.fail(head)
            else:
                self.refusal = self.refusal or head

    def _check_idle(self) -> None:
        if self._idle and self.writable and self._begun.is_set():
            sign = self.sign_of_life()
            if sign:
                self._pending.append(sign)
                self._changed.set()
        self._idle = True
        self._timer = asyncio.get_running_loop().call_later(self.idle_s, self._check_idle)
