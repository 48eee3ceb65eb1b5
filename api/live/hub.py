"""The hub: one a process; follows the live streams and tells every client what changed."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from api.http.problems import OUTAGE
from api.live.channel_definitions import ChannelSources
from api.live.channels import KINDS, POLLED
from api.live.client import Client, Outlet
from api.live.cursor import Cursor
from api.live.feed import Feed, TrimmedError
from api.live.follower import Follower
from api.live.joining import Joiner
from api.live.partition import LivePartition, Staged
from api.live.polling import ChannelPoller
from api.live.protocol import Channel, Status, encode
from api.live.topic import Topic
from api.queries.connections import Connections
from api.queries.history import History
from api.queries.prices import Prices
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import RedisClient

_FLUSHED_AT_ONCE: Final = 256
"""Clients written to before others on the event loop get their turn."""


class Hub:
    """Follows all partitions and holds all clients."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: int,
        history: History,
        prices: Prices,
        connections: Connections,
        queue_bytes: int,
    ) -> None:
        """Take what is read, which stays the caller's.

        Args:
            redis: for the live streams.
            partitions: how many there are.
            history: for snapshots.
            prices: likewise.
            connections: how those to venues are doing.
            queue_bytes: the most that waits for one slow client.
        """
        self._feed = Feed(redis, partitions)
        self._history = history
        sources = ChannelSources(self._feed, history, prices, connections)
        self._joiner = Joiner(sources)
        self._partitions = [LivePartition(number) for number in range(partitions)]
        self._follower = Follower(self._feed, self._partitions, self)
        self._pollers = {
            kind: ChannelPoller(definition, sources, self.flush) for kind, definition in POLLED.items()
        }
        self._queue_bytes = queue_bytes
        self._dirty: list[Client] = []
        self._clients: set[Client] = set()
        self._rejoining: set[asyncio.Task[None]] = set()
        # At zero from the start, so that what has not happened is not taken for what is not measured.
        for kind in KINDS:
            metrics.API_SUBSCRIPTIONS.labels(kind)
        for reason in ("slow", "pushy", "failed"):
            metrics.API_DROPS.labels(reason)
        metrics.API_TURNED_AWAY.labels("busy")

    @property
    def live(self) -> bool:
        """Whether updates flow."""
        return self._follower.live

    @property
    def partitions(self) -> int:
        """How many partitions are followed."""
        return len(self._partitions)

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    async def run(self) -> None:
        """Follow the live streams until cancelled; an outage of Redis only interrupts."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follower.run())
                for poller in self._pollers.values():
                    tasks.create_task(poller.run())
        finally:
            for task in self._rejoining:
                task.cancel()
            await asyncio.gather(*self._rejoining, return_exceptions=True)

    def connect(self, outlet: Outlet) -> Client:
        """Take a client in."""
        client = Client(outlet, self._dirty, limit_bytes=self._queue_bytes)
        self._clients.add(client)
        metrics.API_CLIENTS.set(len(self._clients))
        if not self.live:
            client.send(encode(Status("stalled")))
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client."""
        client.close()
        self.unsubscribe(client, list(client.channels))
        self._clients.discard(client)
        metrics.API_CLIENTS.set(len(self._clients))

    async def prepare(self, client: Client, channel: Channel, cursor: Cursor | None) -> bool:
        """Make ready to subscribe a client to a channel, anew where it is subscribed already.

        Returns:
            Whether everything after the cursor can be told; if not, a snapshot is ready instead.

        Raises:
            TimeoutError: or another of `OUTAGE`; the client is not subscribed.
        """
        poller = self._pollers.get(channel.kind)
        if poller is not None:
            await poller.poll(channel)
            _add(client, channel)
            return False
        partition, topic = self._enter(client, channel)
        try:
            if cursor is not None and await self._joiner.can_resume(partition, cursor):
                return True
            await self._joiner.warm(partition, topic)
        except OUTAGE:
            self.unsubscribe(client, [channel])
            raise
        return False

    async def subscribe(self, client: Client, channel: Channel, *, recovered: bool | None) -> None:
        """Show a client the snapshot of a channel it entered, then what is live; at once if prepared.

        Args:
            client: who.
            channel: what.
            recovered: False where the client had more than it can be given back; None where it begins anew.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        poller = self._pollers.get(channel.kind)
        if poller is not None:
            poller.enter(client, channel)
            return
        partition = self._partition(channel)
        topic = partition.topic(channel)
        await self._joiner.warm(partition, topic)
        if channel in client.channels:
            client.send(topic.snapshot_frame(partition.cursor(), recovered=recovered))
            topic.sinks.add(client)

    async def resume(self, client: Client, channels: Iterable[Channel], cursor: Cursor) -> None:
        """Tell a client what it missed in channels it entered, then what is live; or show it snapshots.

        Args:
            client: who.
            channels: all of the cursor's partition.
            cursor: what the client has.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        partition = self._partitions[cursor.partition]
        topics = [partition.topic(channel) for channel in channels]
        try:
            await self._joiner.resume(partition, topics, cursor, client)
        except TrimmedError:
            for topic in topics:
                await self.subscribe(client, topic.channel, recovered=False)

    def unsubscribe(self, client: Client, channels: Iterable[Channel]) -> None:
        """Tell a client no more of some channels."""
        for channel in channels:
            if channel not in client.channels:
                continue
            client.channels.discard(channel)
            metrics.API_SUBSCRIPTIONS.labels(channel.kind).dec()
            poller = self._pollers.get(channel.kind)
            if poller is not None:
                poller.leave(client, channel)
                continue
            partition = self._partition(channel)
            topic = partition.topic(channel)
            topic.sinks.discard(client)
            partition.leave(topic)

    def cursor_after(self, symbol: SymbolId, moment: tuple[int, int]) -> Cursor | None:
        """Return the cursor of one who has a symbol's history up to an input entry, if it can be told."""
        partition = self._partitions[self._history.partition_of(symbol)]
        return partition.cursor_after(moment) if self.live else None

    def flush_of(self, client: Client) -> Callable[[], None]:
        """Return a function that writes what is queued for one client."""
        return lambda: metrics.API_SENDS.inc(client.flush())

    def flush(self) -> None:
        """Write what is queued."""
        while self._dirty:
            metrics.API_SENDS.inc(self._dirty.pop().flush())

    async def tell(self, staged: Staged) -> None:
        """Encode what changed, once, and write it to all who want it; empties `staged`."""
        received_us = 0
        for key, (topic, cursor, change) in staged.items():
            if type(change.data) is Trade:
                received_us = change.data.ingest_time_us
            frame = topic.update_frame(cursor, change.data)
            for sink in topic.sinks:
                sink.push(key, frame)
        staged.clear()
        while self._dirty:
            batch, self._dirty[:] = self._dirty[:_FLUSHED_AT_ONCE], self._dirty[_FLUSHED_AT_ONCE:]
            metrics.API_SENDS.inc(sum([client.flush() for client in batch]))
            if self._dirty:
                await asyncio.sleep(0)
        if received_us:
            metrics.API_CLIENT_DELAY_S.observe(max(0, now_us() - received_us) / 1e6)

    def begin_anew(self, partition: LivePartition) -> None:
        """Void what is known of a partition, and show its subscribers snapshots."""
        for topic in partition.topics.values():
            topic.state = None
            clients = [sink for sink in topic.sinks if isinstance(sink, Client)]
            topic.sinks.clear()
            if clients:
                metrics.API_RESETS.inc()
                task = asyncio.create_task(self._rejoin(topic, clients))
                self._rejoining.add(task)
                task.add_done_callback(self._rejoining.discard)

    def tell_state(self, *, live: bool) -> None:
        """Tell all clients whether updates flow."""
        frame = encode(Status("live" if live else "stalled"))
        for client in self._clients:
            client.push("status", frame)
        self.flush()

    def _partition(self, channel: Channel) -> LivePartition:
        return self._partitions[self._history.partition_of(channel.symbol_id)]

    def _enter(self, client: Client, channel: Channel) -> tuple[LivePartition, Topic]:
        partition = self._partition(channel)
        topic = partition.topic(channel)
        topic.sinks.discard(client)
        if _add(client, channel):
            partition.enter(topic)
        return partition, topic

    async def _rejoin(self, topic: Topic, clients: list[Client]) -> None:
        backoff = Backoff(first_s=0.05, cap_s=2.0)
        for client in clients:
            while topic.channel in client.channels and client not in topic.sinks:
                try:
                    await self.subscribe(client, topic.channel, recovered=False)
                    backoff.reset()
                except OUTAGE:
                    await asyncio.sleep(backoff.next_s())
        self.flush()


def _add(client: Client, channel: Channel) -> bool:
    """Note that a client has a channel; say whether it is new to it."""
    if channel in client.channels:
        return False
    client.channels.add(channel)
    metrics.API_SUBSCRIPTIONS.labels(channel.kind).inc()
    return True
