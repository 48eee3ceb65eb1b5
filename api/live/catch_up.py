"""Loads channel states and replays missed changes, so that a client gets each change exactly once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Final

from api.live.channel_changes import ChannelChange, changes_of
from api.live.channel_definitions import ChannelSources, LoadedState
from api.live.channels import STREAMED
from api.live.client import Client, Outbox
from api.live.cursor import ALL, STREAM_START, Cursor, Order
from api.live.partition import LivePartition
from api.live.protocol import Channel, EncodedMessage, Resumed, text_frame
from api.live.stream_reader import TrimmedError
from api.live.topic import Topic
from tickplant.errors import PoisonError

TIMEOUT_S: Final = 5.0
"""How long the hub may lag behind Redis before Redis counts as unavailable."""
CHANGES_AT_ONCE: Final = 32
"""Changes that are read at once for a client that resumes."""

Missed = tuple[Order, ChannelChange]
"""A live update, and one of its changes."""


class CatchUpBuffer:
    """Buffers new changes for a client while it gets those that it missed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._outbox = Outbox(client.limit_bytes)

    def push(self, key: str, frame: EncodedMessage) -> None:
        """Buffer a frame, in place of the one with the same key."""
        if not self._client.closed and not self._outbox.put(key, frame):
            self._client.close_slow_client()

    def release(self) -> None:
        """Move all frames to the client."""
        self._outbox.move_to(self._client)


class CatchUp:
    """Brings topics and clients up to date."""

    def __init__(self, sources: ChannelSources) -> None:
        """Load states and changes from sources."""
        self._sources = sources
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

    async def can_resume(self, partition: LivePartition, cursor: Cursor) -> bool:
        """Return whether everything after a cursor is still in the live stream."""
        return cursor.partition == partition.number and await self._streams.holds(
            partition.number, cursor.update
        )

    async def resume(
        self, partition: LivePartition, topics: Sequence[Topic], cursor: Cursor, client: Client
    ) -> None:
        """Send a client what it missed in topics of one partition, and subscribe it to them.

        Raises:
            TrimmedError: something was trimmed; the client is subscribed to none of the topics.
            TimeoutError: likewise; or another error of an outage of Redis.
        """
        async with asyncio.timeout(TIMEOUT_S):
            await partition.reached(cursor.update)
        generation, through = partition.generation, partition.position
        buffer = CatchUpBuffer(client)
        for topic in topics:
            topic.sinks.add(buffer)
            client.send(text_frame(Resumed(topic.name, str(cursor)), str(cursor)))
        try:
            await self._send_missed(partition, topics, cursor, through, client)
            if generation != partition.generation:
                raise TrimmedError("updates were lost while resuming")
            for topic in topics:
                topic.sinks.add(client)
            buffer.release()
        finally:
            for topic in topics:
                topic.sinks.discard(buffer)

    async def _send_missed(
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
            while batch := await self._read_batch(missed):
                for order, change in batch:
                    topic = by_channel[change.channel]
                    position = Cursor(partition.number, order, change.number)
                    client.push(topic.key(change.data), topic.update_frame(position, change.data))
                    await client.drained()

    async def _read_batch(self, missed: AsyncIterator[Missed]) -> list[Missed]:
        """Return the next missed changes; none at the end.

        The semaphore is held only while reading, not while waiting for the client: a slow client must not
        delay others that resume.
        """
        batch: list[Missed] = []
        async with self._replays:
            async for change in missed:
                batch.append(change)
                if len(batch) == CHANGES_AT_ONCE:
                    break
        return batch

    async def _load(self, partition: LivePartition, topic: Topic) -> None:
        backlog: list[tuple[Order, ChannelChange]] = []
        topic.backlog = backlog
        generation, start = partition.generation, partition.position
        try:
            async with self._loads, asyncio.timeout(TIMEOUT_S):
                loaded = await STREAMED[topic.channel.kind].load(self._sources, topic.channel)
                cursor = await self._cursor_of(partition, loaded)
                missed = self._missed(partition.number, cursor, start, {topic.channel}, strict=False)
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
        self, partition: int, cursor: Cursor, through: Order, channels: Collection[Channel], *, strict: bool
    ) -> AsyncGenerator[Missed, None]:
        """Yield the changes of some channels after a cursor; see `LiveStreamReader.read` for `strict`."""
        if cursor.update >= through and cursor.number == ALL:
            return
        decode = any(STREAMED[channel.kind].encoded for channel in channels)
        async for order, update in self._streams.read(partition, cursor.update, through, strict=strict):
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
