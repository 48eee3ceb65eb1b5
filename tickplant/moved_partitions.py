"""Moves a partition from one server of Redis to another, while the plant runs. See ADR 55.

Each step can be repeated: a move that was killed goes on, or goes back, with the same command.
"""

from typing import Any, Final

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tickplant.errors import FatalError
from tickplant.redis_client import RedisClient
from tickplant.redis_exchange import Script
from tickplant.redis_servers import MOVED, MOVING, RedisServers
from tickplant.streams import (
    CANDLES_ROLE,
    MIRROR_ROLES,
    SERVERS,
    gaps_key,
    live_stream,
    owner_key,
    prices_key,
    results_stream,
    signals_stream,
    trades_stream,
    unified_key,
    unified_stream,
)

_ASIDE: Final = "moving:"
"""Before the names of keys that are on their way."""

# KEYS: the stream of trades, then all other keys. ARGV: the mark, the prefix. From here on, whoever reads or
# writes the partition is refused.
_SET_ASIDE: Final = Script("""
if redis.call('TYPE', KEYS[1]).ok == 'string' then return end
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then redis.call('RENAME', key, ARGV[2] .. key) end
end
redis.call('SET', KEYS[1], ARGV[1])
""")

# KEYS: as above. ARGV: the prefix.
_PUT_BACK: Final = Script("""
if redis.call('TYPE', KEYS[1]).ok == 'string' then redis.call('DEL', KEYS[1]) end
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', ARGV[1] .. key) == 1 then redis.call('RENAME', ARGV[1] .. key, key) end
end
""")


async def move_partition(redis: RedisServers, partition: int, target: str, *, partitions: int) -> str:
    """Move a partition to a server; return the one that it was on.

    Raises:
        FatalError: it can't be moved there; it stays, or goes back to, where it was.
    """
    redis.client_of(target)
    place = (await redis.places(partitions))[partition]
    source, _, former_target = place.partition(MOVING)
    if former_target and target == source:
        await _go_back(redis, partition, source)
        return source
    if former_target and target != former_target:
        raise FatalError(f"partition {partition} is moving to {former_target}: finish that first, or go back")
    if target == source:
        return source
    keys = _keys(partition)
    origin, goal = redis.client_of(source), redis.client_of(target)
    await _write_place(redis, partition, f"{source}{MOVING}{target}")
    await origin.exchange((_SET_ASIDE, len(keys), *keys, MOVED, _ASIDE))
    try:
        await _copy(origin, goal, keys)
    except NoPermissionError as error:
        await _go_back(redis, partition, source)
        raise FatalError(f"a user of Redis lacks a right for moves (+dump +restore): {error}") from error
    except ResponseError as error:
        await _go_back(redis, partition, source)
        raise FatalError(f"{target} refuses what {source} has: {error}; the partition stays there") from error
    await _write_place(redis, partition, target)
    await origin.exchange(*[("DEL", _ASIDE + key) for key in keys])
    return source


async def _copy(origin: RedisClient, goal: RedisClient, keys: list[str]) -> None:
    """Copy what is set aside, key by key, under its own name.

    The stream of trades is the last one: until then a mark may be there, if the partition was there before.
    """
    for key in reversed(keys):
        (dumped,) = await origin.exchange(("DUMP", _ASIDE + key))
        restore = ("DEL", key) if dumped is None else ("RESTORE", key, 0, dumped, "REPLACE")
        await goal.exchange(restore, ("DEL", _ASIDE + key))


async def _go_back(redis: RedisServers, partition: int, source: str) -> None:
    keys = _keys(partition)
    await redis.client_of(source).exchange((_PUT_BACK, len(keys), *keys, _ASIDE))
    await _write_place(redis, partition, source)


async def _write_place(redis: RedisServers, partition: int, place: str) -> None:
    await redis.client_of(redis.first).exchange(("HSET", SERVERS, partition, place))
    redis.forget(partition)


def _keys(partition: int) -> list[str]:
    """Return all keys of a partition, the stream of trades first."""
    streams = (trades_stream, live_stream, results_stream, signals_stream, unified_stream)
    names = [name(partition) for name in (*streams, prices_key, gaps_key, unified_key)]
    return [*names, *[owner_key(role, partition) for role in (CANDLES_ROLE, *MIRROR_ROLES)]]


async def read_lengths(redis: RedisServers, places: dict[int, str]) -> dict[int, Any]:
    """Return how many entries each partition's stream has; None where its server is away."""
    lengths: dict[int, Any] = {}
    for number, place in places.items():
        try:
            (length,) = await redis.client_of(place.partition(MOVING)[0]).try_exchange(
                ("XLEN", trades_stream(number))
            )
        except (RedisError, OSError):
            length = None
        lengths[number] = None if isinstance(length, Exception) else length
    return lengths
