"""The hub, one per process: follows the live streams and sends changes to all clients."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from api.http.problems import OUTAGE
from api.live.catch_up import CatchUp
from api.live.channel_definitions import ChannelSources
from api.live.channels import KINDS, MERGED_CANDLES, POLLED
from api.live.client import Client, FrameWriter, MessageSink
from api.live.clients import ConnectedClients
from api.live.cursor import Cursor, Order
from api.live.follower import Follower
from api.live.frames import text_frame
from api.live.partition import LivePartition, Staged
from api.live.polling import ChannelPoller
from api.live.protocol import Channel, Pattern, ProtocolError, Resumed, StreamStatus
from api.live.sinks import CatchUpBuffer
from api.live.stream_reader import LiveStreamReader, TrimmedError
from api.live.topic import Topic
from api.live.wildcards import Wildcards
from api.queries.connections import Connections
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.intervals import MERGED
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import RedisClient

MOST_SUBSCRIPTIONS: Final = 2_000_000
"""The most channels of all clients together, beyond which no wildcard is accepted; some 200 bytes each."""


class Hub:
    """Follows all partitions, and subscribes clients to channels."""

    def __init__(
        self,
        *,
        redis: RedisClient,
        partitions: int,
        history: StoredHistory,
        prices: Prices,
        connections: Connections,
        queue_bytes: int,
        client_channels: int,
    ) -> None:
        """Create the hub; the caller closes the clients and pools that it uses.

        Args:
            redis: holds the live streams.
            partitions: the number of partitions.
            history: for snapshots.
            prices: likewise.
            connections: the states of venue connections.
            queue_bytes: the most that is queued for one slow client.
            client_channels: the most channels of a client, those of its wildcards included.
        """
        self.client_channels = client_channels
        """The most channels of a client, those of its wildcards included."""
        self.wildcards = Wildcards(client_channels=client_channels)
        self._streams = LiveStreamReader(redis, partitions)
        self._history = history
        sources = ChannelSources(self._streams, history, prices, connections)
        self._catch_up = CatchUp(sources, self.wildcards)
        self._partitions = [LivePartition(number, self.wildcards) for number in range(partitions)]
        # Where they are on several servers, each is followed by itself: one that is away stalls no other.
        groups = [[each] for each in self._partitions] if redis.sharded else [self._partitions]
        self._followers = [Follower(self._streams, group, self) for group in groups]
        self.clients = ConnectedClients(queue_bytes=queue_bytes)
        self._pollers = {
            kind: ChannelPoller(definition, sources, self.clients.flush)
            for kind, definition in POLLED.items()
        }
        self._merged_candles = ChannelPoller(MERGED_CANDLES, sources, self.clients.flush)
        self._resubscribing: set[asyncio.Task[None]] = set()
        # At zero from the start, so that dashboards distinguish zero from unknown.
        for kind in KINDS:
            metrics.API_SUBSCRIPTIONS.labels(kind)
        for reason in ("slow", "pushy", "failed", "idle", "unanswering", "malformed", "unauthorized"):
            metrics.API_DROPS.labels(reason)
        metrics.API_TURNED_AWAY.labels("busy")

    @property
    def live(self) -> bool:
        """Whether updates arrive, of some partitions at least."""
        return any(follower.live for follower in self._followers)

    def is_live(self, partition: int) -> bool:
        """Return whether updates of a partition arrive."""
        return self._followers[partition if len(self._followers) > 1 else 0].live

    @property
    def partitions(self) -> int:
        """How many partitions are followed."""
        return len(self._partitions)

    async def run(self) -> None:
        """Follow the live streams until cancelled, across outages of Redis."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for follower in self._followers:
                    tasks.create_task(follower.run())
                for poller in (*self._pollers.values(), self._merged_candles):
                    tasks.create_task(poller.run())
        finally:
            for task in self._resubscribing:
                task.cancel()
            await asyncio.gather(*self._resubscribing, return_exceptions=True)

    def connect(self, writer: FrameWriter) -> Client:
        """Register a client."""
        client = self.clients.add(writer)
        if not self.live:
            client.send(text_frame(StreamStatus("stalled")))
        return client

    def disconnect(self, client: Client) -> None:
        """Unregister a client."""
        client.close()
        self.wildcards.remove_all(client)
        self.unsubscribe(client, list(client.channels))
        self.clients.remove(client)

    def cursors(self) -> list[Cursor]:
        """Return the cursors after the last update of each partition."""
        return [partition.cursor() for partition in self._partitions]

    async def can_resume(self, cursor: Cursor) -> bool:
        """Return whether everything after a cursor is still in its live stream.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        return cursor.partition < len(self._partitions) and await self._catch_up.can_resume(cursor)

    def partition_of(self, channel: Channel) -> int:
        """Return the partition of a channel that is of a symbol."""
        return self._history.partition_of(channel.symbol_id)

    def channels_by_partition(self, client: Client) -> dict[int, set[str]]:
        """Return the names of a client's channels that are streamed."""
        names: defaultdict[int, set[str]] = defaultdict(set)
        for channel in client.channels:
            if self._poller(channel) is None:
                names[self.partition_of(channel)].add(str(channel))
        return names

    def enter_wildcard(
        self,
        client: Client,
        pattern: Pattern,
        symbols: Iterable[SymbolId],
        sink: MessageSink,
        resuming: Collection[int] = (),
    ) -> list[Channel]:
        """Subscribe a client to the channels of a wildcard that are new from now on.

        Args:
            client: the subscriber.
            pattern: the wildcard.
            symbols: all that are known.
            sink: where changes go.
            resuming: partitions in which the client is to get first what it missed.

        Returns:
            The other channels, which are to be prepared and started.

        Raises:
            ProtocolError: they are too many.
        """
        channels = {
            Channel(pattern.kind, *symbol, pattern.interval)
            for symbol in symbols
            if pattern.venue in ("", symbol.venue)
        }
        for partition in self._partitions:
            channels.update(channel for channel in partition.topics if pattern in channel.patterns)
        if len(channels | client.channels.keys()) > self.client_channels:
            raise self.wildcards.too_many(pattern)
        if len(channels) + sum(len(each.channels) for each in self.clients) > MOST_SUBSCRIPTIONS:
            raise ProtocolError(
                "too_many_channels",
                f"all clients together may have {MOST_SUBSCRIPTIONS} channels; name those that you need",
                channel=str(pattern),
            )
        for channel in channels:
            self._enter(client, channel, sink)
        for number in resuming:
            if number < len(self._partitions):
                self.wildcards.buffer(client, number)
        self.wildcards.add(client, pattern, sink, tuple(each.generation for each in self._partitions))
        return sorted(channels)

    def leave_wildcard(self, client: Client, pattern: Pattern) -> None:
        """Unsubscribe a client from a wildcard and all its channels."""
        self.wildcards.remove(client, pattern)
        self.unsubscribe(client, [channel for channel in client.channels if pattern in channel.patterns])
        for partition in self._partitions:
            self.wildcards.release(client, partition)

    async def prepare(self, client: Client, channel: Channel, sink: MessageSink, *, load: bool) -> None:
        """Prepare a subscription, which replaces the one that the client may have.

        Args:
            client: the subscriber.
            channel: what to subscribe to.
            sink: where changes go.
            load: whether a snapshot will be sent.

        Raises:
            TimeoutError: or another of `OUTAGE`; the client is not subscribed.
        """
        poller = self._poller(channel)
        if poller is not None:
            await poller.poll(channel)
            _add(client, channel, sink)
            return
        partition, topic = self._enter(client, channel, sink)
        if load:
            try:
                await self._catch_up.load(partition, topic)
            except OUTAGE:
                self.unsubscribe(client, [channel])
                raise

    async def subscribe(
        self, client: Client, channel: Channel, *, recovered: bool | None, snapshot: bool = True
    ) -> None:
        """Send a client the snapshot of a prepared channel, and subscribe it to changes.

        Args:
            client: the subscriber.
            channel: prepared before.
            recovered: False if the client missed something; None for a new subscription.
            snapshot: whether to send one; if not, the client is still notified that it missed something.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        poller = self._poller(channel)
        if poller is not None:
            poller.enter(client, channel, recovered=recovered, snapshot=snapshot)
            return
        partition = self._partition(channel)
        topic = partition.topic(channel)
        if snapshot:
            await self._catch_up.load(partition, topic)
        if channel not in client.channels:
            return
        cursor = partition.cursor()
        if snapshot:
            client.send(topic.snapshot_frame(cursor, recovered=recovered))
        elif recovered is False:
            client.send(text_frame(Resumed(topic.name, str(cursor), recovered=False), str(cursor)))
        topic.sinks[client] = client.channels[channel]

    async def resume(
        self, client: Client, channels: Iterable[Channel], patterns: Collection[Pattern], cursor: Cursor
    ) -> None:
        """Send a client what it missed in prepared channels, or snapshots, and subscribe it to changes.

        Args:
            client: the subscriber.
            channels: all of the cursor's partition.
            patterns: wildcards whose channels are among them.
            cursor: what the client has.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        partition = self._partitions[cursor.partition]
        topics = [partition.topic(channel) for channel in channels]
        try:
            await self._catch_up.resume(partition, topics, patterns, cursor, client)
        except TrimmedError:
            self.report_loss(client, patterns, cursor.partition)
            for topic in list(partition.topics.values()):  # with those that have joined meanwhile
                resumed = topic in topics or any(each in patterns for each in topic.channel.patterns)
                if resumed and topic.channel in client.channels and client not in topic.sinks:
                    await self.subscribe(client, topic.channel, recovered=False)

    def report_loss(self, client: Client, patterns: Iterable[Pattern], partition: int) -> None:
        """Notify a client that it missed changes of wildcards in a partition."""
        if partition >= len(self._partitions):
            return
        self.wildcards.release(client, self._partitions[partition])
        cursor = str(self._partitions[partition].cursor())
        for pattern in patterns:
            client.send(text_frame(Resumed(str(pattern), cursor, recovered=False), cursor))

    def unsubscribe(self, client: Client, channels: Iterable[Channel]) -> None:
        """Unsubscribe a client from channels."""
        for channel in channels:
            if channel not in client.channels:
                continue
            del client.channels[channel]
            metrics.API_SUBSCRIPTIONS.labels(channel.kind).dec()
            poller = self._poller(channel)
            if poller is not None:
                poller.leave(client, channel)
                continue
            partition = self._partition(channel)
            topic = partition.topic(channel)
            topic.sinks.pop(client, None)
            partition.leave(topic)

    def cursor_after(self, symbol: SymbolId, entry: Order) -> Cursor | None:
        """Return the cursor after a symbol's history up to an input entry; None if it is unknown."""
        partition = self._partitions[self._history.partition_of(symbol)]
        return partition.cursor_after(entry) if self.is_live(partition.number) else None

    async def publish(self, staged: Staged) -> None:
        """Encode each change once and send it to all subscribers; empties `staged`."""
        received_us = 0
        for key, (topic, cursor, change) in staged.items():
            if type(change.data) is Trade:
                received_us = change.data.ingest_time_us
            frame = topic.update_frame(cursor, change.data)
            for sink in topic.sinks.values():
                sink.push(key, frame)
            self._partitions[cursor.partition].note_handed_over()
        staged.clear()
        await self.clients.flush_in_batches()
        if received_us:
            metrics.API_CLIENT_DELAY_S.observe(max(0, now_us() - received_us) / 1e6)

    def reset(self, partition: LivePartition) -> None:
        """Discard the states of a partition, and send its subscribers snapshots."""
        self.wildcards.report_loss(partition)
        for topic in partition.topics.values():
            topic.state = None
            clients = [
                client
                for client, sink in topic.sinks.items()
                if not isinstance(sink, CatchUpBuffer)  # these are told when they have caught up
            ]
            topic.sinks.clear()
            if clients:
                metrics.API_RESETS.inc()
                task = asyncio.create_task(self._resubscribe(topic, clients))
                self._resubscribing.add(task)
                task.add_done_callback(self._resubscribing.discard)

    def publish_status(self, partitions: Collection[LivePartition], *, live: bool) -> None:
        """Notify clients whether updates of partitions on one server arrive.

        All clients are notified if it is the only server, the last one to stall, or the first one to be live.
        """
        others = [row for row in self._partitions if not self.is_live(row.number)] if live else []
        live_followers = sum(follower.live for follower in self._followers)
        if len(self._followers) == 1 or live_followers == live:
            self.clients.broadcast("status", text_frame(StreamStatus("live" if live else "stalled")))
            partitions, live = others, False
        for partition in partitions:
            self.publish_partition_status(partition, live=live)

    def publish_partition_status(self, partition: LivePartition, *, live: bool) -> None:
        """Notify the subscribers of a partition whether updates of its channels arrive."""
        names: defaultdict[Client, list[str]] = defaultdict(list)
        for topic in partition.topics.values():
            for client in topic.sinks:
                names[client].append(topic.name)
        for client, channels in names.items():
            client.send(text_frame(StreamStatus("live" if live else "stalled", sorted(channels))))
        self.clients.flush()

    def _poller(self, channel: Channel) -> ChannelPoller | None:
        """Return what polls a channel; None for one that is streamed."""
        return self._merged_candles if channel.interval in MERGED else self._pollers.get(channel.kind)

    def _partition(self, channel: Channel) -> LivePartition:
        return self._partitions[self._history.partition_of(channel.symbol_id)]

    def _enter(self, client: Client, channel: Channel, sink: MessageSink) -> tuple[LivePartition, Topic]:
        partition = self._partition(channel)
        topic = partition.topic(channel)
        topic.sinks.pop(client, None)
        if _add(client, channel, sink):
            partition.enter(topic)
        return partition, topic

    async def _resubscribe(self, topic: Topic, clients: list[Client]) -> None:
        backoff = Backoff(first_s=0.05, cap_s=2.0)
        for client in clients:
            while topic.channel in client.channels and client not in topic.sinks:
                try:
                    await self.subscribe(client, topic.channel, recovered=False)
                    backoff.reset()
                except OUTAGE:
                    await asyncio.sleep(backoff.next_s())
        self.clients.flush()


def _add(client: Client, channel: Channel, sink: MessageSink) -> bool:
    """Add a channel to a client's; return whether it is new."""
    is_new = channel not in client.channels
    client.channels[channel] = sink
    if is_new:
        metrics.API_SUBSCRIPTIONS.labels(channel.kind).inc()
    return is_new
