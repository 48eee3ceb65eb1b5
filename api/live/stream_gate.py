"""What all gates of streams share: each subscribes a client of its own, whose one request is its channels."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from litestar import Request
from msgspec import Struct

from api.access.caller import ApiCaller, require_scope
from api.access.middleware import Access
from api.http.problems import RETRY_AFTER_S, Problem
from api.live.client import Client
from api.live.client_keys import close_unauthorized
from api.live.cursor import Cursor, parse_cursors
from api.live.events import EventIds
from api.live.frames import MessageHead
from api.live.gate import AnyConnection
from api.live.hub import Hub
from api.live.part_stream import PartStream
from api.live.protocol import CloseCode, Code, ProtocolError
from api.live.session import ClientSession
from api.queries.symbols import SymbolDirectory
from tickplant import metrics
from tickplant.background import background

_STATUSES: Final[dict[Code, int]] = {"unknown_symbol": 404, "ambiguous_symbol": 409, "unavailable": 503}
"""Of the errors before a stream begins; 400 for others."""

StreamT = TypeVar("StreamT", bound=PartStream)


class StreamRequest(Struct, frozen=True):
    """A request for a stream."""

    channels: list[str]
    since: str | None
    """The cursors at which it continues; None for a new one."""
    every: str | None = None
    snapshot: bool = True

    @property
    def wildcards(self) -> bool:
        """Whether channels may join it later."""
        return any("*" in name for name in self.channels)


class StreamGate:
    """Admits streams, and connects them to the hub; they count as clients like websockets."""

    def __init__(
        self,
        *,
        hub: Hub,
        directory: SymbolDirectory,
        access: Access,
        admitted: Callable[[AnyConnection], AbstractContextManager[None]],
        max_channels: int,
    ) -> None:
        """Serve streams.

        Args:
            hub: manages subscriptions.
            directory: resolves symbols.
            access: knows the API keys.
            admitted: counts a client; raises Problem if it may not connect.
            max_channels: the most channels of one stream, without those of wildcards.
        """
        self._hub = hub
        self._directory = directory
        self._access = access
        self._admitted = admitted
        self._max_channels = max_channels
        self._streams: set[PartStream] = set()
        self._stopped = False

    def stop(self) -> None:
        """End all streams, and those that begin from now on: their clients connect again."""
        self._stopped = True
        for stream in list(self._streams):
            _restart(stream)

    def admit(self, request: StreamRequest, scope: Any, ends: ExitStack) -> list[Cursor]:
        """Count a client until `ends` is closed, and return the cursors at which it continues.

        Raises:
            Problem: it may not connect, or they are none.
        """
        try:
            ends.enter_context(self._admitted(Request(scope)))
            return self.cursors(request)
        except Problem as problem:
            metrics.API_TURNED_AWAY.labels(problem.code).inc()
            raise

    def cursors(self, request: StreamRequest) -> list[Cursor]:
        """Return the cursors at which a stream continues.

        Raises:
            Problem: they are none.
        """
        try:
            return list(parse_cursors(request.since).values()) if request.since else []
        except ValueError as error:
            raise Problem(400, "bad_cursor", str(error)) from error

    @asynccontextmanager
    async def following(
        self,
        request: StreamRequest,
        since: Iterable[Cursor],
        caller: ApiCaller,
        make: Callable[[EventIds], StreamT],
    ) -> AsyncIterator[StreamT]:
        """Subscribe a stream during the context; it has not begun yet.

        Args:
            request: its channels.
            since: what the client has.
            caller: who requests it; it ends if the caller's key is revoked.
            make: returns the stream.
        """
        with ExitStack() as ends:
            client, stream = self._connect(request, since, caller, make, ends)
            async with background(self._subscribe(client, request, caller), on_end=stream.note_subscribed):
                yield stream

    def problem(self, error: MessageHead, caller: ApiCaller) -> Problem:
        """Return the problem of a stream that can't begin, and count its client."""
        code = error.code or "invalid_request"
        metrics.API_TURNED_AWAY.labels(code).inc()
        if code == "unauthorized":
            require_scope(caller, "admin")
        members = {"channel": error.channel, "near": error.near}
        return Problem(
            _STATUSES.get(code, 400),
            code,
            error.message,
            headers={"Retry-After": str(RETRY_AFTER_S)} if code == "unavailable" else None,
            **{name: value for name, value in members.items() if value},
        )

    def _connect(
        self,
        request: StreamRequest,
        since: Iterable[Cursor],
        caller: ApiCaller,
        make: Callable[[EventIds], StreamT],
        ends: ExitStack,
    ) -> tuple[Client, StreamT]:
        """Connect a stream to the hub, until `ends` is closed."""
        ids = EventIds(
            since,
            lambda: self._hub.channels_by_partition(client),
            snapshot=request.snapshot,
            wildcards=request.wildcards,
        )
        stream = make(ids)
        client = self._hub.connect(stream)
        ends.callback(self._hub.disconnect, client)
        ends.callback(stream.lose)
        stream.on_writable = client.flush_now
        self._streams.add(stream)
        ends.callback(self._streams.discard, stream)
        revoked = partial(close_unauthorized, stream, "the API key was revoked")
        ends.enter_context(self._access.keys.watched(caller.key_id, revoked))
        if self._stopped:
            _restart(stream)
        return client, stream

    async def _subscribe(self, client: Client, request: StreamRequest, caller: ApiCaller) -> None:
        session = ClientSession(
            hub=self._hub,
            directory=self._directory,
            client=client,
            caller=caller,
            authorize=_no_key,
            max_channels=self._max_channels,
        )
        await session.handle(
            msgspec.json.encode(
                {
                    "op": "subscribe",
                    "channels": request.channels,
                    "since": request.since,
                    "every": request.every,
                    "snapshot": request.snapshot,
                }
            )
        )


def _restart(stream: PartStream) -> None:
    stream.close_now(CloseCode.RESTART, "the API is stopping; connect again")


def _no_key(_: str) -> NoReturn:
    raise ProtocolError("unauthorized", "a stream takes its API key as a header")
