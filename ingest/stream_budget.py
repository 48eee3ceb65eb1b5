"""The budget of the partition streams: how far workers may lag before sockets are paused."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_wrong_type
from tickplant.redis_values import RedisValues, parse_count
from tickplant.streams import HELD_ENTRIES, MIRROR_TRADES, owner_key, trades_stream

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.05

Request = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Makes a request to Redis until it is answered."""


class StreamBudget:
    """Waits while a stream holds more uncommitted trades than the budget."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        partitions: int,
        budget_trades: int,
        retry_until_available: Request,
        quiet: bool = False,
    ) -> None:
        """Initialize the budget.

        Args:
            redis: an open client; stays the caller's.
            partitions: number of partition streams.
            budget_trades: the most trades in a stream.
            retry_until_available: makes a request to Redis.
            quiet: whether waiting is not logged.
        """
        self._levels = (logging.DEBUG, logging.DEBUG) if quiet else (logging.WARNING, logging.INFO)
        self._redis = redis
        self._budget_trades = budget_trades
        self._retry_until_available = retry_until_available
        self._trades = [0] * partitions
        self._entries = [0] * partitions
        self._values = RedisValues()

    def note_written(self, partition: int, *, trades: int, entries: int) -> None:
        """Count what this process wrote to a stream."""
        self._trades[partition] += trades
        self._entries[partition] += entries

    async def wait(self) -> None:
        """Wait while a stream holds more uncommitted trades than the budget, by this process's mean entry.

        Entries retained only for the mirror to Kafka don't count.
        """
        stream = await self._find_over_budget()
        if stream is None:
            return
        over, caught_up = self._levels
        _log.log(over, "%s is over its budget: sockets are paused until workers catch up", stream)
        started_s = asyncio.get_running_loop().time()
        while await self._find_over_budget():
            await asyncio.sleep(_POLL_S)
            metrics.INGEST_WAITS.inc(_POLL_S)
        _log.log(
            caught_up,
            "workers have caught up after %.1f s: sockets are read again",
            asyncio.get_running_loop().time() - started_s,
        )

    async def _find_over_budget(self) -> str | None:
        """Return a stream that is over its budget; None if there is none."""
        partitions = [partition for partition, trades in enumerate(self._trades) if trades]
        if not partitions:
            return None
        lengths = await self._retry_until_available(lambda: self._read_lengths(partitions))
        for partition, length in zip(partitions, lengths, strict=True):
            if length * self._trades[partition] / self._entries[partition] > self._budget_trades:
                return trades_stream(partition)
        return None

    async def _read_lengths(self, partitions: list[int]) -> list[int]:
        """Return the number of entries of each stream, without those retained for the mirror."""
        commands = [
            command
            for partition in partitions
            for command in (
                ("XLEN", trades_stream(partition)),
                ("HGET", owner_key(MIRROR_TRADES, partition), HELD_ENTRIES),
            )
        ]
        try:
            answers = await self._redis.try_exchange(*commands)
        except OUTAGE as error:
            if not self._redis.sharded:
                raise
            answers = [error] * len(commands)
        for index, answer in enumerate(answers):
            if isinstance(answer, Exception):
                # What is kept for a server that is away has a bound of its own.
                if not (is_wrong_type(answer) or isinstance(answer, OUTAGE)):
                    raise answer
                answers[index] = None
        lengths = zip(partitions, answers[::2], answers[1::2], strict=True)
        return [(length or 0) - self._held(partition, held) for partition, length, held in lengths]

    def _held(self, partition: int, payload: bytes | None) -> int:
        key = owner_key(MIRROR_TRADES, partition)
        return self._values.read(key, HELD_ENTRIES, payload, parse_count) or 0
