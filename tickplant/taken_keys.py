"""Finds keys that another program has taken: they hold another type than tickplant writes."""

from collections.abc import Iterable
from typing import Final

from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.streams import (
    CANDLES_ROLE,
    MIRROR_RESULTS,
    MIRROR_TRADES,
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

REMEDY: Final = "rename or delete it"


async def find_taken_keys(redis: RedisClient, role: str, partitions: Iterable[int]) -> dict[int, list[str]]:
    """Return the partitions that a role can't process, with the keys that hold another type.

    Raises:
        RedisError: one of `tickplant.redis_errors.OUTAGE`.
    """
    keys = [(partition, *row) for partition in partitions for row in _keys(role, partition).items()]
    types = await redis.try_exchange(*[("TYPE", key) for _, key, _ in keys]) if keys else []
    taken: dict[int, list[str]] = {}
    for (partition, key, expected), found in zip(keys, types, strict=True):
        if isinstance(found, OUTAGE):  # one server of several is away
            continue
        if isinstance(found, Exception):
            raise found
        if found not in (expected, b"none"):
            taken.setdefault(partition, []).append(key)
    return taken


def _keys(role: str, partition: int) -> dict[str, bytes]:
    """Return the keys that the owner of a partition uses, with their types."""
    mirrors = (owner_key(MIRROR_TRADES, partition), owner_key(MIRROR_RESULTS, partition))
    if role == MIRROR_TRADES:
        return dict.fromkeys([trades_stream(partition)], b"stream") | {mirrors[0]: b"hash"}
    if role == MIRROR_RESULTS:
        return dict.fromkeys([results_stream(partition)], b"stream") | {mirrors[1]: b"hash"}
    streams = (trades_stream, live_stream, results_stream, signals_stream, unified_stream)
    states = (prices_key, gaps_key, unified_key)
    hashes = (owner_key(CANDLES_ROLE, partition), *mirrors, *[name(partition) for name in states])
    return dict.fromkeys([name(partition) for name in streams], b"stream") | dict.fromkeys(hashes, b"hash")
