"""Follows the live streams of partitions on one server, across outages of it."""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from redis.exceptions import RedisError

from api.live.cursor import STREAM_START, Order
from api.live.partition import LivePartition, Staged
from api.live.stream_reader import (
    MAX_TAIL_UPDATES,
    LiveStreamReader,
    Payload,
    UnreadableStreamError,
    decode_update,
)
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.errors import PoisonError
from tickplant.outage import OutageLog
from tickplant.redis_errors import is_transient
from tickplant.streams import live_stream
from tickplant.wire import LiveUpdate

_log = logging.getLogger(__name__)

_CHECK_S: Final = 5.0
"""How often keys are checked for another program's."""
_CHECK_BLOCKED_S: Final = 1.0
"""The same while there are some."""
_READ_S: Final = 1.0
"""The longest wait for updates."""
_SEED_UPDATES: Final = 128
"""Updates read when following starts, to map stored entries to live updates."""


class UpdateListener(Protocol):
    """Handles what the follower reads."""

    async def publish(self, staged: Staged) -> None:
        """Send changes to subscribers; empties `staged`."""

    def reset(self, partition: LivePartition) -> None:
        """Discard the state of a partition in which updates were lost."""

    def publish_status(self, partitions: Collection[LivePartition], *, live: bool) -> None:
        """Notify clients whether updates of partitions arrive."""

    def publish_partition_status(self, partition: LivePartition, *, live: bool) -> None:
        """Notify clients whether updates of a partition arrive."""


class Follower:
    """Reads every update of some partitions in order, and passes changes to a listener."""

    def __init__(
        self, streams: LiveStreamReader, partitions: Sequence[LivePartition], listener: UpdateListener
    ) -> None:
        """Follow streams.

        Args:
            streams: where updates are read.
            partitions: kept up to date.
            listener: handles what changed.
        """
        self._streams = streams
        self._partitions = {partition.number: partition for partition in partitions}
        self._listener = listener
        self._staged: Staged = {}
        self._backoff = Backoff(first_s=0.05, cap_s=2.0)
        self._poisoned: set[int] = set()
        """Partitions with an update that couldn't be decoded, which is logged once for each."""
        self._unreadable: frozenset[int] = frozenset()
        """Partitions whose streams can't be read, because their keys hold another type."""
        self._blocked: frozenset[int] = frozenset()
        """Partitions that get no updates, because one of their keys holds another type."""
        self._checked_s = 0.0
        names = [live_stream(number) for number in self._partitions]
        self._what = names[0] if len(names) == 1 else "the live streams"
        self._outage = OutageLog(_log, f"{self._what}: Redis is unavailable, retrying")
        self.live = False
        """Whether updates arrive."""

    async def run(self) -> None:
        """Follow until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        # `cancelling` must be checked: `asyncio.wait_for` of Python 3.11, with which redis-py sends,
        # swallows a cancellation that arrives just as it completes.
        while not task.cancelling():
            try:
                await self._connect()
                self._report_live()
                while not task.cancelling():
                    await self._step()
            except (RedisError, OSError) as error:
                if not is_transient(error):
                    raise
                self._report_stalled(error)
            await asyncio.sleep(self._backoff.next_s())

    async def _connect(self) -> None:
        """Start to follow, or resume where the streams still hold the last position."""
        await self._check_keys()
        for partition in self._partitions.values():
            if partition.number in self._unreadable:
                continue
            followed = partition.generation > 0
            if not (followed and await self._streams.holds(partition.number, partition.position)):
                await self._restart(partition)

    async def _restart(self, partition: LivePartition) -> None:
        newest = await self._streams.newest(partition.number, _SEED_UPDATES)
        partition.restart(newest, complete=len(newest) < _SEED_UPDATES)
        self._listener.reset(partition)

    async def _check_keys(self) -> None:
        """Find the partitions that get no updates, and notify clients of a change of them."""
        former, self._blocked = self._blocked, frozenset(await self._streams.blocked(self._partitions))
        for number in sorted(self._blocked ^ former):
            live = number not in self._blocked
            self._listener.publish_partition_status(self._partitions[number], live=live)
        await self._find_unreadable()
        self._checked_s = time.monotonic()

    async def _find_unreadable(self) -> None:
        """Find the partitions whose streams can't be read; restart those whose streams can be read again."""
        former, self._unreadable = (
            self._unreadable,
            frozenset(await self._streams.unreadable(self._partitions)),
        )
        for number in sorted(self._unreadable - former):
            _log.error(
                "partition %d is not live: its key %s holds another type than a stream; delete the key",
                *(number, live_stream(number)),
                extra={"partition": number},
            )
        for number in sorted(former - self._unreadable):
            _log.info("partition %d is live again", number, extra={"partition": number})
            await self._restart(self._partitions[number])

    async def _tail(self) -> list[tuple[int, list[Payload]]]:
        """Wait for updates of the partitions whose streams can be read."""
        pause_s = _CHECK_BLOCKED_S if self._blocked else _CHECK_S
        if time.monotonic() - self._checked_s >= pause_s:
            await self._check_keys()
        readable = [row for row in self._partitions.values() if row.number not in self._unreadable]
        try:
            return await self._streams.tail(
                {partition.number: partition.position for partition in readable},
                block_s=_READ_S,
            )
        except UnreadableStreamError:
            await self._check_keys()
            return []

    async def _step(self) -> None:
        reply = await self._tail()
        trimmed = [number for number, payloads in reply if await self._maybe_trimmed(number, payloads)]
        for number in trimmed:
            await self._restart(self._partitions[number])
        # Nothing is awaited from here until the changes are handed over: a client that subscribed meanwhile
        # would get those that its snapshot has.
        for number, payloads in reply:
            if number not in trimmed:
                self._apply_all(self._partitions[number], payloads)
            metrics.API_UPDATES.inc(len(payloads))
        await self._listener.publish(self._staged)

    async def _maybe_trimmed(self, number: int, payloads: Sequence[Payload]) -> bool:
        """Return whether updates between the last one and those read may have been trimmed."""
        position = self._partitions[number].position
        if len(payloads) < MAX_TAIL_UPDATES or position == STREAM_START:
            return False
        return not await self._streams.holds(number, position)

    def _apply_all(self, partition: LivePartition, payloads: list[Payload]) -> None:
        for order, payload, broken_at in payloads:
            if broken_at is None:
                if self._apply(partition, order, payload):
                    continue
                metrics.API_POISON.inc()
            partition.restart([(order, LiveUpdate())], complete=False)
            self._listener.reset(partition)

    def _apply(self, partition: LivePartition, order: Order, payload: bytes) -> bool:
        try:
            partition.apply(order, decode_update(payload), self._staged)
        except PoisonError as error:
            if partition.number not in self._poisoned:
                self._poisoned.add(partition.number)
                _log.warning(
                    "partition %d: an update can't be decoded (further ones are only counted): %s",
                    partition.number,
                    error,
                    extra={"partition": partition.number},
                )
            return False
        return True

    def _report_live(self) -> None:
        self._backoff.reset()
        if not self.live:
            self.live = True
            self._outage.note_success()
            _log.info("following %s", self._what)
            self._listener.publish_status(self._partitions.values(), live=True)

    def _report_stalled(self, error: Exception) -> None:
        if self._outage.note_failure(error):
            self.live = False
            self._listener.publish_status(self._partitions.values(), live=False)
