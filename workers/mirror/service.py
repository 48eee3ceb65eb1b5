"""The mirror service: owns partitions under two kinds of leases, and mirrors them until it is stopped."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from db.leases import Lease
from db.pool import REFUSED, database_error, open_pool
from tickplant.redis_client import agree_on_partitions, open_redis
from tickplant.streams import MIRROR_RESULTS, MIRROR_ROLES, MIRROR_TRADES
from workers.mirror.kafka import KafkaProducer
from workers.mirror.partition import MirrorPartition
from workers.mirror.records import Encoder, Format, Things, results_in, trades_in
from workers.mirror.source import MirrorStream
from workers.mirror.topics import Topics
from workers.runtime import Runtime, name_owner

_CONNECTIONS = 4

_THINGS: Mapping[str, Things] = {MIRROR_TRADES: trades_in, MIRROR_RESULTS: results_in}


async def run(
    *,
    redis_url: str,
    database_url: str,
    partitions: int,
    lease_s: float,
    properties: Mapping[str, Any],
    prefix: str,
    format: Format,
    topic_partitions: int,
    budget_bytes: int,
    stop: asyncio.Event,
) -> None:
    """Mirror to Kafka until `stop` is set.

    Args:
        redis_url: where the streams are.
        database_url: where the leases are.
        partitions: how many streams of a kind there are.
        lease_s: how long a lease lasts unless renewed.
        properties: librdkafka's, `bootstrap.servers` among them.
        prefix: of the topics' names.
        format: of the records' values.
        topic_partitions: of topics that are created.
        budget_bytes: how much of each stream may be held for the mirror.
        stop: ends it.

    Raises:
        FatalError: the database or Kafka refuses; the message says what to do.
    """
    redis = open_redis(redis_url)
    owner = name_owner()
    encoder = Encoder(prefix=prefix, format=format)

    async def probe() -> None:
        await agree_on_partitions(redis, partitions)

    try:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                open_pool(
                    database_url,
                    size=_CONNECTIONS,
                    eager=False,
                    application=f"tickplant mirror {os.getpid()}",
                )
            )
            topics = Topics(properties, encoder.topics, partitions=topic_partitions)
            kafka = KafkaProducer(properties)
            await stack.enter_async_context(kafka.polling())

            def make(lease: Lease) -> MirrorPartition:
                return MirrorPartition(
                    lease=lease,
                    pool=pool,
                    source=MirrorStream(redis, lease, budget_bytes=budget_bytes),
                    things=_THINGS[lease.role],
                    encoder=encoder,
                    kafka=kafka,
                    topics=topics,
                )

            async with asyncio.TaskGroup() as group:
                for role in MIRROR_ROLES:
                    runtime = Runtime(
                        role=role,
                        owner=owner,
                        partitions=partitions,
                        lease_s=lease_s,
                        pool=pool,
                        probe=probe,
                        make=make,
                    )
                    group.create_task(runtime.run(stop))
    except* REFUSED as errors:
        raise database_error(errors.exceptions[0]) from errors
    finally:
        await redis.aclose()
