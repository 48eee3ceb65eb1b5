"""Moves what processes of a former version have in Redis: their keys had no braces, and some were shared.

The script of a partition moves all that it has at once, so nothing is read twice or lost, wherever a process
is killed. A worker of a former version that still runs finds no owner hash, and so can't publish; with its
next heartbeat it ends, since the number of partitions differs. What an ingest process of a former version
writes is moved to the end of its new stream by the next heartbeat of a worker.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from tickplant.redis_client import RedisClient
from tickplant.redis_errors import is_wrong_type
from tickplant.redis_exchange import Script
from tickplant.streams import (
    gaps_key,
    owner_keys,
    partition_of_field,
    partition_streams,
    prices_key,
    unified_key,
)

_log = logging.getLogger(__name__)

FORMER_COUNT: Final = "partitions"
"""Where processes of former versions look up the number of partitions."""
REFUSED_COUNT: Final = 999_999_999
"""The number of partitions that makes them end."""

_HASHES: Final[dict[str, Callable[[int], str]]] = {
    "prices": prices_key,
    "gaps": gaps_key,
    "unified": unified_key,
}
"""Of all partitions together, formerly."""

# KEYS: former streams and hashes of the partition, each with its new name, then hashes of all partitions,
# each with the partition's own. ARGV: how many keys are of the first kind, then symbols of the partition.
# Keys that hold another type are another program's, and stay; entries of so many fields that Lua's stack
# can't hold them are, too, and go. Returns how many entries were appended.
_MOVE: Final = Script("""
local appended = 0
local function type_of(key) return redis.call('TYPE', key).ok end
local function copy_fields(from, to, fields)
    for _, field in ipairs(fields) do
        local value = redis.call('HGET', from, field)
        if value then
            if redis.call('HEXISTS', to, field) == 0 then redis.call('HSET', to, field, value) end
            redis.call('HDEL', from, field)
        end
    end
end
local function append(from, to)
    local after = '-'
    while true do
        local entries = redis.call('XRANGE', from, after, '+', 'COUNT', 100)
        if #entries == 0 then break end
        for _, entry in ipairs(entries) do
            if #entry[2] < 1000 then redis.call('XADD', to, '*', unpack(entry[2])) end
        end
        appended = appended + #entries
        after = '(' .. entries[#entries][1]
    end
    redis.call('DEL', from)
end
local pairs_end = tonumber(ARGV[1])
for i = 1, pairs_end, 2 do
    local from, to = KEYS[i], KEYS[i + 1]
    local kind, taken = type_of(from), type_of(to)
    if (kind == 'stream' or kind == 'hash') and taken == 'none' then
        redis.call('RENAME', from, to)
    elseif kind == 'stream' and taken == 'stream' then
        append(from, to)
    elseif kind == 'hash' and taken == 'hash' then
        copy_fields(from, to, redis.call('HKEYS', from))
    end
end
for i = pairs_end + 1, #KEYS, 2 do
    local from, to = KEYS[i], KEYS[i + 1]
    local taken = type_of(to)
    if type_of(from) == 'hash' and (taken == 'none' or taken == 'hash') then
        for first = 2, #ARGV, 1000 do
            copy_fields(from, to, {unpack(ARGV, first, math.min(first + 999, #ARGV))})
        end
    end
end
return appended
""")


def former_keys(partitions: int) -> list[str]:
    """Return all names of former versions."""
    return [former for number in range(partitions) for former, _ in _moves(number)] + [*_HASHES]


async def move_former_keys(redis: RedisClient, partitions: int, *, count: Any, held: Any) -> None:
    """Move what is under names of former versions, if anything is.

    Args:
        redis: one server.
        partitions: how many the former version had, too.
        count: the answer to GET of `FORMER_COUNT`.
        held: the answer to EXISTS of `former_keys`.

    Raises:
        RedisError: what is not moved yet is by the next call.
    """
    if isinstance(held, Exception):
        raise held
    if count != str(REFUSED_COUNT).encode() and not is_wrong_type(count):
        await redis.exchange(("SET", FORMER_COUNT, REFUSED_COUNT))
    if not held:
        return
    symbols = await _symbols(redis, partitions)
    appended = 0
    for number in range(partitions):
        pairs = [key for pair in _moves(number) for key in pair]
        shared = [key for former_name, key_of in _HASHES.items() for key in (former_name, key_of(number))]
        (entries,) = await redis.exchange(
            (_MOVE, len(pairs) + len(shared), *pairs, *shared, len(pairs), *symbols.get(number, ()))
        )
        appended += entries
    if appended:
        _log.warning(
            "Redis: %d entries came from a process of a former version that is still running: stop it;"
            " they are moved to where this version reads",
            appended,
        )


def _moves(partition: int) -> Iterable[tuple[str, str]]:
    """Yield the former and the new names of a partition's keys."""
    for name in partition_streams(partition) + owner_keys(partition):
        yield name.replace("{", "").replace("}", ""), name


async def _symbols(redis: RedisClient, partitions: int) -> dict[int, set[bytes]]:
    """Return the fields of the hashes that all partitions shared, by partition."""
    found: defaultdict[int, set[bytes]] = defaultdict(set)
    for answer in await redis.try_exchange(*[("HKEYS", name) for name in _HASHES]):
        fields: Any = [] if isinstance(answer, Exception) else answer  # another program's key
        for field in fields:
            found[partition_of_field(field, partitions)].add(field)
    return found


def parse_former_count(answer: Any) -> bytes | None:
    """Return the number of partitions of a former version whose keys are not moved; None if there is none.

    Args:
        answer: to GET of `FORMER_COUNT`.

    Raises:
        RedisError: the answer, unless it is that the key is another program's.
    """
    if isinstance(answer, Exception):
        if not is_wrong_type(answer):
            raise answer
        return None
    return None if answer == str(REFUSED_COUNT).encode() else answer
