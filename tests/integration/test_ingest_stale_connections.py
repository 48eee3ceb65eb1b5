"""What ended processes leave behind in Redis is removed."""

import asyncio
from typing import Any

from working import until

from ingest.stale_connections import remove_stale_connections
from tickplant.clock import now_us
from tickplant.redis_client import open_redis
from tickplant.streams import CONNECTIONS
from tickplant.wire import ConnectionStatus, encode_connection

HOUR_US = 3_600_000_000


async def test_connections_that_were_not_heard_of_for_long_are_removed(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    now = now_us()
    reported = {"silent": now - 2 * HOUR_US, "wrong clock": now + 20 * HOUR_US, "slow": now - HOUR_US // 2}
    for name, reported_at_us in reported.items():
        connection = ConnectionStatus(name, "binance", ("BTCUSDT",), "live", 0, reported_at_us=reported_at_us)
        await redis.hset(CONNECTIONS, name, encode_connection(connection))
    await redis.hset(CONNECTIONS, "of another version", b"\xc1")
    stop = asyncio.Event()
    task = asyncio.create_task(remove_stale_connections(redis, stop, interval_s=0.01))

    async def removed() -> bool:
        return {b"slow", b"of another version"} == set(await redis.hkeys(CONNECTIONS))

    await until(removed, "connections removed")
    stop.set()
    await task
    await redis.aclose()
