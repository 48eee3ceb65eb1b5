"""Venue connections, as the processes that hold them last told."""

from typing import Any, Final

import msgspec

from tickplant import metrics
from tickplant.clock import now_us
from tickplant.redis_client import RedisClient
from tickplant.streams import CONNECTIONS
from tickplant.wire import ConnectionStatus, decode_connection

_FORGOTTEN_US: Final = 60_000_000


class Connections:
    """Reads of the states of venue connections."""

    def __init__(self, redis: RedisClient) -> None:
        """Take a client, which stays the caller's."""
        self._redis: Any = redis

    async def read(self) -> list[ConnectionStatus]:
        """Return all, in order of name, but those whose holder has not been heard of for a while.

        One that was killed can't take back what it said last.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`.
        """
        found = await self._redis.hgetall(CONNECTIONS)
        known = [connection for name in sorted(found) if (connection := _decode(found[name])) is not None]
        return [connection for connection in known if now_us() - connection.told_us < _FORGOTTEN_US]


def _decode(payload: bytes) -> ConnectionStatus | None:
    try:
        return decode_connection(payload)
    except msgspec.DecodeError:
        metrics.API_POISON.inc()
        return None
