"""One partition's live state in this process: how far it is, its topics, and what changes for whom."""

import asyncio
from collections.abc import Iterable

from api.live.changes import Change, changes_of, last_entry
from api.live.channels import STREAMED
from api.live.cursor import BEGIN, Cursor, Order
from api.live.protocol import Channel
from api.live.timeline import Timeline
from api.live.topic import Topic
from tickplant.wire import LiveUpdate

Staged = dict[str, tuple[Topic, Cursor, Change]]
"""What subscribers are to be told, in order; a later change takes the place of one with the same key."""


class LivePartition:
    """A partition."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.position = BEGIN
        """The last update taken."""
        self.timeline = Timeline()
        self.generation = 0
        """Rises whenever updates may have been lost: what was begun before is void."""
        self.topics: dict[Channel, Topic] = {}
        self._decoded: set[Channel] = set()
        """Channels with users whose changes have to be decoded."""
        self._waiting: list[tuple[Order, asyncio.Future[None]]] = []

    def topic(self, channel: Channel) -> Topic:
        """Return a channel's topic, a new one where nobody asked for it before."""
        topic = self.topics.get(channel)
        if topic is None:
            topic = self.topics[channel] = Topic(channel, self.number)
        return topic

    def enter(self, topic: Topic) -> None:
        """Count one more user of a topic."""
        topic.users += 1
        if STREAMED[topic.channel.kind].encoded:
            self._decoded.add(topic.channel)

    def leave(self, topic: Topic) -> None:
        """Count one user less; without users, a state that is not kept is dropped."""
        topic.users -= 1
        if not topic.users and not STREAMED[topic.channel.kind].kept_unused:
            topic.state = topic.backlog = None
            self._decoded.discard(topic.channel)

    def restart(self, updates: Iterable[tuple[Order, LiveUpdate]], *, all_there_is: bool) -> None:
        """Go on after the given updates, whatever was before.

        Args:
            updates: the newest, oldest first; only noted, not told to anybody.
            all_there_is: whether the stream holds no others.
        """
        self.generation += 1
        self.position = BEGIN
        self.timeline = Timeline(BEGIN)
        for order, update in updates:
            if self.position == BEGIN and not all_there_is:
                self.timeline = Timeline(order)
            self._note(order, update)

    def take(self, order: Order, update: LiveUpdate, staged: Staged) -> None:
        """Take the next update."""
        for change in changes_of(update, self.topics, decode=bool(self._decoded)):
            self._take_change(order, change, staged)
        self._note(order, update)

    def cursor(self) -> Cursor:
        """Return the cursor of one who has everything up to now."""
        return Cursor(self.number, self.position)

    def cursor_after(self, entry: Order) -> Cursor | None:
        """Return the cursor of one who has all trades up to an input entry; None if it can't be told."""
        update = self.timeline.locate(entry)
        return None if update is None else Cursor(self.number, update, stored=entry)

    async def reached(self, order: Order) -> None:
        """Wait until an update has been taken."""
        if self.position < order:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((order, future))
            await future

    def _note(self, order: Order, update: LiveUpdate) -> None:
        entry = last_entry(update)
        if entry is not None:
            self.timeline.append(entry, order)
        self.position = order
        if self._waiting:
            self._wake()

    def _take_change(self, order: Order, change: Change, staged: Staged) -> None:
        topic = self.topics[change.channel]
        if topic.state is not None:
            topic.state.apply(change.data)
        elif topic.backlog is not None:
            topic.backlog.append((order, change))
        if topic.sinks:
            key = topic.key(change.data)
            staged.pop(key, None)
            staged[key] = (topic, Cursor(self.number, order, change.number), change)

    def _wake(self) -> None:
        waiting = [(order, future) for order, future in self._waiting if not future.done()]
        for order, future in waiting:
            if order <= self.position:
                future.set_result(None)
        self._waiting = [(order, future) for order, future in waiting if order > self.position]
