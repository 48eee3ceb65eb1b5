"""The worker service: owns partitions and works on them until told to stop."""

import asyncio
import os
import secrets
import socket

from db.leases import Lease
from db.pool import open_pool
from tickplant.redis_client import open_redis
from workers.candles import ROLE
from workers.partition import CommitPolicy, Partition
from workers.runtime import Runtime

_MOST_CONNECTIONS = 12


async def run(
    *,
    redis_url: str,
    database_url: str,
    partitions: int,
    commit_interval_ms: int,
    commit_trades: int,
    lease_s: float,
    stop: asyncio.Event,
) -> None:
    """Turn stream entries into committed rows until `stop` is set."""
    policy = CommitPolicy(commit_interval_ms / 1000, commit_trades)
    redis = open_redis(redis_url)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    size = min(partitions + 2, _MOST_CONNECTIONS)
    try:
        async with open_pool(database_url, size=size, application="tickplant worker") as pool:

            def make(lease: Lease) -> Partition:
                return Partition(lease=lease, partitions=partitions, pool=pool, redis=redis, policy=policy)

            runtime = Runtime(
                role=ROLE, owner=owner, partitions=partitions, lease_s=lease_s, pool=pool, make=make
            )
            await runtime.run(stop)
    finally:
        await redis.aclose()
