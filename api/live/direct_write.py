"""uvicorn's websocket protocol, extended to write encoded frames directly to the transport.

ASGI would frame each message again for each client, with a round of awaits; one frame for all clients,
written together with others, costs a tenth of that. Requests still come through ASGI.
"""

import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.live.frames import EncodedMessage, joined
from api.live.protocol import CloseCode
from tickplant import metrics

EXTENSION: Final = "tickplant.writer"
"""The ASGI scope extension that holds the `WebsocketWriter` of a connection."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""The send buffer of one connection. The kernel's default grows to megabytes, and a client that reads slowly
would receive outdated messages."""

LINGER_S: Final = 5.0
"""How long a client may take to read what was written before its connection was closed."""

_INVALID_HANDSHAKE: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 89\r\n"
    b"connection: close\r\n\r\n"
    b"The websocket handshake is invalid; it may have 128 headers, each of up to 8,190 bytes.\r\n"
)


class WebsocketWriter:
    """The writing side of one connection; an `api.live.client.FrameWriter`."""

    __slots__ = ("_protocol", "on_lost", "on_writable", "writable")

    def __init__(self, protocol: "DirectWriteProtocol") -> None:
        self._protocol = protocol
        self.writable = True
        """Whether more can be written now."""
        self.on_writable: Callable[[], object] | None = None
        """Called when more can be written again."""
        self.on_lost: Callable[[], object] | None = None
        """Called when the connection has ended."""

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages as JSON."""
        self.write_frames(joined(messages))

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames."""
        if not self._protocol.close_sent and not self._protocol.transport.is_closing():
            self._protocol.transport.write(frames)

    async def wait_writable(self) -> None:
        """Wait until more can be written, or the connection has ended."""
        await self._protocol.writable.wait()

    def close_now(self, code: int, reason: str) -> None:
        """Close the connection; abort it if the client doesn't answer within `LINGER_S`."""
        self._protocol.close_now(code, reason)

    def pause(self) -> None:
        """Note that the transport is not writable for now."""
        self.writable = False

    def resume(self) -> None:
        """Note that the transport is writable again."""
        self.writable = True
        if self.on_writable is not None:
            self.on_writable()

    def lose(self) -> None:
        """Note that the connection has ended."""
        self.writable = False
        if self.on_lost is not None:
            self.on_lost()


class DirectWriteProtocol(WebSocketsSansIOProtocol):
    """A websocket connection of uvicorn with a `WebsocketWriter` for the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writer = WebsocketWriter(self)

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound the send buffer."""
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    async def run_asgi(self) -> None:
        """Pass the writer to the application."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = self.writer
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send a message; a refused handshake has been answered, and is not an error."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # or uvicorn logs that there was none

    def data_received(self, data: bytes) -> None:
        """Receive data; a handshake that the library can't parse is refused, which uvicorn leaves open."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self.transport.write(_INVALID_HANDSHAKE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Pass on a message; close the connection of a text that isn't UTF-8."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                metrics.API_DROPS.labels("malformed").inc()
                self.close_now(CloseCode.NOT_UTF8, "a text message isn't UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Count a client that violates the websocket protocol, and close its connection."""
        metrics.API_DROPS.labels("malformed").inc()
        super().handle_parser_exception()

    def pause_writing(self) -> None:
        """Notify the writer, too."""
        super().pause_writing()
        self.writer.pause()

    def resume_writing(self) -> None:
        """Notify the writer, too."""
        super().resume_writing()
        self.writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the writer, too, before uvicorn wakes tasks that wait to write."""
        self.writer.lose()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Abort the connection of a client that doesn't answer pings, even if it never reads."""
        if not self.close_sent and not self.transport.is_closing():
            metrics.API_DROPS.labels("unanswering").inc()
        super().keepalive_timeout()
        self._abort_later()

    def shutdown(self) -> None:
        """Close with code 1012, and don't wait for clients that don't read."""
        super().shutdown()
        self._abort_later()

    def close_now(self, code: int, reason: str) -> None:
        """Close from our side, without waiting for the queue."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:  # or the client's close frame is never read
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _abort_later(self) -> None:
        self.loop.call_later(LINGER_S, self.transport.abort)
