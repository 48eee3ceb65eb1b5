"""`tickplant ingest`: one ingest process."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Final

HELP: Final = "run one ingest process: from the venues' sockets into Redis"

DESCRIPTION: Final = """\
Receive the trades of all symbols from their venues and write them to the partition streams in Redis.

Only Redis is required. While Redis is unavailable, frames are buffered in memory, up to
TICKPLANT_INGEST_BUFFER_MB. When the buffer is full, or when workers lag by more than
TICKPLANT_STREAM_BUDGET_TRADES per partition, ingest stops reading its sockets.

Several ingest processes share the symbols out if each has its own TICKPLANT_INGEST_SHARD: 0/3, 1/3 and 2/3
for three of them, with the same TICKPLANT_SYMBOLS. Without it each receives all symbols, and duplicates are
stored once.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_SYMBOLS, TICKPLANT_INGEST_SHARD, TICKPLANT_REDIS_URL (or the server of a running
  `tickplant up`), TICKPLANT_PARTITIONS, TICKPLANT_STREAM_BUDGET_TRADES, TICKPLANT_INGEST_BUFFER_MB,
  TICKPLANT_FINNHUB_API_KEY (or _FILE),
  TICKPLANT_<VENUE>_WS_URL, TICKPLANT_<VENUE>_REST_URL, TICKPLANT_METRICS_HOST, TICKPLANT_METRICS_PORT,
  TICKPLANT_LOG_LEVEL

examples:
  tickplant ingest
  TICKPLANT_SYMBOLS="binance:SOLUSDT binance:XRPUSDT" tickplant ingest
  TICKPLANT_INGEST_SHARD=0/2 tickplant ingest
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from ingest import service
    from tickplant.cli.sources import expected_source, require_source_in_redis
    from tickplant.cli.venues import venue_addresses
    from tickplant.local.addresses import running_redis
    from tickplant.probes import ServiceReadiness
    from tickplant.proxies import Proxies
    from tickplant.redis_errors import retry_until_available
    from tickplant.service import run_service, run_unless_stopped
    from tickplant.settings_reader import read_settings

    settings = read_settings()
    redis_url, proxies = running_redis(settings), Proxies()
    readiness = ServiceReadiness()

    async def ingest(stop: asyncio.Event) -> None:
        source = expected_source(settings)
        agreed = retry_until_available(lambda: require_source_in_redis(redis_url, source))
        if not await run_unless_stopped(agreed, stop):
            return
        await service.run(
            redis_url=redis_url,
            wait_replicas=settings.redis_wait_replicas,
            symbols=settings.symbols,
            addresses=venue_addresses(settings),
            partitions=settings.partitions,
            stream_budget_trades=settings.stream_budget_trades,
            proxies=proxies,
            shard=settings.ingest_shard,
            readiness=readiness,
            stop=stop,
            buffer_mb=settings.ingest_buffer_mb,
        )

    return run_service("ingest", ingest, settings, readiness=readiness)
