"""Admission of streams of server-sent events, and the connection between ASGI and a client session."""

import random
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Final, NoReturn

import msgspec
from litestar import Request
from litestar.types import HTTPResponseBodyEvent, Receive, Scope, Send
from msgspec import Struct

from api.access.caller import ApiCaller, caller_of, require_scope
from api.access.middleware import Access
from api.http.compression import EVENT_STREAM
from api.http.methods import is_head
from api.http.problems import RETRY_AFTER_S, Problem
from api.http.strict_protocol import TRANSPORT
from api.http.timed_protocol import READ_S
from api.live.client import Client
from api.live.client_keys import close_unauthorized
from api.live.cursor import Cursor, parse_cursors
from api.live.direct_write import SEND_BUFFER_BYTES
from api.live.event_stream import EventStream
from api.live.events import EventIds, retry
from api.live.frames import MessageHead
from api.live.gate import AnyConnection
from api.live.hub import Hub
from api.live.protocol import CloseCode, Code, ProtocolError
from api.live.session import ClientSession
from api.queries.symbols import SymbolDirectory
from tickplant import metrics
from tickplant.background import background

MOST_PARTITIONS: Final = 256
"""The most partitions that an id has cursors of: clients send it in a header."""

_HEADERS: Final = (
    (b"content-type", EVENT_STREAM),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events
)
_END: Final[HTTPResponseBodyEvent] = {"type": "http.response.body", "body": b"", "more_body": False}
_STATUSES: Final[dict[Code, int]] = {"unknown_symbol": 404, "ambiguous_symbol": 409, "unavailable": 503}
"""Of the errors before a stream begins; 400 for others."""


class EventRequest(Struct, frozen=True):
    """A request for a stream."""

    channels: list[str]
    since: str | None
    """Where it starts, if it isn't resumed."""
    last_event_id: str | None
    """Where it is resumed."""
    every: str | None
    snapshot: bool

    @property
    def resumed(self) -> str | None:
        """The cursors at which it continues; None for a new one."""
        return self.last_event_id or self.since or None

    @property
    def wildcards(self) -> bool:
        """Whether channels may join it later."""
        return any("*" in name for name in self.channels)


class EventGate:
    """Admits streams, and serves them; they count as clients like websockets."""

    def __init__(
        self,
        *,
        hub: Hub,
        directory: SymbolDirectory,
        access: Access,
        admitted: Callable[[AnyConnection], AbstractContextManager[None]],
        max_channels: int,
        retry_ms: tuple[int, int],
    ) -> None:
        """Serve streams.

        Args:
            hub: manages subscriptions.
            directory: resolves symbols.
            access: knows the API keys.
            admitted: counts a client; raises Problem if it may not connect.
            max_channels: the most channels of one stream, without those of wildcards.
            retry_ms: between which times clients that are cut off connect again.
        """
        self._hub = hub
        self._directory = directory
        self._access = access
        self._admitted = admitted
        self._max_channels = max_channels
        self._retry_ms = retry_ms
        self._streams: set[EventStream] = set()
        self._stopped = False

    def stop(self) -> None:
        """End all streams, and those that begin from now on: their clients connect again."""
        self._stopped = True
        for stream in list(self._streams):
            _restart(stream)

    async def serve(self, request: EventRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a stream that lasts until either side ends it.

        Raises:
            Problem: a channel can't be served, or the client is not admitted.
        """
        with ExitStack() as ends:
            try:
                ends.enter_context(self._admitted(Request(scope)))
                since = self._since(request)
            except Problem as problem:
                metrics.API_TURNED_AWAY.labels(problem.code).inc()
                raise
            if is_head(scope):
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await send(_END)
                return
            stream, client = self._open(request, since, scope, ends)
            async with (
                background(
                    self._subscribe(client, request, scope), on_end=stream.note_subscribed
                ) as subscribing,
                background(_await_end(receive), on_end=lambda _: stream.lose()),
            ):
                await stream.begun()
                if subscribing.done():
                    subscribing.result()
                if stream.refusal is not None:
                    self._refuse(stream, stream.refusal, request, caller_of(scope))
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                async for part in stream.parts():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send(_END)

    def _open(
        self, request: EventRequest, since: Iterable[Cursor], scope: Any, ends: ExitStack
    ) -> tuple[EventStream, Client]:
        """Connect a stream to the hub, until `ends` is closed."""
        transport = scope["extensions"][TRANSPORT]
        if not transport.is_closing():  # else the client has left already, and the stream ends at once
            _bound_delays(transport.get_extra_info("socket"))
        ids = EventIds(
            since,
            lambda: self._hub.channels_by_partition(client),
            snapshot=request.snapshot,
            wildcards=request.wildcards,
        )
        after_ms = random.randint(*self._retry_ms)  # noqa: S311 - spreads load, guards no secret
        stream = EventStream(ids, retry(after_ms), transport.abort)
        client = self._hub.connect(stream)
        ends.callback(self._hub.disconnect, client)
        ends.callback(stream.lose)
        stream.on_writable = client.flush_now
        self._streams.add(stream)
        ends.callback(self._streams.discard, stream)
        revoked = partial(close_unauthorized, stream, "the API key was revoked")
        ends.enter_context(self._access.keys.watched(caller_of(scope).key_id, revoked))
        if self._stopped:
            _restart(stream)
        return stream, client

    async def _subscribe(self, client: Client, request: EventRequest, scope: Scope) -> None:
        session = ClientSession(
            hub=self._hub,
            directory=self._directory,
            client=client,
            caller=caller_of(scope),
            authorize=_no_key,
            max_channels=self._max_channels,
        )
        await session.handle(
            msgspec.json.encode(
                {
                    "op": "subscribe",
                    "channels": request.channels,
                    "since": request.resumed,
                    "every": request.every,
                    "snapshot": request.snapshot,
                }
            )
        )

    def _since(self, request: EventRequest) -> list[Cursor]:
        """Return the cursors at which a stream continues.

        Raises:
            Problem: they are none, or the ids of the stream would be too long.
        """
        partitions = self._hub.partitions
        if partitions > MOST_PARTITIONS and (request.wildcards or len(request.channels) > MOST_PARTITIONS):
            raise Problem(
                400,
                "too_many_channels",
                f"there are {partitions} partitions, too many for one Last-Event-ID: name {MOST_PARTITIONS}"
                " channels at most, or use the websocket",
            )
        try:
            return list(parse_cursors(request.resumed).values()) if request.resumed else []
        except ValueError as error:
            raise Problem(400, "bad_cursor", str(error)) from error

    def _refuse(
        self, stream: EventStream, error: MessageHead, request: EventRequest, caller: ApiCaller
    ) -> None:
        """Raise the problem of a stream that can't begin; one that is resumed ends, if that may help.

        A browser connects again after the end of a stream, but never after another status than 200.
        """
        if error.code == "unavailable" and request.last_event_id:
            stream.end()
            return
        code = error.code or "invalid_request"
        metrics.API_TURNED_AWAY.labels(code).inc()
        if code == "unauthorized":
            require_scope(caller, "admin")
        members = {"channel": error.channel, "near": error.near}
        raise Problem(
            _STATUSES.get(code, 400),
            code,
            error.message,
            headers={"Retry-After": str(RETRY_AFTER_S)} if code == "unavailable" else None,
            **{name: value for name, value in members.items() if value},
        )


async def _await_end(receive: Receive) -> None:
    """Wait until the client has gone; what it sends is ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _restart(stream: EventStream) -> None:
    stream.close_now(CloseCode.RESTART, "the API is stopping; connect again")


def _bound_delays(connection: socket.socket) -> None:
    """Bound how much outdated data waits for a slow client, and how long one that is gone stays connected."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux; elsewhere the system's own limit applies
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READ_S * 1000))


def _no_key(_: str) -> NoReturn:
    raise ProtocolError("unauthorized", "a stream takes its API key as a header")
