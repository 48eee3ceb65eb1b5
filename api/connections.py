"""Venue connections, as the processes that hold them last told."""

from typing import Any

import msgspec

from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.streams import CONNECTIONS
from tickplant.wire import Connection, decode_connection


class Connections:
    """Reads of the states of venue connections."""

    def __init__(self, redis: RedisClient) -> None:
        """Take a client, which stays the caller's."""
        self._redis: Any = redis

    async def read(self) -> list[Connection]:
        """Return all, in order of name; those that can't be understood are left out.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`.
        """
        found = await self._redis.hgetall(CONNECTIONS)
        return [known for name in sorted(found) if (known := _decode(found[name])) is not None]


def _decode(payload: bytes) -> Connection | None:
    try:
        return decode_connection(payload)
    except msgspec.DecodeError:
        metrics.API_POISON.inc()
        return None
