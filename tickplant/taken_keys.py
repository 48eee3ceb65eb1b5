"""Finds keys that another program has taken: they hold another type than tickplant writes."""

from collections.abc import Iterable
from typing import Final

from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.streams import (
    MIRROR_RESULTS,
    MIRROR_TRADES,
    owner_key,
    partition_hashes,
    partition_streams,
    results_stream,
    trades_stream,
)

REMEDY: Final = "rename or delete it"

_MIRRORED: Final = {MIRROR_TRADES: trades_stream, MIRROR_RESULTS: results_stream}
"""The stream that each role of the mirror reads."""


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
    streams, hashes = partition_streams(partition), partition_hashes(partition)
    if role in _MIRRORED:
        streams, hashes = [_MIRRORED[role](partition)], [owner_key(role, partition)]
    return dict.fromkeys(streams, b"stream") | dict.fromkeys(hashes, b"hash")
