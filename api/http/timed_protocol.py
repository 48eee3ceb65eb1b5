"""uvicorn's HTTP protocol with timeouts: no client keeps a connection by sending or reading slowly.

uvicorn closes only connections that are idle after a response. Here a request's head must arrive within a
time limit after the connection was opened or the last response was written, and its body within another one,
however small the pieces are; and the client must read what is written.
"""

import asyncio
from typing import Final, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0
"""How long a request's head may take, from the connection's start or the last response."""
BODY_S: Final = 20.0
"""How long a request's body may take after its head."""
READ_S: Final = 60.0
"""How long a client may take to read what fills the buffers."""
LINGER_S: Final = 2.0
"""How long a client may continue to send after status 408; the input is discarded.

A connection closed with unread input is reset, and the client may lose the response (RFC 9112, section 9.6).
"""

_TIMED_OUT: Final = "The request took too long to arrive.\n"

Awaited = Literal["head", "body"] | None
"""The part of a request that the client has yet to send; None while the server responds."""


class TimedProtocol(H11Protocol):
    """An HTTP connection with timeouts for what the client sends and reads."""

    _awaited: Awaited = None
    _deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None
    _linger: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start to wait for a request."""
        super().connection_made(transport)
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        """Receive data, and update the deadline."""
        if self._linger is None:
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

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the websocket protocol, which has timeouts of its own."""
        self._stop()
        super().handle_websocket_upgrade(event)
        self._awaited = None

    def pause_writing(self) -> None:
        """Start the deadline for the client to read."""
        super().pause_writing()
        self._read_deadline = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the deadline for the client to read."""
        super().resume_writing()
        if self._read_deadline is not None:
            self._read_deadline.cancel()

    def _update_deadline(self) -> None:
        """Start the deadline of what the client has yet to send, unless it runs already."""
        awaited = self._find_awaited()
        if awaited != self._awaited:
            self._stop_waiting()
            self._awaited = awaited
            if awaited is not None:
                limit_s = HEAD_S if awaited == "head" else BODY_S
                self._deadline = self.loop.call_later(limit_s, self._time_out)

    def _find_awaited(self) -> Awaited:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return None
        state = self.conn.their_state
        return "head" if state is h11.IDLE else "body" if state is h11.SEND_BODY else None

    def _time_out(self) -> None:
        """Respond to an incomplete request with status 408, if there is no response yet, and close."""
        if self.transport.is_closing() or self._linger is not None:
            return
        started = self._awaited == "body" or self.conn.trailing_data[0]
        if started and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            for event in (
                h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
                h11.Data(data=_TIMED_OUT.encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger = self.loop.call_later(LINGER_S, self.transport.close)
        # Closing waits until the client has read everything.
        self._read_deadline = self.loop.call_later(READ_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop(self) -> None:
        self._stop_waiting()
        for timer in (self._read_deadline, self._linger):
            if timer is not None:
                timer.cancel()
