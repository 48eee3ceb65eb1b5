"""Where websockets come in: admission, and the way between ASGI and a session."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import WebSocket
from msgspec import Struct

from api.http.problems import Problem, busy, problem_of, send_problem
from api.live.admission import Allowance, origin_allowed
from api.live.hub import Hub
from api.live.protocol import Close
from api.live.session import Session
from api.live.transport import EXTENSION, WebsocketOutlet
from api.queries.directory import Directory
from tickplant import metrics

_log = logging.getLogger(__name__)

Socket = WebSocket[Any, Any, Any]

MESSAGE_BYTES: Final = 64 * 1024
"""The longest request; a longer one closes the socket with code 1009."""


NAMES_OF_A_REQUEST: Final = 32
"""A request that names so many channels counts for two, one that names twice as many for three, and so on."""


class Limits(Struct, frozen=True, kw_only=True):
    """Who may connect, and what a client may ask."""

    origins: tuple[str, ...] = ()
    """Whose pages may connect, besides the API's own; `*` for any."""
    clients: int = 10_000
    """The most at a time."""
    channels: int = 1024
    """The most that one client may be subscribed to."""
    burst: int = 200
    """The most requests of a client at once."""
    per_s: float = 20.0
    """The most requests of a client a second, in the long run."""
    queue_bytes: int = 8 * 1024 * 1024
    """The most that waits for a client that reads slowly."""


class Door:
    """Lets clients in, and serves them."""

    def __init__(self, *, hub: Hub, directory: Directory, limits: Limits) -> None:
        """Take what serves clients, and the limits."""
        self._hub = hub
        self._directory = directory
        self._limits = limits

    async def serve(self, socket: Socket, wanted: Callable[[], Awaitable[bytes]] | None = None) -> None:
        """Serve a client until it or we hang up.

        Args:
            socket: not yet accepted.
            wanted: returns a first request, carried out as if the client had sent it; where it raises, the
                client is turned away with the problem document.
        """
        try:
            self._admit(socket)
            first = None if wanted is None else await wanted()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told as over HTTP
            await _turn_away(socket, problem_of(error))
            return
        await socket.accept()
        # Litestar's type has no extensions of one's own.
        outlet: WebsocketOutlet = socket.scope["extensions"][EXTENSION]  # type: ignore[index, assignment]
        client = self._hub.connect(outlet)
        outlet.on_writable, outlet.on_lost = self._hub.flush_of(client), client.close
        session = Session(
            hub=self._hub, directory=self._directory, client=client, most_channels=self._limits.channels
        )
        try:
            await self._converse(socket, outlet, session, first)
        except Exception:  # noqa: BLE001 - the boundary of the client's task
            _log.exception("a websocket failed")
            metrics.API_DROPS.labels("failed").inc()
            outlet.hang_up(Close.FAILED, "something went wrong here; it has been logged")
        finally:
            self._hub.disconnect(client)

    def _admit(self, socket: Socket) -> None:
        headers = socket.headers
        if not origin_allowed(headers.get("origin"), headers.get("host"), self._limits.origins):
            raise Problem(403, "origin_refused", "its pages may not connect: see TICKPLANT_API_ORIGINS")
        if self._hub.clients >= self._limits.clients:
            raise busy(f"there are {self._limits.clients} clients already")

    async def _converse(
        self, socket: Socket, outlet: WebsocketOutlet, session: Session, first: bytes | None
    ) -> None:
        clock_s = asyncio.get_running_loop().time
        allowance = Allowance(burst=self._limits.burst, per_s=self._limits.per_s, now_s=clock_s())
        if first is not None:
            await session.handle(first)
        while True:
            event: Any = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if not allowance.take(clock_s()):
                metrics.API_DROPS.labels("pushy").inc()
                outlet.hang_up(Close.POLICY, f"more than {self._limits.per_s:g} requests a second")
                return
            named = await session.handle(event.get("text") or event.get("bytes") or b"")
            allowance.charge(named // NAMES_OF_A_REQUEST)


async def _turn_away(socket: Socket, problem: Problem) -> None:
    """Answer the handshake with a problem document."""
    metrics.API_TURNED_AWAY.labels(problem.code).inc()
    await send_problem(socket.scope, socket.send, problem)
