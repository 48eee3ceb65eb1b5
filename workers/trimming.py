"""Trims an input stream up to the committed entry; retains entries for a mirror to Kafka within its budget.

The mirror writes to its owner hash in Redis the last entry that Kafka has acknowledged, and its budget.
Trimming depends on nothing else of the mirror; without a mirror nothing is retained.
"""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from db.leases import Lease
from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Script
from tickplant.redis_values import RedisValues
from tickplant.streams import MIRROR_TRADES, entry_order, owner_key, trades_stream

Entry = tuple[str, dict[bytes, bytes]]
"""Id and fields."""

_log = logging.getLogger(__name__)

# KEYS: input stream, the mirror's owner hash. ARGV: committed entry; entries and bytes committed since the
# last call. Counts what is retained, so that ingest can subtract it. Over the budget, its older half by time
# is trimmed; uncommitted entries never are, so a wrong count after a crash does not matter. Where the
# mirror's position is no entry id, everything is retained up to the budget: the mirror will write it again.
_TRIM: Final = Script("""
local function parts(id)
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    return tonumber(ms), tonumber(seq)
end
local committed = ARGV[1]
local ms, seq = parts(committed)
local mirror = redis.call('HMGET', KEYS[2], 'confirmed', 'budget_bytes', 'held_entries', 'held_bytes')
local behind, odd = false, 0
if mirror[1] then
    local confirmed_ms, confirmed_seq = string.match(mirror[1], '^(%d+)-(%d+)$')
    if not confirmed_ms or #confirmed_ms > 15 or #confirmed_seq > 15 then mirror[1], odd = '0-0', 1 end
    local mirror_ms, mirror_seq = parts(mirror[1])
    behind = mirror_ms < ms or (mirror_ms == ms and mirror_seq < seq)
end
if not behind then
    redis.call('XTRIM', KEYS[1], 'MINID', '~', committed)
    if mirror[3] then redis.call('HDEL', KEYS[2], 'held_entries', 'held_bytes') end
    return {0, 0, odd}
end
local function count(text)
    return text and #text < 16 and string.match(text, '^%d+$') and tonumber(text) or 0
end
local entries = count(mirror[3]) + ARGV[2]
local bytes = count(mirror[4]) + ARGV[3]
local function trim(how, id)
    local removed = redis.call('XTRIM', KEYS[1], 'MINID', how, id)
    if entries > 0 then bytes = bytes * math.max(0, 1 - removed / entries) end
    entries = math.max(0, entries - removed)
    return removed
end
trim('~', mirror[1])
local skipped = 0
if bytes > count(mirror[2]) then
    local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    if first then
        skipped = trim('=', string.format('%.0f-0', math.floor((parts(first[1]) + ms) / 2)))
        if skipped == 0 then skipped = trim('=', committed) end
    end
end
redis.call('HSET', KEYS[2], 'held_entries', entries, 'held_bytes', math.floor(bytes))
return {1, skipped, odd}
""")


class Trimmer:
    """Trims the input stream of one partition for its owner."""

    def __init__(self, redis: RedisClient, lease: Lease) -> None:
        """Take an open client, which the caller closes, and the lease."""
        self._redis = redis
        self._partition = lease.partition
        self._keys = [trades_stream(lease.partition), owner_key(MIRROR_TRADES, lease.partition)]
        self._read: deque[tuple[str, int, int]] = deque()
        self._skipped = 0
        self._values = RedisValues()

    def note_read(self, entries: Sequence[Entry]) -> None:
        """Note entries read from the stream, in order; at least one."""
        size_bytes = sum(len(payload) for _, fields in entries for payload in fields.values())
        self._read.append((entries[-1][0], len(entries), size_bytes))

    async def trim(self, committed: str) -> None:
        """Trim entries before a committed one, except those retained for the mirror."""
        entries = size_bytes = 0
        while self._read and entry_order(self._read[0][0]) <= entry_order(committed):
            _, more_entries, more_bytes = self._read.popleft()
            entries += more_entries
            size_bytes += more_bytes
        command = (_TRIM, len(self._keys), *self._keys, committed, entries, size_bytes)
        ((held, skipped, odd),) = await self._redis.exchange(command)
        if odd:
            self._values.note_invalid(self._keys[1], "confirmed", "no entry id")
        self._log_skipped(held=bool(held), skipped=int(skipped), committed=committed)

    def _log_skipped(self, *, held: bool, skipped: int, committed: str) -> None:
        if skipped:
            metrics.WORKER_SKIPPED.labels(self._partition).inc(skipped)
            if not self._skipped:
                _log.warning(
                    "partition %d: the mirror to Kafka is behind by more than its budget: at entry %s its"
                    " oldest entries are being trimmed before they are mirrored",
                    self._partition,
                    committed,
                    extra={"entry": committed},
                )
            self._skipped += skipped
        elif self._skipped and not held:
            _log.warning(
                "partition %d: the mirror to Kafka has caught up; %d entries were not mirrored",
                self._partition,
                self._skipped,
            )
            self._skipped = 0
