"""Follows the live streams: one loop that an outage of Redis only interrupts."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from redis.exceptions import RedisError

from api.live.cursor import BEGIN, Order
from api.live.feed import TAIL_UPDATES, Feed, Payload
from api.live.partition import LivePartition, Staged
from tickplant import metrics, wire
from tickplant.backoff import Backoff
from tickplant.errors import PoisonError
from tickplant.redis_client import is_passing
from tickplant.wire import LiveUpdate

_log = logging.getLogger(__name__)

_SEED_UPDATES: Final = 128
"""Updates looked at when following begins, to know what was stored from what is live."""


class Audience(Protocol):
    """Who is told."""

    async def tell(self, staged: Staged) -> None:
        """Tell what changed; empties it."""

    def begin_anew(self, partition: LivePartition) -> None:
        """Void what is known of a partition, in which updates were lost."""

    def tell_state(self, *, live: bool) -> None:
        """Tell whether updates flow."""


class Follower:
    """Takes every update of every partition, in order, and says what changed."""

    def __init__(self, feed: Feed, partitions: Sequence[LivePartition], audience: Audience) -> None:
        """Take what is read, the partitions that are kept up to date, and who is told."""
        self._feed = feed
        self._partitions = partitions
        self._audience = audience
        self._staged: Staged = {}
        self._backoff = Backoff(first_s=0.05, cap_s=2.0)
        self._started = False
        self._stalled = False
        self.live = False
        """Whether updates flow."""

    async def run(self) -> None:
        """Follow until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        # Looking at `cancelling` is not idle: `asyncio.wait_for` of Python 3.11, with which redis-py sends,
        # swallows a cancellation that comes at the moment when it is done.
        while not task.cancelling():
            try:
                await self._catch_on()
                self._say_live()
                while not task.cancelling():
                    await self._step()
            except (RedisError, OSError) as error:
                if not is_passing(error):
                    raise
                self._say_stalled(error)
            await asyncio.sleep(self._backoff.next_s())

    async def _catch_on(self) -> None:
        """Begin to follow, or go on where following ended if the streams still hold that place."""
        for partition in self._partitions:
            if not self._started or not await self._feed.holds(partition.number, partition.position):
                await self._restart(partition)
        self._started = True

    async def _restart(self, partition: LivePartition) -> None:
        newest = await self._feed.newest(partition.number, _SEED_UPDATES)
        partition.restart(newest, all_there_is=len(newest) < _SEED_UPDATES)
        self._audience.begin_anew(partition)

    async def _step(self) -> None:
        reply = await self._feed.tail([partition.position for partition in self._partitions])
        for number, payloads in reply:
            partition = self._partitions[number]
            suspicious = len(payloads) >= TAIL_UPDATES and partition.position != BEGIN
            if suspicious and not await self._feed.holds(number, partition.position):
                await self._restart(partition)
            else:
                self._take(partition, payloads)
            metrics.API_UPDATES.inc(len(payloads))
        await self._audience.tell(self._staged)

    def _take(self, partition: LivePartition, payloads: list[Payload]) -> None:
        for order, payload in payloads:
            if not self._take_one(partition, order, payload):
                metrics.API_POISON.inc()
                partition.restart([(order, LiveUpdate())], all_there_is=False)
                self._audience.begin_anew(partition)

    def _take_one(self, partition: LivePartition, order: Order, payload: bytes) -> bool:
        try:
            partition.take(order, wire.decode_update(payload), self._staged)
        except (msgspec.DecodeError, PoisonError) as error:
            _log.warning(
                "partition %d: an update can't be read: %s",
                partition.number,
                error,
                extra={"partition": partition.number},
            )
            return False
        return True

    def _say_live(self) -> None:
        self._backoff.reset()
        if not self.live:
            self.live, self._stalled = True, False
            _log.info("following what is live")
            self._audience.tell_state(live=True)

    def _say_stalled(self, error: Exception) -> None:
        if not self._stalled:
            self.live, self._stalled = False, True
            _log.warning("Redis is away, trying until it is back: %s", error)
            self._audience.tell_state(live=False)
