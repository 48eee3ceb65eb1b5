"""The one way to open Redis, and which of its errors mean that it is away."""

from typing import Any, Final

from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tickplant.errors import FatalError
from tickplant.streams import PARTITIONS

RedisClient = Redis

OUTAGE: Final = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError)
"""Redis can't be reached or isn't ready; whether a command under way was carried out is unknown."""

_PASSING: Final = (
    OutOfMemoryError,
    ReadOnlyError,
    BusyLoadingError,
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
)
_PASSING_WORDS: Final = (
    "MISCONF",
    "LOADING",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "UNBLOCKED",
)


def open_redis(url: str, *, timeout_s: float = 10.0) -> Redis:
    """Return a client that connects on its first command.

    Commands are not retried behind the caller's back: whether a lost write may be repeated is the caller's
    to decide. Answers come as bytes.

    Args:
        url: redis:// or unix:// address; valkey:// is taken for redis://.
        timeout_s: longest wait for an answer, and for a connection; blocking reads must be shorter.
    """
    client: Any = Redis.from_url(
        url.replace("valkey://", "redis://", 1),
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=10_000,
    )
    assert isinstance(client, Redis)
    return client


async def agree_on_partitions(redis: Redis, partitions: int) -> None:
    """Make sure that all processes on this Redis count the same partitions; the first one decides.

    Raises:
        FatalError: another number is in use.
    """
    agreed: Any = await redis.set(PARTITIONS, partitions, nx=True, get=True)
    if agreed is not None and int(agreed) != partitions:
        raise FatalError(
            f"TICKPLANT_PARTITIONS is {partitions}, but what is in Redis was written with {int(agreed)}:"
            " set the same number everywhere"
        )


def is_passing(error: BaseException) -> bool:
    """Say whether an error will pass by waiting: an outage, a full memory or disk, a server still loading."""
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, ResponseError | RedisError) and str(error).startswith(_PASSING_WORDS)
