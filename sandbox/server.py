"""Serves a source over one port: websockets as the venue speaks them, and its REST interface.

`/sandbox/status` is the sandbox's own, for whoever drives it: `source.Status` as JSON.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State

from sandbox.audience import Audience
from sandbox.binance.endpoints import WEIGHT_PER_MINUTE
from sandbox.binance.rest import Answer, Rest
from sandbox.binance.session import MAX_STREAMS, BadAddressError, Session, open_session, shutdown_notice
from sandbox.frames import View
from sandbox.source import Source, Status
from tickplant.clock import now_us

STATUS_PATH: Final = "/sandbox/status"
_WRITE_LIMIT_BYTES: Final = 256 * 1024

logger = logging.getLogger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """What the venue allows a client; the defaults are Binance's."""

    messages_per_s: int = 5
    """Incoming, pings and pongs included."""
    streams_per_connection: int = MAX_STREAMS
    weight_per_minute: int = WEIGHT_PER_MINUTE
    connection_age_s: float = 24 * 3600
    ping_interval_s: float = 20
    ping_timeout_s: float | None = 60
    """None: a ping may stay unanswered."""
    backlog_bytes: int = 16 * 1024 * 1024
    """What may lie unsent for a slow client of a source that doesn't wait."""


BINANCE_LIMITS: Final = Limits()


class _Connection(ServerConnection):
    """A client: what it asked for and how frames get to it."""

    session: Session
    limit_per_s: int = 0
    _second = 0.0
    _messages = 0

    @property
    def view(self) -> View:
        """What it asked for, as of now."""
        return self.session.view

    @property
    def backlog_bytes(self) -> int:
        """What was written and the network hasn't taken yet."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes | memoryview) -> None:
        """Send encoded frames; nothing once the connection is closing."""
        if self.protocol.state is State.OPEN:
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the network has taken most of what was written."""
        with contextlib.suppress(OSError):
            await self.drain()

    def give_up(self, reason: str) -> None:
        """End the connection at once."""
        logger.warning("client %s %s: disconnected", self.remote_address, reason)
        self.transport.abort()

    def process_event(self, event: Any) -> None:
        """Count what comes in, and end the connection of a client that sends too much."""
        super().process_event(event)
        if isinstance(event, Frame) and self._exceeds_limit() and self.protocol.state is State.OPEN:
            logger.warning("client %s sent more than %s messages/s", self.remote_address, self.limit_per_s)
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "Too many requests")
            self.send_data()

    def _exceeds_limit(self) -> bool:
        now = self.loop.time()
        if now - self._second >= 1:
            self._second, self._messages = now, 0
        self._messages += 1
        return 0 < self.limit_per_s < self._messages


class Running:
    """A venue that is being served.

    Args:
        source: its trades.
        address: host and port that it listens on.
        playing: the task that sends them.
    """

    def __init__(self, source: Source, address: str, playing: asyncio.Task[None]) -> None:
        self.source = source
        self.ws_url = f"ws://{address}"
        self.rest_url = f"http://{address}"
        self.playing = playing

    def status(self) -> Status:
        """Say how far the venue has come."""
        return self.source.status()


@contextlib.asynccontextmanager
async def serve(
    source: Source,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    limits: Limits = BINANCE_LIMITS,
    clock_us: Callable[[], int] = now_us,
) -> AsyncIterator[Running]:
    """Serve a venue for as long as the context lasts.

    Args:
        source: what it sends, once, from now on.
        host: address to listen on.
        port: 0 takes a free one.
        limits: what a client may do.
        clock_us: this machine's time, for what has nothing to do with the venue's.

    Raises:
        OSError: the port can't be had.
        Exception: whatever ended the source before its time, when the context is left.
    """
    audience = Audience(limits.backlog_bytes)
    rest = Rest(source, clock_us, limits.weight_per_minute)

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        await _converse(connection, audience, limits)

    def respond(connection: ServerConnection, request: Request) -> Response | None:
        return _respond(connection, request, source, rest, limits)

    async with serve_websockets(
        handle,
        host,
        port,
        process_request=respond,
        create_connection=_Connection,
        compression=None,
        server_header=None,
        ping_interval=limits.ping_interval_s,
        ping_timeout=limits.ping_timeout_s,
        close_timeout=1,
        write_limit=_WRITE_LIMIT_BYTES,
    ) as server:
        playing = asyncio.create_task(source.run(audience), name="sandbox source")
        try:
            yield Running(source, _address(server), playing)
        finally:
            playing.cancel()
            await asyncio.wait([playing])
            await _announce_end(server, source)
    if not playing.cancelled():
        playing.result()


async def _converse(connection: _Connection, audience: Audience, limits: Limits) -> None:
    connection.limit_per_s = limits.messages_per_s
    audience.add(connection)
    try:
        async with asyncio.timeout(limits.connection_age_s):
            async for message in connection:
                answer = connection.session.receive(message)
                audience.regroup()
                await connection.send(answer)
    except TimeoutError:
        await connection.close(CloseCode.GOING_AWAY, "a connection is valid for 24 hours")
    except ConnectionClosed:
        logger.debug("client %s went without a closing handshake", connection.remote_address)
    finally:
        audience.remove(connection)


def _respond(
    connection: ServerConnection, request: Request, source: Source, rest: Rest, limits: Limits
) -> Response | None:
    """Answer a request that is not for a websocket; None lets a websocket open."""
    assert isinstance(connection, _Connection)
    if request.path.partition("?")[0] == STATUS_PATH:
        return _http(Answer(200, {"Content-Type": "application/json"}, msgspec.json.encode(source.status())))
    if request.path.startswith("/api/"):
        return _http(rest.get(request.path, request.headers) or _plain(404, "there is no such endpoint"))
    try:
        connection.session = open_session(request.path, limits.streams_per_connection)
    except BadAddressError as error:
        return _http(_plain(404, str(error)))
    return None


def _plain(status: int, text: str) -> Answer:
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{text}\n".encode())


def _http(answer: Answer) -> Response:
    headers = Headers(answer.headers)
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    return Response(answer.status, "OK" if answer.status == 200 else "Refused", headers, answer.body)


async def _announce_end(server: Server, source: Source) -> None:
    for connection in server.connections:
        if isinstance(connection, _Connection) and connection.backlog_bytes == 0:
            with contextlib.suppress(ConnectionClosed):
                await connection.send(shutdown_notice(connection.view, source.now_us()))


def _address(server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
