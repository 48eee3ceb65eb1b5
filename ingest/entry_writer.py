"""Writes entries to the partition streams: what all connections have at the same moment, in one exchange.

Where a stream's key holds something else, or its server is away while others are not, its entries are kept
until they can be written; others don't wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, Final, NamedTuple

from ingest.refused_entries import RefusedEntries
from ingest.stream_entry import StreamEntry
from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_transient, is_wrong_type
from tickplant.redis_exchange import Command
from tickplant.streams import trades_stream

_INTERVAL_S: Final = 0.004
"""While busy, exchanges start no more often. An entry waits for others only if one has just started."""
_LARGE_BYTES: Final = 32_768
"""So many bytes don't wait for more."""


class _Write(NamedTuple):
    entries: Sequence[StreamEntry]
    done: asyncio.Future[None]
    """Cancelled if nobody waits for it any longer."""


Attempt = Callable[[], Awaitable[None]]


class EntryWriter:
    """Writes entries in the order of calls, and repeats them until Redis has acknowledged them all."""

    def __init__(
        self, redis: RedisClient, *, retry_until_available: Callable[[Attempt], Awaitable[None]]
    ) -> None:
        """Initialize the writer.

        Args:
            redis: an open client; stays the caller's.
            retry_until_available: makes an attempt until Redis is available.
        """
        self._redis = redis
        self._retry_until_available = retry_until_available
        self._waiting: list[_Write] = []
        self._waiting_bytes = 0
        self._large = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._started_s = float("-inf")
        self._refused = RefusedEntries(redis)
        self._context = copy_context()  # else outages were logged with the fields of one connection

    async def write(self, entries: Sequence[StreamEntry]) -> None:
        """Write entries; return when Redis has acknowledged them all, or they are kept for a refused stream.

        After a cancellation it is unknown which were written.

        Raises:
            RedisError: one that waiting does not resolve.
        """
        if not entries:
            return
        await self._refused.wait_for_room({partition for partition, _, _ in entries})
        write = _Write(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        self._waiting_bytes += sum([len(payload) for _, _, payload in entries])
        if self._waiting_bytes >= _LARGE_BYTES:
            self._large.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), context=self._context)
        await write.done

    async def _run(self) -> None:
        """Write what waits until nothing does."""
        clock = asyncio.get_running_loop().time
        writes: list[_Write] = []
        try:
            while self._waiting:
                await self._wait_for_company(self._started_s + _INTERVAL_S - clock())
                self._started_s = clock()
                writes, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._large.clear()
                await self._write_all(writes)
        finally:
            self._task = None
            for write in (*writes, *self._waiting):
                write.done.cancel()  # if this task was cancelled; else they are done

    async def _wait_for_company(self, wait_s: float) -> None:
        if wait_s > 0:
            timer = asyncio.get_running_loop().call_later(wait_s, self._large.set)
            await self._large.wait()
            timer.cancel()

    async def _write_all(self, writes: list[_Write]) -> None:
        try:
            await self._write([(entry, write) for write in writes for entry in write.entries])
        except Exception as error:  # noqa: BLE001 - it is raised by `write`
            for write in writes:
                if not write.done.done():
                    write.done.set_exception(error)
        else:
            for write in writes:
                if not write.done.done():
                    write.done.set_result(None)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands; an outage of one server of several is an answer."""
        try:
            return await self._redis.try_write(*commands)
        except OUTAGE as error:
            if not self._redis.sharded:
                raise
            return [error] * len(commands)

    async def _write(self, left: list[tuple[StreamEntry, _Write]]) -> None:
        """XADD every entry; retry the failed ones, in order, until all are written."""

        async def attempt() -> None:
            left[:] = [(entry, write) for entry, write in left if not write.done.done()]
            if self._refused:  # behind those that are kept already
                self._refused.add([entry for entry, _ in left if entry.partition in self._refused])
                left[:] = [(entry, write) for entry, write in left if entry.partition not in self._refused]
            commands = [
                ("XADD", trades_stream(partition), "*", field, payload)
                for (partition, field, payload), _ in left
            ]
            answers = await self._send(commands) if commands else []
            failed = [index for index, answer in enumerate(answers) if isinstance(answer, Exception)]
            kept = {
                left[index][0].partition: answers[index]
                for index in failed
                if is_wrong_type(answers[index]) or (self._redis.sharded and is_transient(answers[index]))
            }
            if kept:
                self._refused.add([entry for entry, _ in left if entry.partition in kept], kept)
                failed = [index for index in failed if left[index][0].partition not in kept]
            if failed:
                # Later entries of the same stream are written again, too: a symbol's trades stay in order.
                partitions = {left[index][0].partition for index in failed}
                left[:] = [
                    (entry, write) for entry, write in left[failed[0] :] if entry.partition in partitions
                ]
                raise answers[failed[0]]

        sizes = [(partition, len(payload)) for (partition, _, payload), _ in left]
        with metrics.INGEST_WRITE_S.time():
            await self._retry_until_available(attempt)
        metrics.INGEST_WRITE_ENTRIES.observe(len(sizes))
        for partition, size in sizes:
            metrics.INGEST_ENTRIES.labels(partition).inc()
            metrics.INGEST_ENTRY_BYTES.observe(size)
