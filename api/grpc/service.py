"""The gRPC service: serves until it is stopped."""

import asyncio
import logging

from api.app import Services
from api.grpc.server import serving
from api.live.gate import WebsocketLimits
from api.live.stream_gate import StreamGate
from api.open_services import ServerSettings, ServiceSettings, open_services
from tickplant.probes import ServiceReadiness

_log = logging.getLogger(__name__)

_QUEUE_BYTES = 1024 * 1024
"""The most that is queued for a stream whose client reads slowly; gRPC itself holds some 100 kB besides."""


async def run(
    settings: ServiceSettings, server: ServerSettings, *, readiness: ServiceReadiness, stop: asyncio.Event
) -> None:
    """Serve gRPC until `stop` is set; then streams end with UNAVAILABLE, and calls are completed.

    Redis and the database may be unavailable at any time, also at the start.

    Raises:
        FatalError: the port is in use.
        SettingsError: other machines can reach the API, and there is no API key; or the files of TLS can't be
            used.
    """
    limits = grpc_limits(server.max_clients, server.max_clients_per_address)
    async with open_services(settings, limits, stop) as services:
        gate = stream_gate(services, limits)
        async with serving(
            services,
            gate,
            host=server.host,
            port=server.port,
            proxies=server.proxies,
            tls=server.tls,
            most_streams=server.max_clients,
            readiness=readiness,
        ) as bound:
            _log.info("serving gRPC on %s:%d%s", server.host, bound, " with TLS" if server.tls else "")
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
