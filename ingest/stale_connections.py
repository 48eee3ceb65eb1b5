"""Removes connections of crashed processes from Redis."""

import asyncio
import contextlib
from typing import Any, Final

from redis.exceptions import RedisError

from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.streams import CONNECTIONS
from tickplant.wire import decode_connection

INTERVAL_S: Final = 60.0
_STALE_US: Final = 3_600_000_000
"""The API ignores connections that were not updated for a minute; their removal only saves memory."""

# KEYS: connections. ARGV: name, value. Does nothing if the connection has been updated.
_REMOVE: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""


async def remove_stale_connections(
    redis: RedisClient, stop: asyncio.Event, *, interval_s: float = INTERVAL_S
) -> None:
    """Periodically remove connections that were not updated for an hour, until `stop` is set."""
    while not stop.is_set():
        with contextlib.suppress(*OUTAGE, RedisError):  # the writers report outages
            await _remove(redis)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval_s)


async def _remove(redis: Any) -> None:
    for name, payload in (await redis.hgetall(CONNECTIONS)).items():
        if _is_stale(payload):
            await redis.eval(_REMOVE, 1, CONNECTIONS, name, payload)


def _is_stale(payload: bytes) -> bool:
    # A time far in the future was written by a wrong clock and would never become stale.
    try:
        return abs(now_us() - decode_connection(payload).reported_at_us) > _STALE_US
    except PoisonError:  # written by another version
        return False
