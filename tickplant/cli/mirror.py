"""`tickplant mirror`: one mirror process."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Final

from tickplant import interrupts

HELP: Final = "run one mirror process: from Redis to Kafka"

DESCRIPTION: Final = """\
Mirror trades, closed candles, signals and alerts to Kafka (pip install -e '.[kafka]').

Topics are created if missing: PREFIXtrades, PREFIXcandles, PREFIXsignals, PREFIXalerts. Records are keyed by
venue:symbol, so all records of a symbol are in one partition, in order; the header `entry` names the stream
entry of a record. Delivery is at least once: after a crash, or if a trade was received twice, records repeat;
deduplicate by venue, symbol and trade_id. A candle is sent when it closes, and again when it becomes complete
or a late trade changes it.

The first run starts with the data that Redis holds. A slow or unavailable Kafka does not slow anything else.
Redis retains records that Kafka has not acknowledged, up to TICKPLANT_KAFKA_BUDGET_MB per partition, even
while no mirror runs; older records are then skipped, and the skip is logged. If you no longer need the
mirror, --forget frees that space.

Run any number of mirrors: they share the partitions, as workers do.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_KAFKA_BOOTSTRAP, TICKPLANT_KAFKA_PROPERTIES, TICKPLANT_KAFKA_PREFIX,
  TICKPLANT_KAFKA_FORMAT, TICKPLANT_KAFKA_PARTITIONS, TICKPLANT_KAFKA_BUDGET_MB; TICKPLANT_REDIS_URL,
  TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`), TICKPLANT_PARTITIONS,
  TICKPLANT_LEASE_S, TICKPLANT_METRICS_HOST, TICKPLANT_METRICS_PORT, TICKPLANT_LOG_LEVEL

examples:
  TICKPLANT_KAFKA_BOOTSTRAP=127.0.0.1:9092 tickplant mirror
  kcat -b 127.0.0.1:9092 -t tickplant.trades -f '%k %h %s\\n'
  tickplant mirror --forget
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--forget",
        action="store_true",
        help="discard what has not been mirrored, stop retaining data in Redis for the mirror, and exit",
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        FatalError: it can't continue; the message says how to fix it.
    """
    from tickplant.cli.kafka import kafka_properties, require_kafka
    from tickplant.local.addresses import running_database, running_redis
    from tickplant.probes import ServiceReadiness
    from tickplant.service import run_service
    from tickplant.settings_reader import read_settings

    settings = read_settings()
    redis_url, database_url = running_redis(settings), running_database(settings)
    if args.forget:
        from workers.mirror.forgetting import forget_mirror

        interrupts.run(
            forget_mirror(redis_url=redis_url, database_url=database_url, partitions=settings.partitions)
        )
        print("the mirror's state is deleted: Redis retains nothing for it")
        return 0
    require_kafka(settings)
    from workers.mirror import service

    kafka = service.KafkaSettings(
        properties=kafka_properties(settings),
        prefix=settings.kafka_prefix,
        format=settings.kafka_format,
        topic_partitions=settings.kafka_partitions,
        budget_bytes=settings.kafka_budget_mb * 1_000_000,
    )

    readiness = ServiceReadiness()

    async def work(stop: asyncio.Event) -> None:
        await service.run(
            redis_url=redis_url,
            database_url=database_url,
            partitions=settings.partitions,
            lease_s=settings.lease_s,
            kafka=kafka,
            readiness=readiness,
            stop=stop,
        )

    return run_service("mirror", work, settings, readiness=readiness)
