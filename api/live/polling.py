"""Tells clients of what is looked at every second rather than followed: connections, the last 24 hours."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal

from msgspec import UNSET
from msgspec.structs import replace
from redis.exceptions import RedisError

from api.http.problems import OUTAGE
from api.live.client import Client
from api.live.protocol import Channel, Snapshot, Update, WatchedView, encode
from api.queries.connections import Connections
from api.queries.history import History
from api.views.stats import ChangeView, change_view
from api.views.trades import connection_view
from db.stats import read_changes_24h
from tickplant.redis_client import is_passing

Read = Callable[[Collection[Channel]], Awaitable[Mapping[Channel, WatchedView | None]]]
"""Reads all there is to know of each of some channels; None for nothing yet."""

_PAUSE_S: Final = 1.0


class Watch:
    """Looks every second at the channels that somebody has, all at once."""

    def __init__(self, type_: Literal["connections", "stats"], read: Read, flush: Callable[[], None]) -> None:
        """Take what there is to tell.

        Args:
            type_: of the messages.
            read: what is looked at.
            flush: writes to clients whatever is queued for them.
        """
        self._type: Final = type_
        self._read = read
        self._flush = flush
        self._clients: dict[Channel, set[Client]] = {}
        self._views: dict[Channel, WatchedView | None] = {}
        self._asked: set[Channel] = set()
        self._watched = asyncio.Event()
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._watched.wait()
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.look()
            except (*OUTAGE, RedisError) as error:
                # Newcomers are told of an outage; of one of Redis all are, by who follows the live streams.
                if isinstance(error, RedisError) and not is_passing(error):
                    raise

    async def look(self, *channels: Channel) -> None:
        """Look at channels, beside those that somebody has, and tell clients of what has changed.

        Many may ask at once: a look that has not begun yet serves them all.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        self._asked.update(channels)
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        await asyncio.shield(self._next)

    async def _look(self) -> None:
        async with self._looking:
            self._next = None
            channels, self._asked = self._asked | self._clients.keys(), set()
            found = await self._read(channels)
            for channel in channels:
                self._keep(channel, found.get(channel))
            self._flush()

    def _keep(self, channel: Channel, view: WatchedView | None) -> None:
        known, self._views[channel] = self._views.get(channel), view
        clients = self._clients.get(channel)
        if clients and view is not None and not _same(known, view):
            name = str(channel)
            frame = encode(Update(self._type, name, UNSET, view))
            for client in clients:
                client.push(name, frame)

    def enter(self, client: Client, channel: Channel) -> None:
        """Show a client what was found when last looked, which must have been, and tell it of changes."""
        client.send(encode(Snapshot(str(channel), UNSET, UNSET, self._views[channel])))
        self._clients.setdefault(channel, set()).add(client)
        self._watched.set()

    def leave(self, client: Client, channel: Channel) -> None:
        """Tell a client no more."""
        clients = self._clients.get(channel, set())
        clients.discard(client)
        if not clients:
            self._clients.pop(channel, None)
        if not self._clients:
            self._watched.clear()


def reader_of_connections(connections: Connections) -> Read:
    """Return what reads the connections to venues."""

    async def read(channels: Collection[Channel]) -> dict[Channel, WatchedView]:
        views = [connection_view(connection) for connection in await connections.read()]
        return dict.fromkeys(channels, views)

    return read


def reader_of_changes(history: History) -> Read:
    """Return what reads the last 24 hours of symbols."""

    async def read(channels: Collection[Channel]) -> dict[Channel, WatchedView]:
        symbols = {channel.symbol_id: channel for channel in channels}
        async with history.at_once() as connection:
            changes = await read_changes_24h(connection, symbols)
        return {symbols[change.symbol]: change_view(change) for change in changes}

    return read


def _same(known: WatchedView | None, view: WatchedView) -> bool:
    """Say whether there is nothing new to tell: that a symbol's time goes on is told by the minute."""
    if isinstance(known, ChangeView) and isinstance(view, ChangeView):
        return replace(known, until=view.until, covers_s=view.covers_s) == view
    return known == view
