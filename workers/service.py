"""The worker service: owns partitions and processes them until it is stopped."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from db.leases import Lease
from db.pool import REFUSED, database_error, open_pool
from tickplant.background import background
from tickplant.notifications import NotificationSettings
from tickplant.probes import ServiceReadiness
from tickplant.redis_client import open_redis
from tickplant.streams import CANDLES_ROLE
from tickplant.webhooks import WebhookSettings
from workers.commit_schedule import CommitPolicy
from workers.loading import RoleSettings
from workers.notifications.delivery import deliver_notifications
from workers.partition import Partition
from workers.retention import remove_periodically
from workers.runtime import Runtime, name_owner
from workers.strategies.user_code import hide_event_loop
from workers.volume_metrics import measure_volumes
from workers.webhooks.delivery import deliver

_GC_ALLOCATIONS = 10_000
"""Objects allocated between two runs of the garbage collector.

With the default, 700, a read of thousands of symbols causes dozens of runs while its objects are in use: they
reach the oldest generation, whose collections visit the states of all symbols.
"""
_MOST_CONNECTIONS = 12
_OTHER_CONNECTIONS = 4  # for heartbeats, webhooks and notifications


async def run(
    *,
    redis_url: str,
    database_url: str,
    partitions: int,
    commit_interval_ms: int,
    commit_trades: int,
    lease_s: float,
    stream_keep_s: float,
    roles: RoleSettings,
    webhooks: WebhookSettings,
    notifications: NotificationSettings,
    readiness: ServiceReadiness | None = None,
    stop: asyncio.Event,
) -> None:
    """Process stream entries, and deliver webhooks and notifications, until `stop` is set."""
    hide_event_loop()
    gc.set_threshold(_GC_ALLOCATIONS, *gc.get_threshold()[1:])
    policy = CommitPolicy(commit_interval_ms / 1000, commit_trades)
    redis = open_redis(redis_url)
    owner = name_owner()
    size = min(partitions + _OTHER_CONNECTIONS, _MOST_CONNECTIONS)
    try:
        async with open_pool(
            database_url, size=size, eager=False, application=f"tickplant worker {os.getpid()}"
        ) as pool:

            def make(lease: Lease) -> Partition:
                return Partition(
                    lease=lease,
                    partitions=partitions,
                    pool=pool,
                    redis=redis,
                    policy=policy,
                    roles=roles,
                    keep_s=stream_keep_s,
                )

            runtime = Runtime(
                role=CANDLES_ROLE,
                owner=owner,
                partitions=partitions,
                lease_s=lease_s,
                pool=pool,
                redis=redis,
                make=make,
                readiness=readiness,
            )
            async with (
                background(remove_periodically(pool)),
                background(measure_volumes(pool)),
                _delivering(deliver(pool, webhooks, stop), stop),
                _delivering(deliver_notifications(pool, notifications, stop), stop),
            ):
                await runtime.run(stop)
    except REFUSED as error:
        raise database_error(error) from error
    finally:
        await redis.aclose()


@asynccontextmanager
async def _delivering(delivery: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Deliver in the background; on an error set `stop`, and raise it at the end."""
    task = asyncio.create_task(delivery)
    task.add_done_callback(lambda _: stop.set() if not task.cancelled() and task.exception() else None)
    try:
        yield
    finally:
        stop.set()
        await task
