"""`tickplant grpc`: one gRPC process."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from typing import Final

HELP: Final = "run one gRPC process: live and stored market data, and alerts"

DESCRIPTION: Final = """\
Serve gRPC (pip install -e '.[grpc]'): streams of candles and trades that resume at a cursor, history, prices
and alerts. The schema is in schema/tickplant/api/v1; docs/grpc.md has clients.

Run any number of gRPC processes behind a load balancer; they share only Redis and the database. Health
(grpc.health.v1) and reflection are served without a key.

Who may call is decided as by `tickplant api`: on loopback everybody may do everything. On other addresses
calls need an API key (`tickplant keys`) in the metadata `authorization: Bearer KEY`, and the command is
refused as long as there is none, unless TICKPLANT_PUBLIC=read lets everybody read.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_GRPC_HOST, TICKPLANT_GRPC_PORT, TICKPLANT_PUBLIC, TICKPLANT_API_RATE_REQUESTS,
  TICKPLANT_API_RATE_WINDOW_S, TICKPLANT_API_TLS_CERT, TICKPLANT_API_TLS_KEY, TICKPLANT_API_PROXIES,
  TICKPLANT_API_MAX_CLIENTS, TICKPLANT_API_MAX_CLIENTS_PER_ADDRESS, TICKPLANT_ALERTS_PER_USER,
  TICKPLANT_WEBHOOK_SECRET, TICKPLANT_WEBHOOK_ALLOW, TICKPLANT_NOTIFY,
  TICKPLANT_SYMBOLS, TICKPLANT_PARTITIONS, TICKPLANT_REDIS_URL, TICKPLANT_DATABASE_URL (or the servers of
  a running `tickplant up`), TICKPLANT_DATABASE_READ_URL, TICKPLANT_METRICS_HOST, TICKPLANT_METRICS_PORT,
  TICKPLANT_LOG_LEVEL

examples:
  tickplant grpc
  tickplant grpc --check
  grpcurl -plaintext 127.0.0.1:50051 list
  grpcurl -plaintext -d '{"symbols": ["binance:BTCUSDT"]}' 127.0.0.1:50051 \\
      tickplant.api.v1.MarketData/StreamCandles
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="ask the server at the settings' address for its health, and exit: with 0 if it can serve",
    )


def run(args: Namespace) -> int:
    """Run the command and return its exit code.

    Raises:
        FatalError: the port is in use.
        SettingsError: the packages of gRPC are missing.
    """
    from tickplant.cli.grpc_check import ask_health, require_grpc
    from tickplant.settings_reader import read_settings

    require_grpc()
    settings = read_settings()
    if args.check:
        found = ask_health(settings)
        print(found.text)
        return 0 if found.level == "ok" else 1
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the library's core would log past our log
    from api.grpc import service
    from tickplant.cli.api_settings import server_settings, service_settings
    from tickplant.probes import ServiceReadiness
    from tickplant.service import run_service

    services = service_settings(settings, host=settings.grpc_host, host_setting="TICKPLANT_GRPC_HOST")
    server = server_settings(settings, host=settings.grpc_host, port=settings.grpc_port)
    readiness = ServiceReadiness()

    async def serve(stop: asyncio.Event) -> None:
        await service.run(services, server, readiness=readiness, stop=stop)

    return run_service("grpc", serve, settings, readiness=readiness)
