"""Handles one websocket client's requests."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from msgspec import UNSET, UnsetType

from api.access.caller import ApiCaller
from api.http.problems import OUTAGE
from api.live.client import Client
from api.live.cursor import Cursor, join_cursors
from api.live.frames import text_frame
from api.live.hub import Hub
from api.live.protocol import (
    Ack,
    Channel,
    Id,
    Op,
    Pattern,
    Pong,
    ProtocolError,
    Request,
    parse_request,
    request_id,
)
from api.live.sinks import parse_every, sink_of
from api.live.wanted import NameResolver, Wanted, channels_of, names_of, yielding
from api.queries.symbols import SymbolDirectory


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
        self._client = client
        self._names = NameResolver(
            hub=hub,
            directory=directory,
            client=client,
            max_channels=max_channels,
            on_error=lambda request, error: self._send_error(request.id, error),
        )
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
        self._names.begin()
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
            ProtocolError: the request names no channel, or too many; or `every` is not an interval.
        """
        every_s = None if request.every is None else parse_every(request.every)
        wanted = Wanted(sink_of(self._client, every_s), request.snapshot)
        await self._names.add_all(request, wanted, self.caller)
        if wanted.patterns:
            self._acknowledge_wildcards(request, wanted)
        ready = await self._prepare(request.id, wanted)
        if not wanted.patterns:
            cursor: str | UnsetType = UNSET
            if ready and not request.snapshot:
                cursor = join_cursors(self._hub.cursors())
            self._acknowledge(request.id, "subscribe", ready, cursor)
        await self._start_all(request.id, wanted, ready)

    async def _start_all(self, id_: Id, wanted: Wanted, ready: list[Channel]) -> None:
        by_cursor: defaultdict[Cursor, list[Channel]] = defaultdict(list)
        patterns: defaultdict[Cursor, list[Pattern]] = defaultdict(list)
        for pattern, since in wanted.patterns.items():
            for cursor in since.values():
                if cursor in wanted.resumable:
                    patterns[cursor].append(pattern)
                    by_cursor[cursor] = []
                else:
                    self._hub.report_loss(self._client, [pattern], cursor.partition)
        async for channel in yielding(ready):
            resumed = wanted.cursor(channel, self._hub)
            if resumed is not None:
                by_cursor[resumed].append(channel)
                continue
            recovered = None if wanted.channels[channel] is None else False
            await self._start(
                id_,
                [channel],
                self._hub.subscribe(self._client, channel, recovered=recovered, snapshot=wanted.snapshot),
            )
        for cursor, of_partition in by_cursor.items():
            # A wildcard that was unavailable in one partition has been left, in all of them.
            channels = [channel for channel in of_partition if channel in self._client.channels]
            wildcards = [pattern for pattern in patterns[cursor] if pattern in self._client.patterns]
            if channels or wildcards:
                start = self._hub.resume(self._client, channels, wildcards, cursor)
                await self._start(id_, channels, start, wildcards)

    def _acknowledge_wildcards(self, request: Request, wanted: Wanted) -> None:
        """Acknowledge at once: channels may join, and send changes, from now on."""
        given: dict[int, Cursor] = {}
        for since in wanted.patterns.values():
            given |= since
        cursors = [given.get(cursor.partition, cursor) for cursor in wanted.started]
        named = [
            str(channel)
            for channel in wanted.channels
            if not any(pattern in wanted.patterns for pattern in channel.patterns)
        ]
        names = [*map(str, wanted.patterns), *named]
        self._client.send(text_frame(Ack(request.id, "subscribe", names, join_cursors(cursors))))

    async def _prepare(self, id_: Id, wanted: Wanted) -> list[Channel]:
        """Prepare channels and find out which can be resumed; return those that are ready."""
        cursors = {cursor for cursor in wanted.channels.values() if cursor is not None}
        cursors |= {cursor for since in wanted.patterns.values() for cursor in since.values()}
        try:
            wanted.resumable = {each for each in cursors if await self._hub.can_resume(each)}
        except OUTAGE:
            self._hub.unsubscribe(self._client, list(wanted.channels))
            for channel in wanted.channels:
                self._send_error(id_, _unavailable(channel))
            for pattern in wanted.patterns:
                self._hub.leave_wildcard(self._client, pattern)
                self._send_error(id_, _unavailable(pattern))
            wanted.patterns.clear()
            return []
        results = await asyncio.gather(
            *(
                self._hub.prepare(
                    self._client,
                    channel,
                    wanted.sink,
                    load=wanted.snapshot and wanted.cursor(channel, self._hub) is None,
                )
                for channel in wanted.channels
            ),
            return_exceptions=True,
        )
        ready: list[Channel] = []
        for channel, result in zip(wanted.channels, results, strict=True):
            if result is None:
                ready.append(channel)
            elif isinstance(result, OUTAGE):
                self._send_error(id_, _unavailable(channel))
            else:
                raise result
        return ready

    async def _start(
        self, id_: Id, channels: list[Channel], start: Awaitable[None], patterns: Iterable[Pattern] = ()
    ) -> None:
        try:
            await start
        except OUTAGE:
            self._hub.unsubscribe(self._client, channels)
            for pattern in patterns:
                self._hub.leave_wildcard(self._client, pattern)
                self._send_error(id_, _unavailable(pattern))
            for channel in channels:
                self._send_error(id_, _unavailable(channel))
        await self._client.drained()

    async def _unsubscribe(self, request: Request) -> None:
        done: list[str] = []
        async for name in yielding(names_of(request)):
            try:
                parsed = self._names.parse(name, self.caller)
                if parsed.pattern is not None:
                    done.append(self._unsubscribe_wildcard(name, parsed.pattern))
                    continue
                found = channels_of(parsed, await self._names.symbols(name, parsed))
                channels = self._subscribed(name, found)
                self._hub.unsubscribe(self._client, channels)
                done += map(str, channels)
            except ProtocolError as error:
                self._send_error(request.id, error)
        self._acknowledge(request.id, "unsubscribe", done)

    def _unsubscribe_wildcard(self, name: str, pattern: Pattern) -> str:
        if pattern not in self._client.patterns:
            raise ProtocolError("not_subscribed", f"not subscribed to {name[:80]}", channel=name)
        self._hub.leave_wildcard(self._client, pattern)
        return str(pattern)

    def _subscribed(self, name: str, channels: list[Channel]) -> list[Channel]:
        subscribed = [channel for channel in channels if channel in self._client.channels]
        if not subscribed:
            raise ProtocolError("not_subscribed", f"not subscribed to {name[:80]}", channel=name)
        return subscribed

    async def _ping(self, request: Request) -> None:
        self._client.send(text_frame(Pong(request.id)))

    def _acknowledge(
        self, id_: Id, op: Op, channels: Iterable[Channel | str], cursor: str | UnsetType = UNSET
    ) -> None:
        names = list(map(str, channels))
        if names:
            self._client.send(text_frame(Ack(id_, op, names, cursor)))

    def _send_error(self, id_: Id, error: ProtocolError) -> None:
        self._client.send(text_frame(error.message(id_)))


def _unavailable(channel: Channel | Pattern) -> ProtocolError:
    return ProtocolError(
        "unavailable", "a server is unavailable; try again in a moment", channel=str(channel)
    )
