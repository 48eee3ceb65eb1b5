"""Loads channel states and replays missed changes, so that a client gets each change exactly once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Container, Sequence
from contextlib import aclosing
from typing import Final

from api.live.channel_changes import ChannelChange, changes_of
from api.live.channel_definitions import ChannelSources, LoadedState
from api.live.channels import STREAMED
from api.live.client import Client
from api.live.cursor import ALL, STREAM_START, Cursor, Order
from api.live.frames import text_frame
from api.live.partition import LivePartition
from api.live.protocol import Channel, Pattern, Resumed
from api.live.stream_reader import Break, TrimmedError
from api.live.topic import Topic
from api.live.wildcards import Wildcards
from tickplant.errors import PoisonError

TIMEOUT_S: Final = 5.0
"""How long the hub may lag behind Redis before Redis counts as unavailable."""
_COMMIT_S: Final = 0.05
"""How long to wait before looking whether more has been committed."""
CHANGES_AT_ONCE: Final = 32
"""Changes that are read at once for a client that resumes."""

Missed = tuple[Order, ChannelChange]
"""A live update, and one of its changes."""


class _Missed:
    """The channels in which a client may have missed something."""

    def __init__(
        self, partition: LivePartition, named: Collection[Channel], patterns: Collection[Pattern]
    ) -> None:
        self._partition = partition
        self._named = named
        self._patterns = patterns
        kinds = {each.kind for each in named} | {each.kind for each in patterns}
        self.decoded = any(STREAMED[kind].encoded for kind in kinds)

    def matches(self, channel: Channel) -> bool:
        """Return whether one of the wildcards matches a channel."""
        return any(pattern in self._patterns for pattern in channel.patterns)

    def __contains__(self, channel: object) -> bool:
        if channel in self._named:
            return True
        return isinstance(channel, Channel) and self.matches(channel) and channel in self._partition


class CatchUp:
    """Brings topics and clients up to date."""

    def __init__(self, sources: ChannelSources, wildcards: Wildcards) -> None:
        """Load states and changes from sources."""
        self._sources = sources
        self._wildcards = wildcards
        self._streams = sources.streams
        # Loads and replays have separate limits, so that replays do not delay loads.
        self._loads = asyncio.Semaphore(4)
        self._replays = asyncio.Semaphore(4)

    async def load(self, partition: LivePartition, topic: Topic) -> None:
        """Load the state of a topic that has users, if needed; concurrent callers share one load.

        Raises:
            TimeoutError: or another of `OUTAGE`.
        """
        while topic.state is None and topic.users:
            if topic.loading is None:
                topic.loading = asyncio.create_task(self._load(partition, topic))
            await asyncio.shield(topic.loading)

    async def can_resume(self, cursor: Cursor) -> bool:
        """Return whether everything after a cursor is still in the live stream."""
        return await self._streams.holds(cursor.partition, cursor.update)

    async def resume(
        self,
        partition: LivePartition,
        topics: Sequence[Topic],
        patterns: Collection[Pattern],
        cursor: Cursor,
        client: Client,
    ) -> None:
        """Send a client what it missed in topics of one partition, and subscribe it to them.

        Args:
            partition: whose topics.
            topics: those to resume.
            patterns: wildcards to resume, whose channels are among the topics as far as they are known.
            cursor: what the client has.
            client: the subscriber.

        Raises:
            TrimmedError: something was trimmed; the client is subscribed to none of the topics.
            TimeoutError: likewise; or another error of an outage of Redis.
        """
        async with asyncio.timeout(TIMEOUT_S):
            await partition.reached(cursor.update)
            if cursor.stored != STREAM_START:
                # All that history has was published before; what is read of it from here on would come twice.
                await partition.reached(await self._streams.last_update(partition.number))
        generation, through = partition.generation, partition.position
        buffer = self._wildcards.buffer(client, partition.number)
        buffer.clear()  # what came before is sent below
        named = {topic.channel for topic in topics}
        missed = _Missed(partition, named, frozenset(patterns))
        for topic in topics:
            topic.sinks[client] = buffer
        for name in (*patterns, *(channel for channel in named if not missed.matches(channel))):
            client.send(text_frame(Resumed(str(name), str(cursor)), str(cursor)))
        try:
            await self._send_missed(partition, missed, cursor, through, client)
            if generation != partition.generation:
                raise TrimmedError("updates were lost while resuming")
            self._wildcards.release(client, partition)
        finally:
            self._wildcards.drop(client, partition)

    async def _send_missed(
        self,
        partition: LivePartition,
        channels: "_Missed",
        cursor: Cursor,
        through: Order,
        client: Client,
    ) -> None:
        missed = self._missed(
            partition.number, cursor, through, channels, decode=channels.decoded, strict=True
        )
        async with aclosing(missed):
            while batch := await self._read_batch(missed):
                for order, change in batch:
                    topic = partition.topic(change.channel)
                    if change.channel not in client.channels:
                        continue
                    position = Cursor(partition.number, order, change.number)
                    client.push(topic.key(change.data), topic.update_frame(position, change.data))
                    await client.drained()

    async def _read_batch(self, missed: AsyncIterator[tuple[Order, ChannelChange | Break]]) -> list[Missed]:
        """Return the next missed changes; none at the end.

        The semaphore is held only while reading, not while waiting for the client: a slow client must not
        delay others that resume.
        """
        batch: list[Missed] = []
        async with self._replays:
            async for order, change in missed:
                assert not isinstance(change, Break)  # strict reading raises instead
                batch.append((order, change))
                if len(batch) == CHANGES_AT_ONCE:
                    break
        return batch

    async def _load(self, partition: LivePartition, topic: Topic) -> None:
        backlog: list[tuple[Order, ChannelChange]] = []
        topic.backlog = backlog
        generation, start = partition.generation, partition.position
        try:
            async with self._loads, asyncio.timeout(TIMEOUT_S):
                while True:
                    loaded = await STREAMED[topic.channel.kind].load(self._sources, topic.channel)
                    cursor = await self._cursor_of(partition, loaded)
                    changes, broken_at = await self._changes_since(partition, topic, cursor, start)
                    if loaded.committed is None or broken_at <= loaded.committed:
                        break
                    await asyncio.sleep(_COMMIT_S)  # what was published before the break is not stored yet
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

    async def _changes_since(
        self, partition: LivePartition, topic: Topic, cursor: Cursor, through: Order
    ) -> tuple[list[ChannelChange], Order]:
        """Return the changes of a topic after a cursor and the last break.

        Returns:
            The changes, and the input entry that must be stored before they can be applied.
        """
        changes: list[ChannelChange] = []
        broken_at = STREAM_START
        missed = self._missed(
            partition.number,
            cursor,
            through,
            {topic.channel},
            decode=STREAMED[topic.channel.kind].encoded,
            strict=False,
        )
        async for _, change in missed:
            if isinstance(change, Break):
                changes.clear()
                broken_at = change.stored
            else:
                changes.append(change)
        return changes, broken_at

    async def _cursor_of(self, partition: LivePartition, loaded: LoadedState) -> Cursor:
        """Wait until this process has reached a state; return the cursor after which changes apply to it."""
        if loaded.update is not None:
            await partition.reached(loaded.update)
            return Cursor(partition.number, loaded.update)
        assert loaded.committed is not None
        # Committed trades were published before: once this process has read them, the timeline has them.
        await partition.reached(await self._streams.last_update(partition.number))
        stored = Cursor(partition.number, STREAM_START, stored=loaded.committed)
        return partition.cursor_after(loaded.committed) or stored

    async def _missed(
        self,
        partition: int,
        cursor: Cursor,
        through: Order,
        channels: Container[Channel],
        *,
        decode: bool,
        strict: bool,
    ) -> AsyncGenerator[tuple[Order, ChannelChange | Break], None]:
        """Yield the changes of some channels after a cursor; see `LiveStreamReader.read` for `strict`."""
        if cursor.update >= through and cursor.number == ALL:
            return
        async for order, update in self._streams.read(partition, cursor.update, through, strict=strict):
            if isinstance(update, Break):
                yield order, update
                continue
            try:
                for change in changes_of(update, channels, decode=decode):
                    is_later = (order, change.number) > (cursor.update, cursor.number)
                    if is_later and not is_stored(change, cursor):
                        yield order, change
            except PoisonError as error:
                if strict:
                    raise TrimmedError(f"an update can't be decoded: {error}") from error


def is_stored(change: ChannelChange, cursor: Cursor) -> bool:
    """Return whether a change holds trades that the client has from history."""
    return change.entry is not None and change.entry <= cursor.stored
