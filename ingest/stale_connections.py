"""Removes what processes that have ended without a word left in the hash of connections."""

import asyncio
import contextlib
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from tickplant.clock import now_us
from tickplant.redis_client import OUTAGE, RedisClient
from tickplant.streams import CONNECTIONS
from tickplant.wire import decode_connection

INTERVAL_S: Final = 60.0
_GONE_US: Final = 3_600_000_000
"""The API leaves a connection out that was not heard of for a minute; this only saves memory."""

# KEYS: connections. ARGV: name, value. Nothing where the connection has been heard of since.
_REMOVE: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""


async def remove_stale_connections(
    redis: RedisClient, stop: asyncio.Event, *, interval_s: float = INTERVAL_S
) -> None:
    """Remove connections that were not heard of for an hour, now and again, until `stop` is set."""
    while not stop.is_set():
        with contextlib.suppress(*OUTAGE, RedisError):  # whoever writes to Redis reports outages
            await _remove(redis)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval_s)


async def _remove(redis: Any) -> None:
    for name, payload in (await redis.hgetall(CONNECTIONS)).items():
        if _is_gone(payload):
            await redis.eval(_REMOVE, 1, CONNECTIONS, name, payload)


def _is_gone(payload: bytes) -> bool:
    # A time far ahead was written by a clock that was wrong: it would never be old.
    try:
        return abs(now_us() - decode_connection(payload).told_us) > _GONE_US
    except msgspec.DecodeError:  # of a version that this one doesn't understand
        return False
