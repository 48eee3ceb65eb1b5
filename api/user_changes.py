"""What users change, on its way to the workers: down the input streams, and so with a place among trades.

The truth is in the database, written before anything is sent. What the workers have not stored as arrived
after a while is sent again: they know versions, so that a double changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from db.pool import OUTAGE as DATABASE_OUTAGE
from db.pool import Pool
from tickplant import wire
from tickplant.backoff import Backoff
from tickplant.derived import Change
from tickplant.redis_client import OUTAGE as REDIS_OUTAGE
from tickplant.redis_client import RedisClient
from tickplant.streams import trades_stream

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0

PendingChanges = Callable[[Pool], Awaitable[Sequence[tuple[int, Change]]]]
"""Returns the changes that are to be sent now, each with its partition; they count as sent from then."""


class UserChangeSender:
    """Sends what users change, and sends it again until it has arrived."""

    def __init__(self, redis: RedisClient, pool: Pool, sources: Sequence[PendingChanges]) -> None:
        """Take clients, which stay the caller's, and what finds changes."""
        self._redis = redis
        self._pool = pool
        self._sources = sources
        self._written = asyncio.Event()

    def send_soon(self) -> None:
        """Send what has just been written without waiting for the next look."""
        self._written.set()

    async def run(self) -> None:
        """Send until cancelled; an outage only delays."""
        backoff = Backoff(first_s=_PAUSE_S, cap_s=30.0)
        away = False
        while True:
            try:
                await self._send()
                backoff.reset()
                away = False
                pause_s = _PAUSE_S
            except (*REDIS_OUTAGE, *DATABASE_OUTAGE) as error:
                if not away:
                    _log.warning("what users change waits until servers answer: %s", error)
                away = True
                pause_s = backoff.next_s()
            try:
                async with asyncio.timeout(pause_s):
                    await self._written.wait()
            except TimeoutError:
                pass
            self._written.clear()

    async def _send(self) -> None:
        for source in self._sources:
            pipeline = self._redis.pipeline(transaction=False)
            for partition, change in await source(self._pool):
                pipeline.xadd(trades_stream(partition), {wire.CHANGE: wire.encode_change(change)})
            await pipeline.execute()
