"""How a client joins what is live: after a snapshot, or after all that it missed; no hole, no double."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Final

from api.live.changes import Change, changes_of
from api.live.channel_definitions import ChannelSources, LoadedState
from api.live.channels import STREAMED
from api.live.client import Client, Outbox
from api.live.cursor import ALL, BEGIN, Cursor, Order
from api.live.feed import TrimmedError
from api.live.partition import LivePartition
from api.live.protocol import Channel, Frame, Resumed, encode
from api.live.topic import Topic

TIMEOUT_S: Final = 5.0
"""How long the hub may be behind Redis before Redis counts as away."""
CHANGES_AT_ONCE: Final = 32
"""Changes that are read for a client that resumes before they are written to it."""

Missed = tuple[Order, Change]
"""A live update, and one of the changes it brought."""


class Waiting:
    """Stands in for a client that is being told what it missed, and keeps what comes meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._outbox = Outbox(client.limit_bytes)

    def push(self, key: str, frame: Frame) -> None:
        """Keep a frame, in place of one with the same key."""
        if not self._client.closed and not self._outbox.push(key, frame):
            self._client.close_slow()

    def release(self) -> None:
        """Hand everything over."""
        self._outbox.move_to(self._client)


class Joiner:
    """Brings clients and topics up to date."""

    def __init__(self, sources: ChannelSources) -> None:
        """Take what is read."""
        self._sources = sources
        self._streams = sources.streams
        # What is live goes before what was missed.
        self._loads = asyncio.Semaphore(4)
        self._replays = asyncio.Semaphore(4)

    async def warm(self, partition: LivePartition, topic: Topic) -> None:
        """Make sure that a topic's state is known, while it has users; concurrent callers share one load.

        Raises:
            TimeoutError: or another error of an outage of Redis or the database.
        """
        while topic.state is None and topic.users:
            if topic.loading is None:
                topic.loading = asyncio.create_task(self._load(partition, topic))
            await asyncio.shield(topic.loading)

    async def can_resume(self, partition: LivePartition, cursor: Cursor) -> bool:
        """Say whether everything after a cursor is still there."""
        return cursor.partition == partition.number and await self._streams.holds(
            partition.number, cursor.update
        )

    async def resume(
        self, partition: LivePartition, topics: Sequence[Topic], cursor: Cursor, client: Client
    ) -> None:
        """Tell a client all that it missed in some topics of one partition, and then what is live.

        Raises:
            TrimmedError: something is gone; the client is in none of the topics.
            TimeoutError: likewise, or another error of an outage of Redis.
        """
        async with asyncio.timeout(TIMEOUT_S):
            await partition.reached(cursor.update)
        generation, through = partition.generation, partition.position
        waiting = Waiting(client)
        for topic in topics:
            topic.sinks.add(waiting)
            client.send(encode(Resumed(topic.name, str(cursor)), str(cursor)))
        try:
            await self._tell_missed(partition, topics, cursor, through, client)
            if generation != partition.generation:
                raise TrimmedError("updates were lost while resuming")
            for topic in topics:
                topic.sinks.add(client)
            waiting.release()
        finally:
            for topic in topics:
                topic.sinks.discard(waiting)

    async def _tell_missed(
        self,
        partition: LivePartition,
        topics: Sequence[Topic],
        cursor: Cursor,
        through: Order,
        client: Client,
    ) -> None:
        by_channel = {topic.channel: topic for topic in topics}
        missed = self._missed(partition.number, cursor, through, by_channel, strict=True)
        async with aclosing(missed):
            while some := await self._read_some(missed):
                for order, change in some:
                    topic = by_channel[change.channel]
                    place = Cursor(partition.number, order, change.number)
                    client.push(topic.key(change.data), topic.update_frame(place, change.data))
                    await client.drained()

    async def _read_some(self, missed: AsyncIterator[Missed]) -> list[Missed]:
        """Return the next of what was missed; none at the end.

        What limits the replays is held meanwhile, and not while a client is waited for: one that reads slowly
        would keep the others from coming back.
        """
        some: list[Missed] = []
        async with self._replays:
            async for each in missed:
                some.append(each)
                if len(some) == CHANGES_AT_ONCE:
                    break
        return some

    async def _load(self, partition: LivePartition, topic: Topic) -> None:
        backlog: list[tuple[Order, Change]] = []
        topic.backlog = backlog
        generation, began = partition.generation, partition.position
        try:
            async with self._loads, asyncio.timeout(TIMEOUT_S):
                loaded = await STREAMED[topic.channel.kind].load(self._sources, topic.channel)
                cursor = await self._place(partition, loaded)
                missed = self._missed(partition.number, cursor, began, {topic.channel}, strict=False)
                changes = [change async for _, change in missed]
            changes += [
                change for order, change in backlog if order > cursor.update and not is_stored(change, cursor)
            ]
            for change in changes:
                loaded.state.apply(change.data)
            # A topic that had no users meanwhile may have got no changes.
            if generation == partition.generation and topic.users and topic.backlog is backlog:
                topic.state = loaded.state
        finally:
            topic.backlog = topic.loading = None

    async def _place(self, partition: LivePartition, loaded: LoadedState) -> Cursor:
        """Return the place after which changes are to be applied to a state, once this process is there."""
        if loaded.update is not None:
            await partition.reached(loaded.update)
            return Cursor(partition.number, loaded.update)
        assert loaded.committed is not None
        # What is committed was published before: once this process has come so far, the timeline knows it.
        await partition.reached(await self._streams.tip(partition.number))
        stored = Cursor(partition.number, BEGIN, stored=loaded.committed)
        return partition.cursor_after(loaded.committed) or stored

    async def _missed(
        self, partition: int, cursor: Cursor, through: Order, channels: Collection[Channel], *, strict: bool
    ) -> AsyncGenerator[Missed, None]:
        """Yield the changes of some channels after a cursor; see `Feed.read` for `strict`."""
        if cursor.update >= through and cursor.number == ALL:
            return
        decode = any(STREAMED[channel.kind].encoded for channel in channels)
        async for order, update in self._streams.read(partition, cursor.update, through, strict=strict):
            for change in changes_of(update, channels, decode=decode):
                if (order, change.number) > (cursor.update, cursor.number) and not is_stored(change, cursor):
                    yield order, change


def is_stored(change: Change, cursor: Cursor) -> bool:
    """Say whether a change is of trades that came with history."""
    return change.entry is not None and change.entry <= cursor.stored
