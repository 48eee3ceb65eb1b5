"""The lag of commits behind a partition's stream."""

from typing import Any, Final, NamedTuple

from tickplant.redis_client import RedisClient
from tickplant.streams import (
    HELD_ENTRIES,
    MIRROR_RESULTS,
    MIRROR_ROLES,
    MIRROR_TRADES,
    owner_key,
    results_stream,
    trades_stream,
)

# Counting would copy the entries inside Redis, so beyond a few the stream's length has to do, less what is
# kept for a mirror to Kafka.
_LAG: Final = """
local after = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 32)
local first = after[1] and after[1][1]
if #after < 32 then return {#after, first} end
return {redis.call('XLEN', KEYS[1]) - (tonumber(redis.call('HGET', KEYS[2], ARGV[2])) or 0), first}
"""


class Lag(NamedTuple):
    """Entries that are not committed yet."""

    entries: int
    """Exact up to 31, beyond that a few too many."""
    oldest_ms: int | None
    """When the oldest of them was written, by Redis's clock; None where there is none."""


async def read_lag(redis: RedisClient, role: str, partition: int, committed: str) -> Lag:
    """Return how much of the stream that a role reads comes after the entry that it has committed.

    Raises:
        RedisError: one of `tickplant.redis_errors.OUTAGE`.
    """
    stream = results_stream(partition) if role == MIRROR_RESULTS else trades_stream(partition)
    held = "" if role in MIRROR_ROLES else HELD_ENTRIES
    keys = [stream, owner_key(MIRROR_TRADES, partition)]
    answer: Any = await redis.eval(_LAG, len(keys), *keys, committed, held)
    entries, first = (*answer, None)[:2]
    return Lag(entries, int(first.partition(b"-")[0]) if first else None)
