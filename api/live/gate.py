"""Admission of websockets, and the connection between ASGI and a client session."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import WebSocket
from msgspec import Struct

from api.http.problems import Problem, busy, problem_of, send_problem
from api.live.client_limits import TokenBucket, origin_allowed
from api.live.direct_write import EXTENSION, WebsocketWriter
from api.live.hub import Hub
from api.live.protocol import CloseCode
from api.live.session import ClientSession
from api.queries.symbols import SymbolDirectory
from tickplant import metrics

_log = logging.getLogger(__name__)

Socket = WebSocket[Any, Any, Any]

MESSAGE_BYTES: Final = 64 * 1024
"""The longest request; a longer one closes the socket with code 1009."""

NAMES_PER_REQUEST: Final = 32
"""A request that names this many channels counts as two, one that names twice as many as three, and so on."""


class WebsocketLimits(Struct, frozen=True, kw_only=True):
    """Limits of clients and their requests."""

    origins: tuple[str, ...] = ()
    """Origins whose pages may connect, besides the API's own; `*` for any."""
    clients: int = 10_000
    """The most clients at a time."""
    channels: int = 1024
    """The most channels that one client may be subscribed to."""
    burst: int = 200
    """The most requests of a client at once."""
    per_s: float = 20.0
    """The most requests of a client a second, in the long run."""
    queue_bytes: int = 8 * 1024 * 1024
    """The most that is queued for a client that reads slowly."""


class WebsocketGate:
    """Admits clients, and serves them."""

    def __init__(self, *, hub: Hub, directory: SymbolDirectory, limits: WebsocketLimits) -> None:
        """Serve clients within limits."""
        self._hub = hub
        self._directory = directory
        self._limits = limits

    async def serve(
        self, socket: Socket, first_request: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        """Serve a client until either side closes the connection.

        Args:
            socket: not yet accepted.
            first_request: returns a request to handle as if the client had sent it; if it raises, the
                handshake is answered with the problem document.
        """
        try:
            self._admit(socket)
            first = None if first_request is None else await first_request()
        except Exception as error:  # noqa: BLE001 - any error becomes a problem document
            await _refuse(socket, problem_of(error))
            return
        await socket.accept()
        scope: Any = socket.scope  # Litestar's type has no custom extensions
        writer: WebsocketWriter = scope["extensions"][EXTENSION]
        client = self._hub.connect(writer)
        writer.on_writable, writer.on_lost = self._hub.clients.flush_of(client), client.close
        session = ClientSession(
            hub=self._hub, directory=self._directory, client=client, max_channels=self._limits.channels
        )
        try:
            await self._handle_requests(socket, writer, session, first)
        except Exception:  # noqa: BLE001 - the boundary of the client's task
            _log.exception("a websocket session failed")
            metrics.API_DROPS.labels("failed").inc()
            writer.close_now(CloseCode.FAILED, "internal error; it has been logged")
        finally:
            self._hub.disconnect(client)

    def _admit(self, socket: Socket) -> None:
        headers = socket.headers
        if not origin_allowed(headers.get("origin"), headers.get("host"), self._limits.origins):
            raise Problem(
                403, "origin_refused", "pages of this origin may not connect: see TICKPLANT_API_ORIGINS"
            )
        if len(self._hub.clients) >= self._limits.clients:
            raise busy(f"the limit of {self._limits.clients} clients is reached")

    async def _handle_requests(
        self, socket: Socket, writer: WebsocketWriter, session: ClientSession, first: bytes | None
    ) -> None:
        clock_s = asyncio.get_running_loop().time
        bucket = TokenBucket(burst=self._limits.burst, per_s=self._limits.per_s, now_s=clock_s())
        if first is not None:
            await session.handle(first)
        while True:
            event: Any = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if not bucket.take(clock_s()):
                metrics.API_DROPS.labels("pushy").inc()
                writer.close_now(CloseCode.POLICY, f"more than {self._limits.per_s:g} requests a second")
                return
            named = await session.handle(event.get("text") or event.get("bytes") or b"")
            bucket.charge(named // NAMES_PER_REQUEST)


async def _refuse(socket: Socket, problem: Problem) -> None:
    """Answer a handshake with a problem document."""
    metrics.API_TURNED_AWAY.labels(problem.code).inc()
    await send_problem(socket.scope, socket.send, problem)
