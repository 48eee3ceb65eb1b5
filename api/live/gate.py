"""Admission of websockets, and the connection between ASGI and a client session."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, Protocol

from litestar import WebSocket
from litestar.connection import ASGIConnection
from msgspec import Struct

from api.access.addresses import ConnectionLimit
from api.access.caller import ApiCaller, caller_of
from api.access.credentials import without_key
from api.access.middleware import Access
from api.http.problems import Problem, busy, problem_of, send_problem
from api.live.client_keys import UnauthorizedError, close_unauthorized, identify, require_key_soon
from api.live.client_limits import TokenBucket, origin_allowed
from api.live.direct_write import EXTENSION, WebsocketWriter
from api.live.frames import EncodedMessage
from api.live.hub import Hub
from api.live.idle_timer import IdleTimer
from api.live.msgpack import MsgpackTranslation, choose_format
from api.live.protocol import CloseCode
from api.live.session import ClientSession
from api.queries.symbols import SymbolDirectory
from tickplant import metrics

_log = logging.getLogger(__name__)

Socket = WebSocket[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]

MESSAGE_BYTES: Final = 64 * 1024
"""The longest request; a longer one closes the socket with code 1009."""

NAMES_PER_REQUEST: Final = 32
"""A request that names this many channels counts as two, one that names twice as many as three, and so on."""


class ProtocolTranslation(Protocol):
    """Translates between another protocol of a client and this API's."""

    def requests(self, data: str | bytes, /) -> tuple[list[bytes], bytes]:
        """Translate a request; returns those to carry out, and frames to send the client after them."""

    def frames(self, messages: Sequence[EncodedMessage], /) -> bytes:
        """Return the frames of messages."""


class TranslatingWriter:
    """Writes translated frames; an `api.live.client.FrameWriter`."""

    def __init__(self, writer: WebsocketWriter, translation: ProtocolTranslation) -> None:
        self._writer = writer
        self._translation = translation
        self.wait_writable = writer.wait_writable
        self.close_now = writer.close_now

    @property
    def writable(self) -> bool:
        """Whether more can be written now."""
        return self._writer.writable

    def write(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages."""
        self._writer.write_frames(self._translation.frames(messages))


class WebsocketLimits(Struct, frozen=True, kw_only=True):
    """Limits of clients and their requests."""

    origins: tuple[str, ...] = ()
    """Origins whose pages may connect, besides the API's own; `*` for any."""
    clients: int = 10_000
    """The most clients at a time."""
    per_address: int = 200
    """The most clients of one address at a time; any number of this machine's own."""
    idle_s: float = 600.0
    """How long a client may have no channel without sending a request."""
    channels: int = 1024
    """The most channels that one client may be subscribed to by name."""
    all_channels: int = 20_000
    """The most channels of one client, those of its wildcards included."""
    burst: int = 200
    """The most requests of a client at once."""
    per_s: float = 20.0
    """The most requests of a client a second, in the long run."""
    retry_ms: tuple[int, int] = (1000, 3000)
    """Between which times a client of a stream of events that is cut off connects again, so that not all do
    at once."""
    queue_bytes: int = 8 * 1024 * 1024
    """The most that is queued for a client that reads slowly."""


class WebsocketGate:
    """Admits clients, and serves them."""

    def __init__(
        self, *, hub: Hub, directory: SymbolDirectory, access: Access, limits: WebsocketLimits
    ) -> None:
        """Serve clients within limits."""
        self._hub = hub
        self._access = access
        self._directory = directory
        self._limits = limits
        self._connections = ConnectionLimit(limits.per_address)

    async def serve(
        self,
        socket: Socket,
        first_request: Callable[[], Awaitable[bytes | None]] | None = None,
        *,
        translation: ProtocolTranslation | None = None,
    ) -> None:
        """Serve a client until either side closes the connection.

        Args:
            socket: not yet accepted.
            first_request: returns a request to handle as if the client had sent it; if it raises, the
                handshake is answered with the problem document; None for no request.
            translation: of a client that speaks another protocol; None for this API's own.
        """
        with ExitStack() as until_closed:
            await self._serve_admitted(socket, first_request, translation, until_closed)

    async def _serve_admitted(
        self,
        socket: Socket,
        first_request: Callable[[], Awaitable[bytes | None]] | None,
        translation: ProtocolTranslation | None,
        until_closed: ExitStack,
    ) -> None:
        try:
            until_closed.enter_context(self.admitted(socket))
            offered = without_key(socket.scope["subprotocols"])
            spoken = choose_format(offered, None if translation else socket.query_params.get("format"))
            first = None if first_request is None else await first_request()
        except Exception as error:  # noqa: BLE001 - any error becomes a problem document
            await _refuse(socket, problem_of(error))
            return
        if translation is None and spoken.msgpack:
            translation = MsgpackTranslation()
        await socket.accept(subprotocols=spoken.subprotocol)
        await self._serve(socket, first, translation, until_closed)

    async def _serve(
        self,
        socket: Socket,
        first: bytes | None,
        translation: ProtocolTranslation | None,
        until_closed: ExitStack,
    ) -> None:
        """Serve an accepted client."""
        scope: Any = socket.scope  # Litestar's type has no custom extensions
        writer: WebsocketWriter = scope["extensions"][EXTENSION]
        client = self._hub.connect(writer if translation is None else TranslatingWriter(writer, translation))
        writer.on_writable, writer.on_lost = self._hub.clients.flush_of(client), client.close

        def watch(caller: ApiCaller) -> ApiCaller:
            revoked = partial(close_unauthorized, writer, "the API key was revoked")
            until_closed.enter_context(self._access.keys.watched(caller.key_id, revoked))
            return caller

        session = ClientSession(
            hub=self._hub,
            directory=self._directory,
            client=client,
            caller=watch(caller_of(scope)),
            authorize=lambda key: watch(identify(self._access, key)),
            max_channels=self._limits.channels,
        )
        until_closed.callback(require_key_soon(session, writer).cancel)
        idle = IdleTimer(client, writer, self._limits.idle_s)
        until_closed.callback(idle.cancel)
        try:
            await self._handle_requests(socket, writer, session, first, translation, idle)
        except UnauthorizedError as error:
            close_unauthorized(writer, str(error))
        except Exception:  # noqa: BLE001 - the boundary of the client's task
            _log.exception("a websocket session failed")
            metrics.API_DROPS.labels("failed").inc()
            writer.close_now(CloseCode.FAILED, "internal error; it has been logged")
        finally:
            self._hub.disconnect(client)

    @contextmanager
    def admitted(self, connection: AnyConnection) -> Iterator[None]:
        """Count a client during the context.

        Raises:
            Problem: its origin is not allowed, or there are too many clients, of its address or at all.
        """
        headers = connection.headers
        if not origin_allowed(headers.get("origin"), headers.get("host"), self._limits.origins):
            raise Problem(
                403, "origin_refused", "pages of this origin may not connect: see TICKPLANT_API_ORIGINS"
            )
        if len(self._hub.clients) >= self._limits.clients:
            raise busy(f"the limit of {self._limits.clients} clients is reached")
        with self._connections.counted(connection.scope):
            yield

    async def _handle_requests(
        self,
        socket: Socket,
        writer: WebsocketWriter,
        session: ClientSession,
        first: bytes | None,
        translation: ProtocolTranslation | None,
        idle: IdleTimer,
    ) -> None:
        clock_s = asyncio.get_running_loop().time
        bucket = TokenBucket(burst=self._limits.burst, per_s=self._limits.per_s, now_s=clock_s())
        while True:
            if first is not None and session.caller.may("read"):
                await session.handle(first)
                first = None
            event: Any = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            idle.restart()
            if not bucket.take(clock_s()):
                metrics.API_DROPS.labels("pushy").inc()
                writer.close_now(CloseCode.POLICY, f"more than {self._limits.per_s:g} requests a second")
                return
            text = event.get("text") or event.get("bytes") or b""
            requests, reply = ([text], b"") if translation is None else translation.requests(text)
            for request in requests:
                bucket.charge(await session.handle(request) // NAMES_PER_REQUEST)
            writer.write_frames(reply)


async def _refuse(socket: Socket, problem: Problem) -> None:
    """Answer a handshake with a problem document."""
    metrics.API_TURNED_AWAY.labels(problem.code).inc()
    await send_problem(socket.scope, socket.send, problem)
