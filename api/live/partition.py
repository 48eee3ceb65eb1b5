"""The live state of one partition in this process: its position, topics and pending changes."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from api.live.channel_changes import ChannelChange, changes_of, last_entry
from api.live.channels import STREAMED
from api.live.cursor import STREAM_START, Cursor, Order
from api.live.protocol import Channel
from api.live.timeline import Timeline
from api.live.topic import Topic
from tickplant import metrics
from tickplant.wire import LiveUpdate

_log = logging.getLogger(__name__)

Staged = dict[str, tuple[Topic, Cursor, ChannelChange]]
"""Changes to send to subscribers, in order; a change replaces the one with the same key."""


class ChannelOpener(Protocol):
    """Opens channels that nobody has named, for clients with wildcards."""

    @property
    def decoded(self) -> bool:
        """Whether changes have to be decoded to find channels."""

    def admit(self, channel: Channel) -> bool:
        """Return whether a channel is to be opened."""

    def join(self, partition: "LivePartition", topic: Topic) -> None:
        """Subscribe clients to a new channel."""


class LivePartition:
    """A partition whose live stream is followed."""

    def __init__(self, number: int, opener: ChannelOpener | None = None) -> None:
        self.number = number
        self._opener = opener
        self.position = STREAM_START
        """The last update that was applied."""
        self._handed_over: Order | None = None
        """The last update before those whose changes are staged, until they are handed over."""
        self.timeline = Timeline()
        self.generation = 0
        """Rises whenever updates may have been lost: loads that started before are discarded."""
        self.topics: dict[Channel, Topic] = {}
        self._decoded: set[Channel] = set()
        """Channels with users whose changes have to be decoded."""
        self._waiters: list[tuple[Order, asyncio.Future[None]]] = []
        self._rejected = False
        """Whether a change was invalid, which is logged once."""

    def topic(self, channel: Channel) -> Topic:
        """Return the topic of a channel; a new one if it was not requested before."""
        topic = self.topics.get(channel)
        if topic is None:
            topic = self.topics[channel] = Topic(channel, self.number)
            if self._opener is not None:
                self._opener.join(self, topic)
        return topic

    def enter(self, topic: Topic) -> None:
        """Count one more user of a topic."""
        topic.users += 1
        if STREAMED[topic.channel.kind].encoded:
            self._decoded.add(topic.channel)

    def leave(self, topic: Topic) -> None:
        """Count one user fewer; without users, drop a state that does not stay loaded."""
        topic.users -= 1
        if not topic.users and not STREAMED[topic.channel.kind].stays_loaded:
            topic.state = topic.backlog = None
            self._decoded.discard(topic.channel)

    def restart(self, updates: Iterable[tuple[Order, LiveUpdate]], *, complete: bool) -> None:
        """Continue after the given updates, and drop all earlier ones.

        Args:
            updates: the newest, oldest first; they are noted, not sent to subscribers.
            complete: whether the stream holds no others.
        """
        self.generation += 1
        self._handed_over = None
        self.position = STREAM_START
        self.timeline = Timeline(STREAM_START)
        for order, update in updates:
            if self.position == STREAM_START and not complete:
                self.timeline = Timeline(order)
            self._note(order, update)
        self._wake()  # also where there are none

    def apply(self, order: Order, update: LiveUpdate, staged: Staged) -> None:
        """Apply the next update to states, and stage its changes for subscribers."""
        decode = bool(self._decoded) or (self._opener is not None and self._opener.decoded)
        for change in changes_of(update, self, decode=decode, reject=self._reject):
            self._apply_change(order, change, staged)
        self._note(order, update)

    def __contains__(self, channel: object) -> bool:
        """Return whether the changes of a channel are wanted."""
        if channel in self.topics:
            return True
        return self._opener is not None and isinstance(channel, Channel) and self._opener.admit(channel)

    def cursor(self) -> Cursor:
        """Return the cursor after the last update whose changes have been handed over to subscribers."""
        return Cursor(self.number, self.position if self._handed_over is None else self._handed_over)

    def note_handed_over(self) -> None:
        """Note that all staged changes have been handed over."""
        self._handed_over = None

    def cursor_after(self, entry: Order) -> Cursor | None:
        """Return the cursor after all trades up to an input entry; None if it is unknown."""
        update = self.timeline.locate(entry)
        return None if update is None else Cursor(self.number, update, stored=entry)

    async def reached(self, order: Order) -> None:
        """Wait until the partition is followed, and an update has been applied."""
        if not self._has_reached(order):
            future = asyncio.get_running_loop().create_future()
            self._waiters.append((order, future))
            await future

    def _note(self, order: Order, update: LiveUpdate) -> None:
        entry = last_entry(update)
        if entry is not None:
            self.timeline.append(entry, order)
        self.position = order
        if self._waiters:
            self._wake()

    def _reject(self, channel: Channel) -> None:
        metrics.API_POISON.inc()
        if not self._rejected:
            self._rejected = True
            _log.warning(
                "partition %d: a change of %s is invalid and was not sent; further ones are only counted",
                self.number,
                channel,
                extra={"partition": self.number},
            )

    def _apply_change(self, order: Order, change: ChannelChange, staged: Staged) -> None:
        topic = self.topic(change.channel)
        if topic.state is not None:
            topic.state.apply(change.data)
        elif topic.backlog is not None:
            topic.backlog.append((order, change))
        if topic.sinks:
            key = topic.key(change.data)
            if self._handed_over is None:
                self._handed_over = self.position
            staged.pop(key, None)
            staged[key] = (topic, Cursor(self.number, order, change.number), change)

    def _wake(self) -> None:
        waiters = [(order, future) for order, future in self._waiters if not future.done()]
        for order, future in waiters:
            if self._has_reached(order):
                future.set_result(None)
        self._waiters = [(order, future) for order, future in waiters if not self._has_reached(order)]

    def _has_reached(self, order: Order) -> bool:
        return self.generation > 0 and self.position >= order
