"""What a request of a websocket client names: channels and wildcards, with the cursors to resume at."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

from api.access.caller import ApiCaller
from api.http.problems import OUTAGE
from api.live.channel_names import ChannelName, parse_channel
from api.live.channels import KINDS, STREAMED
from api.live.client import Client, MessageSink
from api.live.cursor import Cursor, parse_cursors
from api.live.hub import Hub
from api.live.protocol import Channel, Pattern, ProtocolError, Request
from api.queries.symbols import AmbiguousSymbolError, SymbolDirectory, UnknownSymbolError
from tickplant.intervals import MERGED
from tickplant.market import SymbolId

T = TypeVar("T")

ALERTS: Final = "alerts"
MAX_NAMES: Final = 1024
"""The most channels that one request may name."""
_AT_ONCE: Final = 32
"""Channels of one request that are handled before yielding to the event loop."""


class Wanted:
    """What a request subscribes to."""

    def __init__(self, sink: MessageSink, snapshot: bool) -> None:
        self.sink = sink
        self.snapshot = snapshot
        self.channels: dict[Channel, Cursor | None] = {}
        """With the cursors to resume at."""
        self.patterns: dict[Pattern, dict[int, Cursor]] = {}
        """Wildcards, likewise, by partition."""
        self.started: list[Cursor] = []
        """After which all changes of new channels are sent."""
        self.resumable: set[Cursor] = set()

    def cursor(self, channel: Channel, hub: Hub) -> Cursor | None:
        """Return where a channel is resumed; None if it can't be."""
        cursor = self.channels[channel]
        if cursor in self.resumable and channel.kind in STREAMED and channel.interval not in MERGED:
            return cursor if cursor.partition == hub.partition_of(channel) else None
        return None


class NameResolver:
    """Resolves what one client's requests name.

    Args:
        hub: manages subscriptions.
        directory: resolves symbols.
        client: sends the requests.
        max_channels: the most channels that the client may be subscribed to.
        on_error: takes the request and the error of each name that can't be subscribed to.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        directory: SymbolDirectory,
        client: Client,
        max_channels: int,
        on_error: Callable[[Request, ProtocolError], None],
    ) -> None:
        self._hub = hub
        self._directory = directory
        self._client = client
        self._max_channels = max_channels
        self._on_error = on_error
        self._near_searched = False
        """Whether similar symbols were searched for in this request; the search is expensive."""

    def begin(self) -> None:
        """Begin another request."""
        self._near_searched = False

    async def add_all(self, request: Request, wanted: Wanted, caller: ApiCaller) -> None:
        """Add the channels that can be subscribed to; the client gets an error for each other one."""
        room = self._max_channels - len(self._client.channels.keys() - self._of_wildcards())
        async for name in yielding(names_of(request)):
            try:
                parsed = self.parse(name, caller)
                symbols = await self.symbols(name, parsed)
                if parsed.pattern is not None:
                    self._add_wildcard(request, name, parsed.pattern, symbols, wanted)
                    continue
                for channel in channels_of(parsed, symbols):
                    cursor = _cursor(request, name, channel, self._hub)
                    if channel not in wanted.channels and channel not in self._client.channels:
                        self._check_room(name, room)
                        room -= 1
                    wanted.channels[channel] = cursor
            except ProtocolError as error:
                self._on_error(request, error)

    def _add_wildcard(
        self, request: Request, name: str, pattern: Pattern, symbols: list[SymbolId], wanted: Wanted
    ) -> None:
        since = _since(request, name, str(pattern))
        wanted_before = wanted.channels
        channels = self._hub.enter_wildcard(self._client, pattern, symbols, wanted.sink, since)
        wanted.patterns[pattern] = since
        for channel in channels:
            wanted_before[channel] = _cursor(request, name, channel, self._hub)
        if not wanted.started:
            wanted.started = self._hub.cursors()

    def _of_wildcards(self) -> set[Channel]:
        patterns = self._client.patterns
        return {
            channel
            for channel in (self._client.channels if patterns else ())
            if any(pattern in patterns for pattern in channel.patterns)
        }

    def _check_room(self, name: str, room: int) -> None:
        if room <= 0:
            raise ProtocolError(
                "too_many_channels", f"a client may have {self._max_channels} channels", channel=name
            )

    def parse(self, name: str, caller: ApiCaller) -> ChannelName:
        """Parse a name.

        Raises:
            ProtocolError: there is no such channel, or the caller may not subscribe to it.
        """
        parsed = parse_channel(name)
        if parsed.kind == ALERTS and caller.owner is not None:
            raise ProtocolError(
                "unauthorized",
                "firings of all alerts need an API key with the scope admin; those of your own alerts are at"
                " /api/v1/alerts/firings",
                channel=name,
            )
        return parsed

    async def symbols(self, name: str, parsed: ChannelName) -> list[SymbolId]:
        """Return the symbol of a name, or all symbols; none for a channel that is of no symbol."""
        if not KINDS[parsed.kind].of_symbol:
            return []
        try:
            if parsed.symbol and parsed.pattern is None:
                return [await self._directory.resolve(parsed.symbol, near=not self._near_searched)]
            return await self._directory.all()
        except UnknownSymbolError as error:
            self._near_searched = True
            raise ProtocolError("unknown_symbol", str(error), channel=name, near=error.near) from error
        except AmbiguousSymbolError as error:
            raise ProtocolError(
                "ambiguous_symbol", str(error), channel=name, near=error.candidates
            ) from error
        except OUTAGE as error:
            raise ProtocolError("unavailable", "the database is unavailable", channel=name) from error


def names_of(request: Request) -> list[str]:
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


async def yielding(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items, and let the event loop run periodically."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


def channels_of(name: ChannelName, symbols: list[SymbolId]) -> list[Channel]:
    """Return the channels of a name."""
    if not KINDS[name.kind].of_symbol:
        return [Channel(name.kind)]
    return [Channel(name.kind, *symbol, name.interval) for symbol in symbols]


def _since(request: Request, name: str, full_name: str) -> dict[int, Cursor]:
    """Return the cursors at which a channel or wildcard resumes, by partition."""
    since = request.since
    text = since.get(full_name) or since.get(name) if isinstance(since, dict) else since
    try:
        return parse_cursors(text) if text else {}
    except ValueError as error:
        raise ProtocolError("bad_cursor", str(error), channel=name) from error


def _cursor(request: Request, name: str, channel: Channel, hub: Hub) -> Cursor | None:
    """Return the cursor at which a channel resumes; one of another partition can't be."""
    cursors = _since(request, name, str(channel))
    if not cursors:
        return None
    partition = hub.partition_of(channel) if channel.symbol else 0
    return cursors.get(partition) or next(iter(cursors.values()))
