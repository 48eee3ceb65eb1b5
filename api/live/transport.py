"""uvicorn's websocket protocol, opened up so that ready frames go straight to the transport.

Through ASGI every message of every client is framed anew and costs a round of awaits; one frame for all
clients, written together with others, costs a tenth of it. Requests still come through ASGI.
"""

import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION: Final = "tickplant.outlet"
"""The ASGI scope extension under which a websocket finds its outlet."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""What the kernel may hold of one connection: left alone it takes megabytes, and a client that reads slowly
would get what is old."""

LINGER_S: Final = 5.0
"""How long a client that was hung up on may take to read the last of what was written."""


class WebsocketOutlet:
    """The writing side of one connection; see `api.live.client.Outlet`."""

    __slots__ = ("_protocol", "on_lost", "on_writable", "writable")

    def __init__(self, protocol: "OutletProtocol") -> None:
        self._protocol = protocol
        self.writable = True
        """Whether more can be written now."""
        self.on_writable: Callable[[], object] | None = None
        """Called when more can be written again."""
        self.on_lost: Callable[[], object] | None = None
        """Called when the connection has ended."""

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        if not self._protocol.close_sent and not self._protocol.transport.is_closing():
            self._protocol.transport.write(frames)

    async def wait_writable(self) -> None:
        """Wait until more can be written, or never again."""
        await self._protocol.writable.wait()

    def hang_up(self, code: int, reason: str) -> None:
        """Close the connection; a client that doesn't answer is cut off after a while."""
        self._protocol.hang_up(code, reason)

    def pause(self) -> None:
        """Note that the transport takes no more for now."""
        self.writable = False

    def resume(self) -> None:
        """Note that the transport takes more again."""
        self.writable = True
        if self.on_writable is not None:
            self.on_writable()

    def lose(self) -> None:
        """Note that the connection has ended."""
        self.writable = False
        if self.on_lost is not None:
            self.on_lost()


class OutletProtocol(WebSocketsSansIOProtocol):
    """A websocket connection of uvicorn's whose outlet the application can reach."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outlet = WebsocketOutlet(self)

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what the kernel holds."""
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    async def run_asgi(self) -> None:
        """Hand the outlet to the application."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = self.outlet
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Take a message of the application's; a client that is turned away has had its answer, no error."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # or uvicorn would log that there was none

    def pause_writing(self) -> None:
        """Tell the outlet, too."""
        super().pause_writing()
        self.outlet.pause()

    def resume_writing(self) -> None:
        """Tell the outlet, too."""
        super().resume_writing()
        self.outlet.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the outlet, too; before uvicorn wakes those who wait to write."""
        self.outlet.lose()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Cut off a client that doesn't answer pings, even if it never reads what is buffered."""
        super().keepalive_timeout()
        self._cut_off_later()

    def shutdown(self) -> None:
        """Close with code 1012, and don't wait for clients that don't read."""
        super().shutdown()
        self._cut_off_later()

    def hang_up(self, code: int, reason: str) -> None:
        """Close from our side, at once."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:  # or the client's own close would never be seen
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _cut_off_later(self) -> None:
        self.loop.call_later(LINGER_S, self.transport.abort)
