"""Partitions that aren't processed because another program has taken one of their keys in Redis."""

import logging
import time
from collections.abc import Collection
from typing import Final

from redis.exceptions import RedisError

from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.taken_keys import REMEDY, find_taken_keys

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0
"""How long a partition is not taken at least: its keys are read a moment after Redis has refused one."""


class BlockedPartitions:
    """The partitions that a role of this process must not take before their keys are free."""

    def __init__(self, role: str, redis: RedisClient) -> None:
        """Take the role, and an open client, which the caller closes."""
        self._role = role
        self._redis = redis
        self._until_s: dict[int, float] = {}
        self._keys: dict[int, list[str]] = {}
        self._gauge = metrics.WORKER_BLOCKED.labels(role)
        self._gauge.set(0)

    async def add(self, partition: int, error: RedisError) -> None:
        """Block a partition of which Redis refuses a key."""
        self._until_s[partition] = time.monotonic() + _PAUSE_S
        self._gauge.set(len(self._until_s))
        taken = await self._find_taken([partition])
        if taken is not None:
            self._note_keys(partition, taken.get(partition, []), str(error))

    async def check(self, share: Collection[int]) -> set[int]:
        """Return those of this worker's partitions that are still blocked; forget all others."""
        for partition in self._until_s.keys() - set(share):
            self._forget(partition)
        if not self._until_s:
            return set()
        now_s = time.monotonic()
        taken = await self._find_taken(self._until_s)
        if taken is None:
            return set(self._until_s)
        for partition, until_s in list(self._until_s.items()):
            if partition in taken:
                self._note_keys(partition, taken[partition], "")
            elif now_s >= until_s:
                _log.info("partition %d: its keys are free again", partition, extra={"partition": partition})
                self._forget(partition)
        return set(self._until_s)

    async def _find_taken(self, partitions: Collection[int]) -> dict[int, list[str]] | None:
        """Return the keys that are taken; None if the servers of these partitions, of several, are away."""
        try:
            return await find_taken_keys(self._redis, self._role, partitions)
        except OUTAGE:
            if not self._redis.sharded:
                raise
            return None

    def _note_keys(self, partition: int, keys: list[str], error: str) -> None:
        if self._keys.get(partition) == keys:
            return
        self._keys[partition] = keys
        _log.error(
            "partition %d is not processed (role %s): %s in Redis holds what another program has written: %s",
            *(partition, self._role, ", ".join(keys) or f"an unknown key ({error})", REMEDY),
            extra={"partition": partition},
        )

    def _forget(self, partition: int) -> None:
        del self._until_s[partition]
        self._keys.pop(partition, None)
        self._gauge.set(len(self._until_s))
