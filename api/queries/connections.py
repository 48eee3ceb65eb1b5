"""Reads the states of venue connections, as ingest last reported them."""

from typing import Any, Final

from redis.exceptions import RedisError

from tickplant import metrics
from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import is_wrong_type
from tickplant.redis_values import RedisValues
from tickplant.streams import CONNECTIONS
from tickplant.wire import ConnectionStatus, decode_connection

_EXPIRED_US: Final = 60_000_000


class Connections:
    """Reads the states of venue connections."""

    def __init__(self, redis: RedisClient) -> None:
        """Read with a client, which the caller closes."""
        self._redis: Any = redis
        self._values = RedisValues()

    async def read(self) -> list[ConnectionStatus]:
        """Return all connections in order of name, without those that were not reported for a while.

        A process that was killed can't remove its last report.

        Raises:
            RedisError: one of `tickplant.redis_errors.OUTAGE`.
        """
        try:
            reports = await self._redis.hgetall(CONNECTIONS)
        except RedisError as error:
            if not is_wrong_type(error):
                raise
            self._values.note_refused(CONNECTIONS, error)
            return []
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
