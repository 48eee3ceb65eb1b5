"""The mirror service: owns partitions under two kinds of leases, and mirrors them until it is stopped."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from db.leases import Lease
from db.pool import REFUSED, Pool, database_error, open_pool
from tickplant.background import background
from tickplant.probes import ServiceReadiness
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import MIRROR_RESULTS, MIRROR_ROLES, MIRROR_TRADES
from workers.mirror.kafka import KafkaProducer
from workers.mirror.partition import MirrorPartition
from workers.mirror.records import Encoder, Extract, Format, extract_results, extract_trades
from workers.mirror.source import MirrorStream
from workers.mirror.topics import Topics
from workers.runtime import Runtime, name_owner

_CONNECTIONS: Final = 4

_EXTRACT: Final[Mapping[str, Extract]] = {MIRROR_TRADES: extract_trades, MIRROR_RESULTS: extract_results}


class KafkaSettings(NamedTuple):
    """How trades and results are mirrored."""

    properties: Mapping[str, Any]
    """Of librdkafka, `bootstrap.servers` among them."""
    prefix: str
    """Of the topics' names."""
    format: Format
    """Of the records' values."""
    topic_partitions: int
    """Of each topic that is created."""
    budget_bytes: int
    """How much of each stream Redis may retain for the mirror."""


async def run(
    *,
    redis_url: str,
    database_url: str,
    partitions: int,
    lease_s: float,
    kafka: KafkaSettings,
    readiness: ServiceReadiness | None = None,
    stop: asyncio.Event,
) -> None:
    """Mirror to Kafka until `stop` is set.

    Args:
        redis_url: of the streams.
        database_url: of the leases.
        partitions: how many streams of a kind there are.
        lease_s: how long a lease lasts unless renewed.
        kafka: how to mirror.
        readiness: is told when the service can do its work.
        stop: ends it.

    Raises:
        FatalError: the database or Kafka refuses; the message says what to do.
    """
    redis = open_redis(redis_url)
    owner, application = name_owner(), f"tickplant mirror {os.getpid()}"

    try:
        async with open_pool(database_url, size=_CONNECTIONS, eager=False, application=application) as pool:
            producer = KafkaProducer(kafka.properties)
            make = _factory(pool, redis, kafka, producer)
            async with background(producer.poll()), asyncio.TaskGroup() as group:
                for role in MIRROR_ROLES:
                    runtime = Runtime(
                        role=role,
                        owner=owner,
                        partitions=partitions,
                        lease_s=lease_s,
                        pool=pool,
                        redis=redis,
                        make=make,
                        readiness=readiness,
                    )
                    group.create_task(runtime.run(stop))
    except* REFUSED as errors:
        raise database_error(errors.exceptions[0]) from errors
    finally:
        await redis.aclose()


def _factory(
    pool: Pool, redis: RedisClient, kafka: KafkaSettings, producer: KafkaProducer
) -> Callable[[Lease], MirrorPartition]:
    """Return a function that builds the work on the stream of a lease."""
    encoder = Encoder(prefix=kafka.prefix, format=kafka.format)
    topics = Topics(kafka.properties, encoder.topics, partitions=kafka.topic_partitions)

    def make(lease: Lease) -> MirrorPartition:
        return MirrorPartition(
            lease=lease,
            pool=pool,
            source=MirrorStream(redis, lease, budget_bytes=kafka.budget_bytes),
            extract=_EXTRACT[lease.role],
            encoder=encoder,
            kafka=producer,
            topics=topics,
        )

    return make
