"""`tickplant worker`: one worker process."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Final

HELP: Final = "run one worker process: from Redis into the database"

DESCRIPTION: Final = """\
Turn trades in Redis into committed trades and candles in the database.

Run any number of workers, on any machine that can reach both servers: they share the partitions. When one
fails, the others take over within TICKPLANT_LEASE_S; when one is stopped, they take over at once.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of a running `tickplant up`),
  TICKPLANT_PARTITIONS, TICKPLANT_LEASE_S, TICKPLANT_COMMIT_INTERVAL_MS, TICKPLANT_COMMIT_TRADES,
  TICKPLANT_ROLES, TICKPLANT_GAP_WAIT_S, TICKPLANT_METRICS_HOST, TICKPLANT_METRICS_PORT,
  TICKPLANT_LOG_LEVEL, and those of averages, strategies, the bot, webhooks and notifications in .env.example

examples:
  tickplant worker                        one more worker for a running `tickplant up`
  TICKPLANT_REDIS_URL=redis://a:6379 TICKPLANT_DATABASE_URL=postgresql://b/tickplant tickplant worker
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from tickplant.cli.roles import role_settings
    from tickplant.local.addresses import running_database, running_redis
    from tickplant.probes import ServiceReadiness
    from tickplant.service import run_service
    from tickplant.settings_reader import read_settings
    from workers import service

    settings = read_settings()
    roles = role_settings(settings)
    redis_url, database_url = running_redis(settings), running_database(settings)
    readiness = ServiceReadiness()

    async def work(stop: asyncio.Event) -> None:
        await service.run(
            redis_url=redis_url,
            database_url=database_url,
            partitions=settings.partitions,
            commit_interval_ms=settings.commit_interval_ms,
            commit_trades=settings.commit_trades,
            lease_s=settings.lease_s,
            stream_keep_s=settings.stream_keep_s,
            roles=roles,
            webhooks=settings.webhooks,
            notifications=settings.notifications,
            readiness=readiness,
            stop=stop,
        )

    return run_service("worker", work, settings, readiness=readiness)
