"""One stream of server-sent events."""

import asyncio
from collections.abc import Callable
from typing import Final

from api.live.events import KEEP_ALIVE, EventIds, closed_event, event
from api.live.frames import EncodedMessage, MessageHead
from api.live.part_stream import PartStream
from api.live.protocol import CloseCode

KEEP_ALIVE_S: Final = 15.0
"""How long nothing is sent before a comment is, which proxies and both ends take as a sign of life."""
LINGER_S: Final = 3.0
"""How long a client may take to read what was written before its stream was closed."""


class EventStream(PartStream):
    """The events of one client."""

    def __init__(self, ids: EventIds, first: bytes, abort: Callable[[], object]) -> None:
        """Start with what is sent before all events; `abort` ends the connection at once."""
        self.idle_s = KEEP_ALIVE_S
        super().__init__(ids)
        self._pending.append(first)
        self._abort = abort
        self._lingering: asyncio.TimerHandle | None = None

    def encode(self, message: EncodedMessage, id_: str | None) -> bytes:
        """Return a message as an event."""
        return event(message, id_)

    def sign_of_life(self) -> bytes:
        """Return a comment."""
        return KEEP_ALIVE

    def fail(self, error: MessageHead) -> None:
        """End if a server is unavailable: the client connects again, as it can't subscribe again."""
        if error.code == "unavailable":
            self.end()

    def close_now(self, code: int, reason: str) -> None:
        """End the stream with the reason; abort the connection if the client doesn't read that soon."""
        if not self._ended:
            if code == CloseCode.SLOW:
                reason = "too slow: the stream continues after the id of the last event"
            self._pending.append(closed_event(code, reason))
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._abort)
            self.end()

    def lose(self) -> None:
        """Send nothing more."""
        super().lose()
        if self._lingering is not None:
            self._lingering.cancel()
