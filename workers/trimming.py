"""Trims an input stream up to the committed entry; keeps those of the last minute, and those for a mirror.

The committed entries of the last `TICKPLANT_STREAM_KEEP_S` seconds are kept, in case the database loses its
last commits: a replica that is promoted may lack them (ADR 53).

The mirror writes to its owner hash in Redis the last entry that Kafka has acknowledged, and its budget.
Trimming depends on nothing else of the mirror; without a mirror nothing is retained.
"""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from db.leases import Lease
from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Script
from tickplant.redis_values import RedisValues
from tickplant.streams import MIRROR_TRADES, entry_order, owner_key, trades_stream

Entry = tuple[str, dict[bytes, bytes]]
"""Id and fields."""

_log = logging.getLogger(__name__)

_KEPT_BYTES: Final = 64 * 1024 * 1024
"""The most that a partition keeps of committed entries, unless a mirror may retain more."""

# KEYS: input stream, the mirror's owner hash, the partition's owner hash. ARGV: committed entry; entries and
# bytes committed since the last call; epoch; published entry; milliseconds to keep; bytes to keep at most;
# the last entry that was read, or empty; how many of those read are not committed.
# Counts what is retained, so that ingest can subtract it; exactly, whenever everything has been read. Of what
# is kept or the mirror lacks, the older half by time is trimmed when it is more than it may be; uncommitted
# entries never are, so a wrong count after a crash does not matter. Where the mirror's position is no entry
# id, everything is retained up to the budget: the mirror will write it again.
_TRIM: Final = Script("""
if redis.call('HGET', KEYS[3], 'epoch') ~= ARGV[4] then return redis.error_reply('FENCED') end
local function parts(id)
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    return tonumber(ms), tonumber(seq)
end
local function before(one, other)
    local ms, seq = parts(one)
    local other_ms, other_seq = parts(other)
    return ms < other_ms or (ms == other_ms and seq < other_seq)
end
local committed = ARGV[1]
local published = redis.call('HGET', KEYS[3], 'published')
if not published or before(published, ARGV[5]) then published = ARGV[5] end
redis.call('HSET', KEYS[3], 'committed', committed, 'published', published)
local mirror = redis.call('HMGET', KEYS[2], 'confirmed', 'budget_bytes', 'held_entries', 'held_bytes')
local confirmed, odd = mirror[1], 0
if confirmed then
    local ms, seq = string.match(confirmed, '^(%d+)-(%d+)$')
    if not ms or #ms > 15 or #seq > 15 then confirmed, odd = '0-0', 1 end
end
local keep_ms = tonumber(ARGV[6])
local behind = confirmed and before(confirmed, committed)
if not behind and keep_ms == 0 then
    redis.call('XTRIM', KEYS[1], 'MINID', '~', committed)
    if mirror[3] then redis.call('HDEL', KEYS[2], 'held_entries', 'held_bytes') end
    return {0, 0, odd}
end
local function count(text)
    return text and #text < 16 and string.match(text, '^%d+$') and tonumber(text) or 0
end
local entries, bytes = count(mirror[3]) + ARGV[2], count(mirror[4]) + ARGV[3]
local ms = parts(committed)
if ARGV[8] ~= '' and #redis.call('XRANGE', KEYS[1], '(' .. ARGV[8], '+', 'COUNT', 1) == 0 then
    local exactly = math.max(0, redis.call('XLEN', KEYS[1]) - ARGV[9])
    if entries > 0 then bytes = bytes * exactly / entries end
    entries = exactly
end
local function trim(how, id)
    local removed = redis.call('XTRIM', KEYS[1], 'MINID', how, id)
    if entries > 0 then bytes = bytes * math.max(0, 1 - removed / entries) end
    entries = math.max(0, entries - removed)
    return removed
end
local from = committed
if keep_ms > 0 then from = string.format('%.0f-0', math.max(0, ms - keep_ms)) end
if behind and before(confirmed, from) then from = confirmed end
trim('~', from)
local skipped = 0
if bytes > math.max(behind and count(mirror[2]) or 0, keep_ms > 0 and tonumber(ARGV[7]) or 0) then
    local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    if first then
        local middle = string.format('%.0f-0', math.floor((parts(first[1]) + ms) / 2))
        if behind and before(confirmed, middle) then
            trim('=', confirmed)
            skipped = trim('=', middle)
            if skipped == 0 then skipped = trim('=', committed) end
        elseif trim('=', middle) == 0 then
            trim('=', behind and confirmed or committed)
        end
    end
end
redis.call('HSET', KEYS[2], 'held_entries', entries, 'held_bytes', math.floor(bytes))
return {behind and 1 or 0, skipped, odd}
""")


class Trimmer:
    """Trims the input stream of one partition for its owner."""

    def __init__(self, redis: RedisClient, lease: Lease, *, keep_s: float = 0) -> None:
        """Take what is needed.

        Args:
            redis: an open client, which the caller closes.
            lease: of the partition.
            keep_s: how long committed entries are kept, by the time of the newest.
        """
        self._redis = redis
        self._partition = lease.partition
        self._epoch = lease.epoch
        self._keep_ms = int(keep_s * 1000)
        self._keys = [
            trades_stream(lease.partition),
            owner_key(MIRROR_TRADES, lease.partition),
            owner_key(lease.role, lease.partition),
        ]
        self._read: deque[tuple[str, int, int]] = deque()
        self._last_read = ""
        self._skipped = 0
        self._values = RedisValues()

    def note_read(self, entries: Sequence[Entry]) -> None:
        """Note entries read from the stream, in order; at least one."""
        size_bytes = sum(len(payload) for _, fields in entries for payload in fields.values())
        self._last_read = entries[-1][0]
        self._read.append((self._last_read, len(entries), size_bytes))

    async def trim(self, committed: str, published: str) -> None:
        """Trim entries before a committed one, except those that are kept or retained for the mirror.

        Args:
            committed: the entry; it is noted in the owner hash.
            published: the last entry whose trades have been published, or that had none; likewise.

        Raises:
            ResponseError: another owner has taken the partition.
        """
        entries = size_bytes = 0
        while self._read and entry_order(self._read[0][0]) <= entry_order(committed):
            _, more_entries, more_bytes = self._read.popleft()
            entries += more_entries
            size_bytes += more_bytes
        uncommitted = sum(count for _, count, _ in self._read)
        counts: list[Any] = [committed, entries, size_bytes, self._epoch, published]
        counts += self._keep_ms, _KEPT_BYTES, self._last_read, uncommitted
        command = (_TRIM, len(self._keys), *self._keys, *counts)
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
