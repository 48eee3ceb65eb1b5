"""The gRPC service: serves until it is stopped."""

import asyncio
import logging
from collections.abc import Collection, Sequence

from api.app import Services
from api.grpc.server import serving
from api.http.tls import TlsFiles
from api.live.gate import WebsocketLimits
from api.live.stream_gate import StreamGate
from api.service import AccessSettings, open_services
from tickplant.market import SymbolId
from tickplant.probes import ServiceReadiness
from tickplant.webhooks import WebhookSettings

_log = logging.getLogger(__name__)

_QUEUE_BYTES = 1024 * 1024
"""The most that is queued for a stream whose client reads slowly; gRPC itself holds some 100 kB besides."""


async def run(
    *,
    redis_url: str,
    database_url: str,
    database_read_url: str | None,
    host: str,
    port: int,
    partitions: int,
    symbols: Sequence[SymbolId],
    access: AccessSettings,
    proxies: Sequence[str],
    tls: TlsFiles | None,
    max_clients: int,
    max_clients_per_address: int,
    alerts_per_user: int,
    webhooks: WebhookSettings,
    notify_tags: Collection[str],
    readiness: ServiceReadiness,
    stop: asyncio.Event,
) -> None:
    """Serve gRPC until `stop` is set; then streams end with UNAVAILABLE, and calls are completed.

    Redis and the database may be unavailable at any time, also at the start.

    Raises:
        FatalError: the port is in use.
        SettingsError: other machines can reach the API, and there is no API key; or the files of TLS can't be
            used.
    """
    limits = grpc_limits(max_clients, max_clients_per_address)
    async with open_services(
        redis_url=redis_url,
        database_url=database_url,
        database_read_url=database_read_url,
        partitions=partitions,
        symbols=symbols,
        limits=limits,
        alerts_per_user=alerts_per_user,
        webhooks=webhooks,
        notify_tags=notify_tags,
        access=access,
        stop=stop,
    ) as services:
        gate = stream_gate(services, limits)
        async with serving(
            services,
            gate,
            host=host,
            port=port,
            proxies=proxies,
            tls=tls,
            most_streams=max_clients,
            readiness=readiness,
        ) as bound:
            _log.info("serving gRPC on %s:%d%s", host, bound, " with TLS" if tls else "")
            await stop.wait()


def grpc_limits(clients: int, per_address: int) -> WebsocketLimits:
    """Return the limits of streams: at a time, and of one address."""
    return WebsocketLimits(clients=clients, per_address=per_address, queue_bytes=_QUEUE_BYTES)


def stream_gate(services: Services, limits: WebsocketLimits) -> StreamGate:
    """Return the gate of streams."""
    return StreamGate(
        hub=services.hub,
        directory=services.directory,
        access=services.access,
        admitted=services.websocket_gate.admitted,
        max_channels=limits.channels,
    )
