"""Reads the states of venue connections, as ingest last reported them."""

from typing import Any, Final

from tickplant import metrics
from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.redis_client import RedisClient
from tickplant.streams import CONNECTIONS
from tickplant.wire import ConnectionStatus, decode_connection

_EXPIRED_US: Final = 60_000_000


class Connections:
    """Reads the states of venue connections."""

    def __init__(self, redis: RedisClient) -> None:
        """Read with a client, which the caller closes."""
        self._redis: Any = redis

    async def read(self) -> list[ConnectionStatus]:
        """Return all connections in order of name, without those that were not reported for a while.

        A process that was killed can't remove its last report.

        Raises:
            RedisError: one of `tickplant.redis_client.OUTAGE`.
        """
        reports = await self._redis.hgetall(CONNECTIONS)
        connections = [_decode(reports[name]) for name in sorted(reports)]
        return [
            connection
            for connection in connections
            if connection is not None and now_us() - connection.reported_at_us < _EXPIRED_US
        ]


def _decode(payload: bytes) -> ConnectionStatus | None:
    try:
        return decode_connection(payload)
    except PoisonError:
        metrics.API_POISON.inc()
        return None
