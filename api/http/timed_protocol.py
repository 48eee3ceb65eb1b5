"""The HTTP protocol with timeouts: no client keeps a connection by sending or reading slowly.

uvicorn closes only connections that are idle after a response. Here a request's head must arrive within a
time limit after the connection was opened or the last response was written, and its body within another one,
however small the pieces are; and the client must read what is written.
"""

import asyncio
from typing import Final

from api.http.strict_protocol import Part, StrictProtocol

HEAD_S: Final = 10.0
"""How long a request's head may take, from the connection's start or the last response."""
BODY_S: Final = 20.0
"""How long a request's body may take after its head."""
READ_S: Final = 60.0
"""How long a client may take to read what fills the buffers."""

_TIMED_OUT: Final = "The request took too long to arrive.\n"


class TimedProtocol(StrictProtocol):
    """An HTTP connection with timeouts for what the client sends and reads."""

    _awaited: Part | None = None
    """The part of a request that the client has yet to send; None while the server responds."""
    _deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start to wait for a request."""
        super().connection_made(transport)
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        """Receive data, and update the deadline."""
        super().data_received(data)
        self._update_deadline()

    def on_response_complete(self) -> None:
        """Start to wait for the next request."""
        super().on_response_complete()
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers."""
        self._stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the websocket protocol, which has timeouts of its own."""
        self._stop()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Start the deadline for the client to read."""
        super().pause_writing()
        self._start_to_read()

    def resume_writing(self) -> None:
        """Cancel the deadline for the client to read."""
        super().resume_writing()
        if self._read_deadline is not None and self.lingering is None:
            self._read_deadline.cancel()

    def linger(self) -> None:
        """Close within a time limit: closing waits until the client has read everything."""
        super().linger()
        self._start_to_read()

    def _start_to_read(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
        self._read_deadline = self.loop.call_later(READ_S, self.transport.abort)

    def _update_deadline(self) -> None:
        """Start the deadline of what the client has yet to send, unless it runs already."""
        awaited = self._find_awaited()
        if awaited != self._awaited:
            self._stop_waiting()
            self._awaited = awaited
            if awaited is not None:
                limit_s = HEAD_S if awaited == "head" else BODY_S
                self._deadline = self.loop.call_later(limit_s, self._time_out)

    def _find_awaited(self) -> Part | None:
        ended = self.upgraded or self.lingering is not None or self.refusal is not None
        return None if ended or self.responding or self.transport.is_closing() else self.part

    def _time_out(self) -> None:
        """Refuse an incomplete request with status 408; close a connection without one."""
        if not self.transport.is_closing():
            if self.begun:
                self.refuse(408, _TIMED_OUT)
            else:
                self.linger()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop(self) -> None:
        self._stop_waiting()
        if self._read_deadline is not None:
            self._read_deadline.cancel()
