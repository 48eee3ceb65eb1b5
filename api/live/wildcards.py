"""Wildcards: subscriptions to the channels of all symbols, and of those that appear later."""

import logging
from collections import defaultdict
from typing import Final, NamedTuple

from api.live.channels import STREAMED
from api.live.client import Client, MessageSink
from api.live.frames import text_frame
from api.live.partition import LivePartition
from api.live.protocol import Channel, Joined, Pattern, ProtocolError, Resumed
from api.live.sinks import CatchUpBuffer
from api.live.topic import Topic
from tickplant import metrics
from tickplant.intervals import INTERVALS
from tickplant.trade_rules import is_name

_log = logging.getLogger(__name__)

MOST_JOINED: Final = 100_000
"""The most channels that updates alone may open in this process: a name in Redis may be anything."""


class _Subscriber(NamedTuple):
    sink: MessageSink
    generations: tuple[int, ...]
    """Of each partition, when the client subscribed: if one has risen since, updates were lost."""


class Wildcards:
    """The wildcards of all clients."""

    def __init__(self, *, client_channels: int) -> None:
        """Start without any.

        Args:
            client_channels: the most channels of one client.
        """
        self._client_channels = client_channels
        self._subscribers: defaultdict[Pattern, dict[Client, _Subscriber]] = defaultdict(dict)
        self._buffers: dict[tuple[Client, int], CatchUpBuffer] = {}
        self._joined = 0
        self._logged = False

    @property
    def decoded(self) -> bool:
        """Whether changes have to be decoded to find channels."""
        return any(STREAMED[pattern.kind].encoded for pattern in self._subscribers)

    def add(self, client: Client, pattern: Pattern, sink: MessageSink, generations: tuple[int, ...]) -> None:
        """Subscribe a client to all channels that a pattern matches and that are new from now on."""
        self._subscribers[pattern][client] = _Subscriber(sink, generations)
        client.patterns.add(pattern)

    def remove(self, client: Client, pattern: Pattern) -> None:
        """Subscribe a client to no further channels."""
        client.patterns.discard(pattern)
        subscribers = self._subscribers.get(pattern, {})
        subscribers.pop(client, None)
        if not subscribers:
            self._subscribers.pop(pattern, None)

    def admit(self, channel: Channel) -> bool:
        """Return whether a channel that nobody has named is to be opened."""
        if not self._subscribers or not any(pattern in self._subscribers for pattern in channel.patterns):
            return False
        definition = STREAMED[channel.kind]
        if (
            is_name(channel.venue)
            and is_name(channel.symbol)
            and (channel.interval in INTERVALS) == definition.has_interval
            and self._joined < MOST_JOINED
        ):
            return True
        metrics.API_POISON.inc()
        if not self._logged:
            self._logged = True
            _log.warning(
                "no channel is opened for %.200r: its name is invalid, or there are %d already; further ones"
                " are only counted",
                str(channel),
                self._joined,
            )
        return False

    def join(self, partition: LivePartition, topic: Topic) -> None:
        """Subscribe the clients of matching wildcards to a new channel, before its first change."""
        matching = [each for each in topic.channel.patterns if each in self._subscribers]
        self._joined += bool(matching)
        for pattern in matching:
            for client, subscriber in self._subscribers[pattern].items():
                if topic.channel in client.channels:
                    continue
                if len(client.channels) >= self._client_channels:
                    client.push(f"!{pattern}", text_frame(self.too_many(pattern).message(None)))
                    continue
                lost = subscriber.generations[partition.number] != partition.generation
                cursor = str(partition.cursor())
                message = Joined(str(topic.channel), str(pattern), cursor, not lost)
                client.channels[topic.channel] = subscriber.sink
                metrics.API_SUBSCRIPTIONS.labels(topic.channel.kind).inc()
                partition.enter(topic)
                buffer = self._buffers.get((client, partition.number))
                topic.sinks[client] = subscriber.sink if buffer is None else buffer
                topic.sinks[client].push(f"+{topic.name}", text_frame(message, cursor))

    def too_many(self, pattern: Pattern) -> ProtocolError:
        """Return the error of a client that has as many channels as it may have."""
        return ProtocolError(
            "too_many_channels",
            f"a client may have {self._client_channels} channels, those of wildcards included;"
            " further ones of this wildcard are left out",
            channel=str(pattern),
        )

    def report_loss(self, partition: LivePartition) -> None:
        """Notify all clients with wildcards that updates of a partition were lost."""
        cursor = str(partition.cursor())
        for pattern, subscribers in self._subscribers.items():
            frame = text_frame(Resumed(str(pattern), cursor, recovered=False), cursor)
            for client, subscriber in subscribers.items():
                if (client, partition.number) not in self._buffers:  # it is told when it has caught up
                    client.send(frame)
                generations = list(subscriber.generations)
                generations[partition.number] = partition.generation
                subscribers[client] = _Subscriber(subscriber.sink, tuple(generations))

    def buffer(self, client: Client, partition: int) -> CatchUpBuffer:
        """Return where changes of new channels go from now on, until the client has caught up."""
        return self._buffers.setdefault((client, partition), CatchUpBuffer(client))

    def release(self, client: Client, partition: LivePartition) -> None:
        """Send a client what was buffered, and then changes directly."""
        buffer = self._buffers.pop((client, partition.number), None)
        if buffer is None:
            return
        for topic in partition.topics.values():
            if topic.sinks.get(client) is buffer:
                topic.sinks[client] = client.channels[topic.channel]
        buffer.release()

    def drop(self, client: Client, partition: LivePartition) -> None:
        """Drop what was buffered; the channels get no changes for now."""
        buffer = self._buffers.pop((client, partition.number), None)
        for topic in partition.topics.values():
            if buffer is not None and topic.sinks.get(client) is buffer:
                del topic.sinks[client]

    def remove_all(self, client: Client) -> None:
        """Remove a client."""
        for key in [key for key in self._buffers if key[0] is client]:
            del self._buffers[key]
        for pattern in list(client.patterns):
            self.remove(client, pattern)
