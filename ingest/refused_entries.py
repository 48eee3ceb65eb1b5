"""Entries for streams that can't be written: another program has taken the key, or the server is away."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from redis.exceptions import RedisError

from ingest.stream_entry import StreamEntry
from tickplant.backoff import Backoff
from tickplant.outage import OutageLog
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE, is_wrong_type
from tickplant.streams import trades_stream

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 64 * 1024 * 1024
"""Beyond this, whoever writes to a refused stream waits."""
_AT_ONCE: Final = 64


class RefusedEntries:
    """Keeps the entries of some streams in order, and writes them once the streams accept entries again.

    Like those that wait during an outage, they are lost with the process; what is missing is found as a gap.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Take an open client, which the caller closes."""
        self._redis = redis
        self._kept: defaultdict[int, deque[StreamEntry]] = defaultdict(deque)
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._written = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __contains__(self, partition: int) -> bool:
        return partition in self._kept

    async def wait_for_room(self, partitions: Collection[int]) -> None:
        """Wait while too much is kept, if one of these partitions has entries that are."""
        while self._bytes >= _MOST_BYTES and not self._kept.keys().isdisjoint(partitions):
            self._written.clear()
            await self._written.wait()

    def add(self, entries: Sequence[StreamEntry], reasons: Mapping[int, Exception] | None = None) -> None:
        """Keep entries that can't be written, in order; log the reasons, by partition, if they are new."""
        for partition, reason in sorted((reasons or {}).items()):
            if partition in self._kept:
                continue
            if is_wrong_type(reason):
                what = "Redis refuses trades, as the key holds what another program has written: delete it"
            else:
                what = f"it can't be written now: {reason}"
            _log.error(
                "%s: %s: up to %d MB are kept until then, and all other streams are written",
                *(trades_stream(partition), what, _MOST_BYTES >> 20),
                extra={"partition": partition},
            )
        for entry in entries:
            self._kept[entry.partition].append(entry)
            self._bytes += len(entry.payload)
        if self._kept and self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Try again until nothing is kept."""
        backoff = Backoff(first_s=0.1, cap_s=2.0)
        outage = OutageLog(_log, "Redis is unavailable, retrying", "Redis is available again")
        try:
            while self._kept:
                await asyncio.sleep(backoff.next_s())
                for partition in list(self._kept):
                    try:
                        await self._write(partition)
                        outage.note_success()
                    except (*OUTAGE, RedisError) as error:
                        outage.note_failure(error)
        finally:
            self._task = None
            for partition, kept in self._kept.items():
                _log.error("%s: %d entries were not written", trades_stream(partition), len(kept))

    async def _write(self, partition: int) -> None:
        """Write the entries of a stream until none is kept or one is refused."""
        kept, stream = self._kept[partition], trades_stream(partition)
        while kept:
            commands = [("XADD", stream, "*", field, payload) for _, field, payload in list(kept)[:_AT_ONCE]]
            for answer in await self._redis.try_write(*commands):
                if isinstance(answer, Exception):
                    return
                self._bytes -= len(kept.popleft().payload)
            self._written.set()
        del self._kept[partition]
        _log.info("%s: all kept trades are written", stream, extra={"partition": partition})
