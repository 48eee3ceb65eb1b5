"""Metrics of stream lengths, measured by ingest so that they are exposed while workers are down."""

import asyncio
import contextlib
from typing import Final

from redis.exceptions import RedisError

from tickplant import metrics
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.streams import trades_stream

INTERVAL_S: Final = 2.0


async def measure_streams(redis: RedisClient, partitions: int, stop: asyncio.Event) -> None:
    """Measure the length of each partition's stream periodically, until `stop` is set."""
    while not stop.is_set():
        with contextlib.suppress(*OUTAGE, RedisError):  # the writers report outages
            await _measure(redis, partitions)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL_S)


async def _measure(redis: RedisClient, partitions: int) -> None:
    commands = [("XLEN", trades_stream(partition)) for partition in range(partitions)]
    for partition, length in enumerate(await redis.try_exchange(*commands)):
        if isinstance(length, Exception):
            continue
        metrics.INGEST_STREAM_ENTRIES.labels(partition).set(length)
