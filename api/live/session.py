"""Handles one websocket client's requests."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from api.access.caller import ApiCaller
from api.http.problems import OUTAGE
from api.live.channel_names import parse_channel
from api.live.channels import KINDS
from api.live.client import Client
from api.live.cursor import Cursor
from api.live.hub import Hub
from api.live.protocol import (
    Ack,
    Channel,
    Id,
    Op,
    Pong,
    ProtocolError,
    Request,
    parse_request,
    request_id,
    text_frame,
)
from api.queries.symbols import AmbiguousSymbolError, SymbolDirectory, UnknownSymbolError

T = TypeVar("T")
Requested = dict[Channel, Cursor | None]
"""Channels to subscribe to, with the cursors to resume at."""

ALERTS: Final = "alerts"
MAX_NAMES: Final = 1024
"""The most channels that one request may name."""
_AT_ONCE: Final = 32
"""Channels of one request that are handled before yielding to the event loop."""


class ClientSession:
    """Handles a client's requests one after the other."""

    def __init__(
        self,
        *,
        hub: Hub,
        directory: SymbolDirectory,
        client: Client,
        caller: ApiCaller,
        authorize: Callable[[str], ApiCaller],
        max_channels: int,
    ) -> None:
        """Serve a client.

        Args:
            hub: manages subscriptions.
            directory: resolves symbols.
            client: sends the requests.
            caller: who the client is, unless it sends a key.
            authorize: returns the caller with an API key; raises ProtocolError if it is not valid.
            max_channels: the most channels that the client may be subscribed to.
        """
        self.caller = caller
        self._authorize = authorize
        self._hub = hub
        self._directory = directory
        self._client = client
        self._max_channels = max_channels
        self._near_searched = False
        """Whether similar symbols were searched for in this request; the search is expensive."""
        self._operations: Final[dict[str, Callable[[Request], Awaitable[None]]]] = {
            "subscribe": self.subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._ping,
            "auth": self._authenticate,
        }

    async def handle(self, text: str | bytes) -> int:
        """Handle one request; the client gets an error message for what is wrong with it.

        Returns:
            The number of channels that it names.
        """
        self._near_searched = False
        named = 0
        try:
            request = parse_request(text)
            named = len(request.channels)
            operation = self._operation(request.op)
            self._check_read(request.op)
            await operation(request)
        except ProtocolError as error:
            self._send_error(request_id(text), error)
        self._hub.clients.flush()
        return named

    def _operation(self, op: str) -> Callable[[Request], Awaitable[None]]:
        operation = self._operations.get(op)
        if operation is None:
            raise ProtocolError("unknown_op", f"{op[:20]!r} is not one of {', '.join(self._operations)}")
        return operation

    def _check_read(self, op: str) -> None:
        if op not in ("auth", "ping") and not self.caller.may("read"):
            raise ProtocolError("unauthorized", 'send an API key first: {"op":"auth","key":"tp_..."}')

    async def _authenticate(self, request: Request) -> None:
        if request.key is None:
            raise ProtocolError("invalid_request", "key: auth needs an API key")
        self.caller = self._authorize(request.key)
        self._client.send(text_frame(Ack(request.id, "auth", [])))

    async def subscribe(self, request: Request) -> None:
        """Acknowledge, then start each channel with a snapshot or with what the client missed.

        Raises:
            ProtocolError: the request names no channel, or too many.
        """
        requested = await self._requested_channels(request)
        resumable = await self._prepare(request.id, requested)
        self._acknowledge(request.id, "subscribe", list(resumable))
        by_cursor: defaultdict[Cursor, list[Channel]] = defaultdict(list)
        async for channel, can_resume in _yielding(resumable.items()):
            cursor = requested[channel]
            if can_resume and cursor is not None:
                by_cursor[cursor].append(channel)
                continue
            recovered = None if cursor is None else False
            await self._start(
                request.id, [channel], self._hub.subscribe(self._client, channel, recovered=recovered)
            )
        for cursor, channels in by_cursor.items():
            await self._start(request.id, channels, self._hub.resume(self._client, channels, cursor))

    async def _requested_channels(self, request: Request) -> Requested:
        """Return the channels that can be subscribed to; the client gets an error for each other one."""
        requested: Requested = {}
        room = self._max_channels - len(self._client.channels)
        async for name in _yielding(_names(request)):
            try:
                for channel in await self._channels(name):
                    cursor = _cursor(request, name, channel)
                    if channel not in requested and channel not in self._client.channels:
                        self._check_room(name, room)
                        room -= 1
                    requested[channel] = cursor
            except ProtocolError as error:
                self._send_error(request.id, error)
        return requested

    def _check_room(self, name: str, room: int) -> None:
        if room <= 0:
            raise ProtocolError(
                "too_many_channels", f"a client may have {self._max_channels} channels", channel=name
            )

    async def _prepare(self, id_: Id, requested: Requested) -> dict[Channel, bool]:
        """Prepare channels; return for each that is ready whether it can be resumed at its cursor."""
        results = await asyncio.gather(
            *(self._hub.prepare(self._client, channel, cursor) for channel, cursor in requested.items()),
            return_exceptions=True,
        )
        ready: dict[Channel, bool] = {}
        for channel, result in zip(requested, results, strict=True):
            if isinstance(result, bool):
                ready[channel] = result
            elif isinstance(result, OUTAGE):
                self._send_error(id_, _unavailable(channel))
            else:
                raise result
        return ready

    async def _start(self, id_: Id, channels: list[Channel], start: Awaitable[None]) -> None:
        try:
            await start
        except OUTAGE:
            self._hub.unsubscribe(self._client, channels)
            for channel in channels:
                self._send_error(id_, _unavailable(channel))
        await self._client.drained()

    async def _unsubscribe(self, request: Request) -> None:
        done: list[Channel] = []
        async for name in _yielding(_names(request)):
            try:
                channels = self._subscribed(name, await self._channels(name))
                self._hub.unsubscribe(self._client, channels)
                done += channels
            except ProtocolError as error:
                self._send_error(request.id, error)
        self._acknowledge(request.id, "unsubscribe", done)

    def _subscribed(self, name: str, channels: list[Channel]) -> list[Channel]:
        subscribed = [channel for channel in channels if channel in self._client.channels]
        if not subscribed:
            raise ProtocolError("not_subscribed", f"not subscribed to {name[:80]}", channel=name)
        return subscribed

    async def _ping(self, request: Request) -> None:
        self._client.send(text_frame(Pong(request.id)))

    async def _channels(self, name: str) -> list[Channel]:
        """Return the channel of a name, or those of all symbols."""
        kind, symbol, interval = parse_channel(name)
        if kind == ALERTS and self.caller.owner is not None:
            raise ProtocolError(
                "unauthorized",
                "firings of all alerts need an API key with the scope admin; those of your own alerts are at"
                " /api/v1/alerts/firings",
                channel=name,
            )
        if not KINDS[kind].of_symbol:
            return [Channel(kind)]
        try:
            if symbol:
                symbols = [await self._directory.resolve(symbol, near=not self._near_searched)]
            else:
                symbols = await self._directory.all()
        except UnknownSymbolError as error:
            self._near_searched = True
            raise ProtocolError("unknown_symbol", str(error), channel=name, near=error.near) from error
        except AmbiguousSymbolError as error:
            raise ProtocolError(
                "ambiguous_symbol", str(error), channel=name, near=error.candidates
            ) from error
        except OUTAGE as error:
            raise ProtocolError("unavailable", "the database is unavailable", channel=name) from error
        return [Channel(kind, *symbol, interval) for symbol in symbols]

    def _acknowledge(self, id_: Id, op: Op, channels: list[Channel]) -> None:
        if channels:
            self._client.send(text_frame(Ack(id_, op, [str(channel) for channel in channels])))

    def _send_error(self, id_: Id, error: ProtocolError) -> None:
        self._client.send(text_frame(error.message(id_)))


def _names(request: Request) -> list[str]:
    """Return the channels that a request names, each once.

    Raises:
        ProtocolError: there are none, or too many.
    """
    names = list(dict.fromkeys(request.channels))
    if not names:
        raise ProtocolError("invalid_request", "channels: name at least one")
    if len(names) > MAX_NAMES:
        raise ProtocolError("too_many_channels", f"a request may name at most {MAX_NAMES} channels")
    return names


async def _yielding(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items, and let the event loop run periodically."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _cursor(request: Request, name: str, channel: Channel) -> Cursor | None:
    since = request.since
    text = since.get(name) or since.get(str(channel)) if isinstance(since, dict) else since
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise ProtocolError("bad_cursor", str(error), channel=name) from error


def _unavailable(channel: Channel) -> ProtocolError:
    return ProtocolError(
        "unavailable", "a server is unavailable; try again in a moment", channel=str(channel)
    )
