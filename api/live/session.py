"""What one websocket client asks, carried out."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

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
    encode,
    parse_request,
    request_id,
)
from api.queries.directory import AmbiguousSymbolError, Directory, UnknownSymbolError

T = TypeVar("T")
Wanted = dict[Channel, Cursor | None]

MOST_NAMES: Final = 1024
"""The most channels that one request may name."""
_AT_ONCE: Final = 32
"""Channels of one request that are worked on before others on the event loop get their turn."""


class Session:
    """A client's requests, one after the other."""

    def __init__(self, *, hub: Hub, directory: Directory, client: Client, most_channels: int) -> None:
        """Take the client and what serves it.

        Args:
            hub: where channels are.
            directory: finds symbols.
            client: whose requests these are.
            most_channels: how many channels the client may have.
        """
        self._hub = hub
        self._directory = directory
        self._client = client
        self._most_channels = most_channels
        self._told_near = False
        """Whether near symbols were looked for in this request: once is enough, and it costs."""
        self._operations: Final[dict[str, Callable[[Request], Awaitable[None]]]] = {
            "subscribe": self.subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._ping,
        }

    async def handle(self, text: str | bytes) -> int:
        """Carry out one request; whatever is wrong with it is told to the client.

        Returns:
            How many channels it named.
        """
        self._told_near = False
        named = 0
        try:
            request = parse_request(text)
            named = len(request.channels)
            await self._operation(request.op)(request)
        except ProtocolError as error:
            self._tell_error(request_id(text), error)
        self._hub.flush()
        return named

    def _operation(self, op: str) -> Callable[[Request], Awaitable[None]]:
        operation = self._operations.get(op)
        if operation is None:
            raise ProtocolError("unknown_op", f"{op[:20]!r} is none of {', '.join(self._operations)}")
        return operation

    async def subscribe(self, request: Request) -> None:
        """Acknowledge, then begin each channel with a snapshot or with what the client missed.

        Raises:
            ProtocolError: nothing was asked for.
        """
        wanted = await self._wanted(request)
        resumable = await self._prepare(request.id, wanted)
        self._acknowledge(request.id, "subscribe", list(resumable))
        by_cursor: defaultdict[Cursor, list[Channel]] = defaultdict(list)
        async for channel, can_resume in _unhurried(resumable.items()):
            cursor = wanted[channel]
            if can_resume and cursor is not None:
                by_cursor[cursor].append(channel)
                continue
            recovered = None if cursor is None else False
            await self._begin(
                request.id, [channel], self._hub.subscribe(self._client, channel, recovered=recovered)
            )
        for cursor, channels in by_cursor.items():
            await self._begin(request.id, channels, self._hub.resume(self._client, channels, cursor))

    async def _wanted(self, request: Request) -> Wanted:
        """Return the channels that can be subscribed to; the client is told about the others."""
        wanted: Wanted = {}
        room = self._most_channels - len(self._client.channels)
        async for name in _unhurried(_names(request)):
            try:
                for channel in await self._channels(name):
                    cursor = _cursor(request, name, channel)
                    if channel not in wanted and channel not in self._client.channels:
                        self._check_room(name, room)
                        room -= 1
                    wanted[channel] = cursor
            except ProtocolError as error:
                self._tell_error(request.id, error)
        return wanted

    def _check_room(self, name: str, room: int) -> None:
        if room <= 0:
            raise ProtocolError("too_many_channels", f"a client may have {self._most_channels}", channel=name)

    async def _prepare(self, given_id: Id, wanted: Wanted) -> dict[Channel, bool]:
        """Return which channels are ready, and whether each can go on from its cursor."""
        results = await asyncio.gather(
            *(self._hub.prepare(self._client, channel, cursor) for channel, cursor in wanted.items()),
            return_exceptions=True,
        )
        ready: dict[Channel, bool] = {}
        for channel, result in zip(wanted, results, strict=True):
            if isinstance(result, bool):
                ready[channel] = result
            elif isinstance(result, OUTAGE):
                self._tell_error(given_id, _unavailable(channel))
            else:
                raise result
        return ready

    async def _begin(self, given_id: Id, channels: list[Channel], beginning: Awaitable[None]) -> None:
        try:
            await beginning
        except OUTAGE:
            self._hub.unsubscribe(self._client, channels)
            for channel in channels:
                self._tell_error(given_id, _unavailable(channel))
        await self._client.drained()

    async def _unsubscribe(self, request: Request) -> None:
        done: list[Channel] = []
        async for name in _unhurried(_names(request)):
            try:
                channels = self._subscribed(name, await self._channels(name))
                self._hub.unsubscribe(self._client, channels)
                done += channels
            except ProtocolError as error:
                self._tell_error(request.id, error)
        self._acknowledge(request.id, "unsubscribe", done)

    def _subscribed(self, name: str, channels: list[Channel]) -> list[Channel]:
        subscribed = [channel for channel in channels if channel in self._client.channels]
        if not subscribed:
            raise ProtocolError("not_subscribed", f"not subscribed to {name[:80]}", channel=name)
        return subscribed

    async def _ping(self, request: Request) -> None:
        self._client.send(encode(Pong(request.id)))

    async def _channels(self, name: str) -> list[Channel]:
        """Return what a client means by the name of a channel, or of one for every symbol."""
        kind, symbol, interval = parse_channel(name)
        if not KINDS[kind].of_symbol:
            return [Channel(kind)]
        try:
            if symbol:
                symbols = [await self._directory.resolve(symbol, near=not self._told_near)]
            else:
                symbols = await self._directory.all()
        except UnknownSymbolError as error:
            self._told_near = True
            raise ProtocolError("unknown_symbol", str(error), channel=name, near=error.near) from error
        except AmbiguousSymbolError as error:
            raise ProtocolError(
                "ambiguous_symbol", str(error), channel=name, near=error.candidates
            ) from error
        except OUTAGE as error:
            raise ProtocolError("unavailable", "the database is away", channel=name) from error
        return [Channel(kind, *symbol, interval) for symbol in symbols]

    def _acknowledge(self, given_id: Id, op: Op, channels: list[Channel]) -> None:
        if channels:
            self._client.send(encode(Ack(given_id, op, [str(channel) for channel in channels])))

    def _tell_error(self, given_id: Id, error: ProtocolError) -> None:
        self._client.send(encode(error.message(given_id)))


def _names(request: Request) -> list[str]:
    """Return the channels that a request names, each once.

    Raises:
        ProtocolError: there are none, or too many.
    """
    names = list(dict.fromkeys(request.channels))
    if not names:
        raise ProtocolError("invalid_request", "channels: name at least one")
    if len(names) > MOST_NAMES:
        raise ProtocolError("too_many_channels", f"a request may name {MOST_NAMES} channels")
    return names


async def _unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items, and let others on the event loop have their turn now and then."""
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
    return ProtocolError("unavailable", "a server is away; try again in a moment", channel=str(channel))
