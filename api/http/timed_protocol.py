"""uvicorn's HTTP protocol with limits of time: no client holds a connection by sending or reading slowly.

uvicorn ends only connections on which nothing at all comes after an answer. Here a request's head must have
come a while after the connection was opened or the last answer was written, and its body a while after that,
however the bytes are spread; and what is written must be read.
"""

import asyncio
from typing import Final, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0
"""How long a request's head may take, from the connection's start or the last answer."""
BODY_S: Final = 20.0
"""How long a request's body may take after its head."""
READ_S: Final = 60.0
"""How long a client may take to read what fills the buffers."""
LINGER_S: Final = 2.0
"""How long a client that was answered with 408 may go on sending: what it sends is thrown away.

A connection closed with unread input is reset, and the client may lose the answer (RFC 9112, section 9.6).
"""

_TIMED_OUT: Final = "The request took too long to arrive.\n"

Awaited = Literal["head", "body"] | None
"""What of a request the client has yet to send; None while it is the server's turn."""


class TimedProtocol(H11Protocol):
    """An HTTP connection whose client is not waited for without end."""

    _awaited: Awaited = None
    _deadline: asyncio.TimerHandle | None = None
    _read_deadline: asyncio.TimerHandle | None = None
    _linger: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, and see what is still to come."""
        if self._linger is None:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to the websocket's protocol, which has limits of its own."""
        self._stop()
        super().handle_websocket_upgrade(event)
        self._awaited = None

    def pause_writing(self) -> None:
        """Give the client a while to read."""
        super().pause_writing()
        self._read_deadline = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        if self._read_deadline is not None:
            self._read_deadline.cancel()

    def _watch(self) -> None:
        """Start the clock of what the client has yet to send, unless it runs already."""
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
        """Answer a request that is not whole with status 408, if it has no answer yet, and close."""
        if self.transport.is_closing() or self._linger is not None:
            return
        begun = self._awaited == "body" or self.conn.trailing_data[0]
        if begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
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
