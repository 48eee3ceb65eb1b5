"""Reads a partition's stream for the mirror, in order; logs entries that were trimmed before."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from db.leases import Lease
from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Command, Script, parse_streams
from tickplant.streams import MIRROR_RESULTS, START, entry_order, owner_key, results_stream, trades_stream
from workers.trimming import Entry

_log = logging.getLogger(__name__)

# KEYS: stream. Returns the id of its first entry, but not the entry, which may be large.
_FIRST_ID: Final = Script("""
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return first and first[1]
""")


class MirrorStream:
    """Reads one stream from a position, and logs what was trimmed before it could be read."""

    def __init__(self, redis: RedisClient, lease: Lease, *, budget_bytes: int) -> None:
        """Take what is needed.

        Args:
            redis: an open client, which stays the caller's.
            lease: its role decides which stream of the partition is read.
            budget_bytes: how much of the stream Redis may retain for the mirror.
        """
        self._redis = redis
        self._role = lease.role
        self._partition = lease.partition
        self._results = lease.role == MIRROR_RESULTS
        self._stream = (results_stream if self._results else trades_stream)(lease.partition)
        self._owner = owner_key(lease.role, lease.partition)
        self._budget_bytes = budget_bytes
        self._position = lease.entry_id

    async def seek(self, entry_id: str) -> None:
        """Continue after an entry, which Kafka has acknowledged."""
        self._position = entry_id
        await self.report_confirmed(entry_id)

    async def read(self, *, count: int, block_ms: int) -> list[Entry]:
        """Return the next entries, in order; none if none arrived in time.

        Args:
            count: the most entries.
            block_ms: the longest wait.
        """
        answer, first = await self._redis.exchange(
            ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._stream, self._position),
            (_FIRST_ID, 1, self._stream),
        )
        streams = parse_streams(answer)
        if not streams:
            return []
        ((_, found),) = streams
        entries = [(entry_id.decode(), fields) for entry_id, fields in found]
        if first:
            self._check_for_gap(first.decode(), entries)
        self._position = entries[-1][0]
        return entries

    async def report_confirmed(self, confirmed: str) -> None:
        """Write the last entry acknowledged by Kafka, so that trimming retains only what follows."""
        fields = ("confirmed", confirmed, "budget_bytes", self._budget_bytes)
        commands: list[Command] = [("HSET", self._owner, *fields)]
        if self._results:  # the mirror is their only reader
            commands.append(("XTRIM", self._stream, "MINID", "~", confirmed))
        await self._redis.exchange(*commands)

    def _check_for_gap(self, first: str, entries: Sequence[Entry]) -> None:
        """Log a gap between the last entry read and the next ones.

        While the last entry read, or an earlier one, is still in the stream, nothing after it was trimmed.
        """
        next_ = entries[0][0]
        trimmed = entry_order(self._position) < entry_order(first) <= entry_order(next_)
        if trimmed and self._position != START:
            metrics.MIRROR_SKIPS.labels(self._role).inc()
            _log.warning(
                "%s was trimmed before it was mirrored: entries after %s (%s) and before %s (%s) are not"
                " mirrored; what they held is in the database",
                self._stream,
                self._position,
                _time(self._position),
                next_,
                _time(next_),
            )


def _time(entry_id: str) -> str:
    """Return when an entry was written."""
    return datetime.fromtimestamp(entry_order(entry_id)[0] / 1000, UTC).isoformat(timespec="milliseconds")
