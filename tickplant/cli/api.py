"""`tickplant api`: one API process."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Final

HELP: Final = "run one API process: REST and websockets"

DESCRIPTION: Final = """\
Serve prices, trades and candles: history over REST, live updates over websockets.

Run any number of API processes behind a load balancer; they share only Redis and the database.
The page is at /, the API documentation at /docs.

On loopback everybody may do everything. On other addresses requests need an API key (`tickplant keys`), and
the command is refused as long as there is none, unless TICKPLANT_PUBLIC=read lets everybody read.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_API_HOST, TICKPLANT_API_PORT, TICKPLANT_API_HOSTS, TICKPLANT_API_ORIGINS,
  TICKPLANT_PUBLIC, TICKPLANT_API_RATE_REQUESTS, TICKPLANT_API_RATE_WINDOW_S,
  TICKPLANT_API_TLS_CERT, TICKPLANT_API_TLS_KEY, TICKPLANT_API_PROXIES,
  TICKPLANT_API_MAX_CLIENTS, TICKPLANT_API_MAX_CLIENTS_PER_ADDRESS, TICKPLANT_ALERTS_PER_USER,
  TICKPLANT_WEBHOOK_SECRET, TICKPLANT_WEBHOOK_ALLOW, TICKPLANT_NOTIFY,
  TICKPLANT_SYMBOLS, TICKPLANT_PARTITIONS, TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of
  a running `tickplant up`), TICKPLANT_DATABASE_READ_URL, TICKPLANT_LOG_LEVEL

examples:
  tickplant api
  TICKPLANT_API_HOST=0.0.0.0 TICKPLANT_PUBLIC=read tickplant api
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from api import service
    from tickplant.cli.api_settings import server_settings, service_settings
    from tickplant.service import run_service
    from tickplant.settings_reader import read_settings

    settings = read_settings()
    services = service_settings(settings, host=settings.api_host, host_setting="TICKPLANT_API_HOST")
    server = server_settings(settings, host=settings.api_host, port=settings.api_port)

    async def serve(stop: asyncio.Event) -> None:
        await service.run(services, server, origins=settings.api_origins, hosts=settings.api_hosts, stop=stop)

    return run_service("api", serve, settings)
