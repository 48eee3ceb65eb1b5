"""Server-sent events: the connection between ASGI and a stream of the hub."""

import random
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

from litestar.types import HTTPResponseBodyEvent, Receive, Scope, Send

from api.access.caller import ApiCaller, caller_of
from api.access.middleware import Access
from api.http.compression import EVENT_STREAM
from api.http.methods import is_head
from api.http.problems import Problem
from api.http.strict_protocol import transport_of
from api.http.timed_protocol import READ_S
from api.live.cursor import Cursor
from api.live.direct_write import SEND_BUFFER_BYTES
from api.live.event_stream import EventStream
from api.live.events import EventIds, retry
from api.live.frames import MessageHead
from api.live.gate import AnyConnection
from api.live.hub import Hub
from api.live.stream_gate import StreamGate, StreamRequest
from api.queries.symbols import SymbolDirectory
from tickplant.background import background

MOST_PARTITIONS: Final = 256
"""The most partitions that an id has cursors of: clients send it in a header."""

_HEADERS: Final = (
    (b"content-type", EVENT_STREAM),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events
)
_END: Final[HTTPResponseBodyEvent] = {"type": "http.response.body", "body": b"", "more_body": False}


class EventRequest(StreamRequest, frozen=True, kw_only=True):
    """A request for a stream of events."""

    last_event_id: str | None
    """Where it is resumed, by a client that connects again; None at first."""


class EventGate(StreamGate):
    """Admits and serves streams of events."""

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
        """Serve streams: as `StreamGate`.

        Args:
            hub: as there.
            directory: likewise.
            access: likewise.
            admitted: likewise.
            max_channels: likewise.
            retry_ms: between which times clients that are cut off connect again.
        """
        super().__init__(
            hub=hub, directory=directory, access=access, admitted=admitted, max_channels=max_channels
        )
        self._retry_ms = retry_ms

    async def serve(self, request: EventRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a stream that lasts until either side ends it.

        Raises:
            Problem: a channel can't be served, or the client is not admitted.
        """
        with ExitStack() as ends:
            since = self.admit(request, scope, ends)
            if is_head(scope):
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await send(_END)
                return
            caller = caller_of(scope)
            async with (
                self.following(request, since, caller, lambda ids: self._stream(ids, scope)) as stream,
                background(_await_end(receive), on_end=lambda _: stream.lose()),
            ):
                await stream.begun()
                if stream.refusal is not None:
                    self._refuse(stream, stream.refusal, request, caller)
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                async for part in stream.parts():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send(_END)

    def cursors(self, request: StreamRequest) -> list[Cursor]:
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
        return super().cursors(request)

    def _stream(self, ids: EventIds, scope: Any) -> EventStream:
        transport = transport_of(scope)
        if not transport.is_closing():  # else the client has left already, and the stream ends at once
            _bound_delays(transport.get_extra_info("socket"))
        after_ms = random.randint(*self._retry_ms)  # noqa: S311 - spreads load, guards no secret
        return EventStream(ids, retry(after_ms), transport.abort)

    def _refuse(
        self, stream: EventStream, error: MessageHead, request: EventRequest, caller: ApiCaller
    ) -> None:
        """Raise the problem of a stream that can't begin; one that is resumed ends, if that may help.

        A browser connects again after the end of a stream, but never after another status than 200.
        """
        if error.code == "unavailable" and request.last_event_id:
            stream.end()
            return
        raise self.problem(error, caller)


async def _await_end(receive: Receive) -> None:
    """Wait until the client has gone; what it sends is ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _bound_delays(connection: socket.socket) -> None:
    """Bound how much outdated data waits for a slow client, and how long one that is gone stays connected."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux; elsewhere the system's own limit applies
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READ_S * 1000))
