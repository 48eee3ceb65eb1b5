"""Removal of a mirror's leases and state; needs no Kafka client."""

from db.leases import delete_leases
from db.pool import REFUSED, database_error, open_pool
from tickplant.errors import FatalError
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import open_redis
from tickplant.streams import MIRROR_ROLES, owner_key, results_stream


async def forget_mirror(*, redis_url: str, database_url: str, partitions: int) -> None:
    """Delete the mirror's leases, positions and results streams, so that Redis retains nothing for it.

    Raises:
        FatalError: a mirror is running.
    """
    redis = open_redis(redis_url)
    try:
        await agree_on_partitions(redis, partitions)
        async with open_pool(database_url, size=1, application="tickplant mirror --forget") as pool:
            forgotten = await delete_leases(pool, MIRROR_ROLES)
        if not forgotten:
            raise FatalError("a mirror is running: stop it first")
        keys = [owner_key(role, partition) for role in MIRROR_ROLES for partition in range(partitions)]
        await redis.exchange(*[("DEL", key) for key in (*keys, *map(results_stream, range(partitions)))])
    except REFUSED as error:
        raise database_error(error) from error
    finally:
        await redis.aclose()
