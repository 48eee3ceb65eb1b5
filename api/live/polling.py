"""Polls the channels that no live stream carries, such as the venue connections."""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import UNSET
from redis.exceptions import RedisError

from api.http.problems import OUTAGE
from api.live.channel_definitions import ChannelSources, PolledChannel
from api.live.client import Client
from api.live.frames import text_frame
from api.live.protocol import Channel, Snapshot, Update
from tickplant.redis_errors import is_transient

_PAUSE_S: Final = 1.0


class ChannelPoller:
    """Reads every second the channels of one kind that somebody is subscribed to, all at once."""

    def __init__(self, definition: PolledChannel, sources: ChannelSources, flush: Callable[[], None]) -> None:
        """Poll a kind of channel.

        Args:
            definition: the kind of channel.
            sources: where it is read from.
            flush: writes the queues of all clients.
        """
        self._definition: Final = definition
        self._sources = sources
        self._flush = flush
        self._clients: dict[Channel, set[Client]] = {}
        self._views: dict[Channel, object | None] = {}
        self._requested: set[Channel] = set()
        self._in_use = asyncio.Event()
        self._polling = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._in_use.wait()
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.poll()
            except (*OUTAGE, RedisError) as error:
                # Clients that subscribe get an error; the follower reports an outage of Redis to all.
                if isinstance(error, RedisError) and not is_transient(error):
                    raise

    async def poll(self, *channels: Channel) -> None:
        """Read channels, besides those that have clients, and queue what has changed for the clients.

        Concurrent calls share a read that has not started yet.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        self._requested.update(channels)
        if self._next is None:
            self._next = asyncio.create_task(self._poll())
        await asyncio.shield(self._next)

    async def _poll(self) -> None:
        async with self._polling:
            self._next = None
            channels, self._requested = self._requested | self._clients.keys(), set()
            views = await self._definition.read(self._sources, channels)
            for channel in channels:
                self._update(channel, views.get(channel))
            self._flush()

    def _update(self, channel: Channel, view: object | None) -> None:
        previous, self._views[channel] = self._views.get(channel), view
        clients = self._clients.get(channel)
        if clients and view is not None and not self._definition.unchanged(previous, view):
            name = str(channel)
            for key, data in self._definition.changes(previous, view):
                frame = text_frame(Update(self._definition.message, name, UNSET, data))
                for client in clients:
                    client.channels[channel].push(f"{name}{key}", frame)

    def enter(
        self, client: Client, channel: Channel, *, recovered: bool | None, snapshot: bool = True
    ) -> None:
        """Send a client what was read last, and then changes; the channel must have been read.

        Args:
            client: the subscriber.
            channel: of the kind that is polled.
            recovered: False if the client had a cursor; None for a new subscription.
            snapshot: whether to send what was read last.
        """
        flag = recovered if recovered is not None and self._definition.reports_losses else UNSET
        if snapshot:
            client.send(text_frame(Snapshot(str(channel), UNSET, flag, self._views[channel])))
        self._clients.setdefault(channel, set()).add(client)
        self._in_use.set()

    def leave(self, client: Client, channel: Channel) -> None:
        """Send a client no more changes."""
        clients = self._clients.get(channel, set())
        clients.discard(client)
        if not clients:
            self._clients.pop(channel, None)
        if not self._clients:
            self._in_use.clear()
