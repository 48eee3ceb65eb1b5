"""Sends users' changes to workers through the input streams, so that each has a place among the trades.

A change is written to the database first, and sent again until workers confirm it: changes have versions, so
that workers ignore duplicates.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from db.pool import OUTAGE as DATABASE_OUTAGE
from db.pool import Pool, outage_reason
from tickplant import wire
from tickplant.backoff import Backoff
from tickplant.derived import Change
from tickplant.outage import OutageLog
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE as REDIS_OUTAGE
from tickplant.streams import trades_stream

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0

PendingChanges = Callable[[Pool], Awaitable[Sequence[tuple[int, Change]]]]
"""Returns the changes to send now, each with its partition, and marks them as sent."""


class UserChangeSender:
    """Sends changes of users, and repeats them until they have arrived."""

    def __init__(
        self, redis: RedisClient, pool: Pool, sources: Sequence[PendingChanges], *, partitions: int
    ) -> None:
        """Send the changes of sources with clients, which the caller closes."""
        self._redis = redis
        self._partitions = partitions
        self._agreed = False
        self._pool = pool
        self._sources = sources
        self._written = asyncio.Event()

    def send_soon(self) -> None:
        """Send a change that was just written without waiting for the next poll."""
        self._written.set()

    async def run(self) -> None:
        """Send until cancelled, across outages.

        Raises:
            FatalError: workers use another number of partitions.
        """
        backoff = Backoff(first_s=_PAUSE_S, cap_s=30.0)
        outage = OutageLog(
            _log,
            "changes of users are delayed: a server is unavailable, retrying",
            "changes of users are sent again",
        )
        while True:
            try:
                await self._send()
                backoff.reset()
                outage.note_success()
                pause_s = _PAUSE_S
            except (*REDIS_OUTAGE, *DATABASE_OUTAGE) as error:
                outage.note_failure(outage_reason(error))
                pause_s = backoff.next_s()
            try:
                async with asyncio.timeout(pause_s):
                    await self._written.wait()
            except TimeoutError:
                pass
            self._written.clear()

    async def _send(self) -> None:
        if not self._agreed:
            await agree_on_partitions(self._redis, self._partitions)
            self._agreed = True
        for source in self._sources:
            commands = [
                ("XADD", trades_stream(partition), "*", wire.CHANGE, wire.encode_change(change))
                for partition, change in await source(self._pool)
            ]
            if commands:
                await self._redis.exchange(*commands)
