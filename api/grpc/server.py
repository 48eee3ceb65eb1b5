"""The gRPC server: its port, its limits, TLS, health and reflection."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from api.app import Services
from api.grpc.alerts import Alerts
from api.grpc.calls import Frame
from api.grpc.market_data import MarketData
from api.http.tls import ServerTls, TlsFiles
from api.live.gate import MESSAGE_BYTES
from api.live.stream_gate import StreamGate
from tickplant.api.v1 import alerts_pb2, market_data_pb2
from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.probes import ServiceReadiness

_log = logging.getLogger(__name__)

_STOP_S: Final = 5.0
"""How long clients may take to read the end of their calls when the server stops."""
_PING_S: Final = 20
"""How often connections get a ping, and how long they may take to answer it."""
_LEAST_PING_S: Final = 5
"""How often a client may send pings."""
_METADATA_BYTES: Final = 16 * 1024
HEALTH_S: Final = 1.0
"""How often the state of health is looked at."""

_MARKET_DATA: Final = market_data_pb2.DESCRIPTOR.services_by_name["MarketData"]
_ALERTS: Final = alerts_pb2.DESCRIPTOR.services_by_name["Alerts"]
SERVICES: Final = (_MARKET_DATA.full_name, _ALERTS.full_name)

_health: Final = health_pb2.HealthCheckResponse


class _Brief(logging.Filter):
    """What clients send to the library's own services may be malformed: one line of it is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the traceback."""
        record.exc_info = record.exc_text = None
        return True


@asynccontextmanager
async def serving(
    services: Services,
    gate: StreamGate,
    *,
    host: str,
    port: int,
    proxies: Sequence[str] = (),
    tls: TlsFiles | None = None,
    most_streams: int,
    readiness: ServiceReadiness | None = None,
) -> AsyncIterator[int]:
    """Serve in the background; yields the port, and stops gracefully at the end.

    Args:
        services: what calls are answered from.
        gate: admits streams.
        host: the address to listen on.
        port: the port; 0 for any free one.
        proxies: addresses and networks whose X-Forwarded-For counts.
        tls: the certificate and its key; None: no TLS.
        most_streams: how many calls one connection may have at a time.
        readiness: is told whether calls can be answered; None: nobody is, besides clients that ask.

    Raises:
        FatalError: the port is in use.
        SettingsError: the files of TLS can't be used.
    """
    secure = ServerTls(tls) if tls else None
    logging.getLogger("grpc").addFilter(_Brief())
    logging.getLogger("grpc._cython.cygrpc").addFilter(_Brief())
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # or a second server on the port would take half of the clients
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_metadata_size", _METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
            ("grpc.max_concurrent_streams", most_streams),
            ("grpc.keepalive_time_ms", _PING_S * 1000),
            ("grpc.keepalive_timeout_ms", _PING_S * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_S * 1000),
        ]
    )
    frame = Frame(services.access, proxies)
    handlers = [
        frame.handlers(_MARKET_DATA, MarketData(services, gate), "read"),
        frame.handlers(_ALERTS, Alerts(services), "alerts"),
    ]
    server.add_generic_rpc_handlers(handlers)
    healths = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healths, server)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    state = _State(healths, readiness or ServiceReadiness())
    await state.set(serving_now=services.hub.live)
    bound = _bind(server, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls, secure)
    await server.start()
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(background(state.watch(services)))
            if secure is not None:
                await stack.enter_async_context(background(secure.run()))
            yield bound
    finally:
        await state.stop()
        gate.stop()
        await server.stop(_STOP_S)


def _bind(server: Any, address: str, tls: TlsFiles | None, secure: ServerTls | None) -> int:
    try:
        if tls is None or secure is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, _credentials(tls, secure)))
    except RuntimeError as error:
        raise FatalError(
            f"can't listen on {address}: the port is in use, or the address is none of this machine; set"
            " TICKPLANT_GRPC_PORT, or TICKPLANT_GRPC_HOST"
        ) from error


def _credentials(files: TlsFiles, secure: ServerTls) -> grpc.ServerCredentials:
    """Return credentials that new connections get from the files as they were last loaded."""
    given = secure.loaded

    def changed() -> Any:
        """Return the content of files that have been loaded again; None if they haven't."""
        nonlocal given
        if secure.loaded == given:
            return None
        given = secure.loaded
        return _configuration(files)

    return grpc.dynamic_ssl_server_credentials(_configuration(files), changed)


def _configuration(files: TlsFiles) -> Any:
    certificate = files.certificate.read_bytes()
    key = Path(files.key or files.certificate).read_bytes()
    return grpc.ssl_server_certificate_configuration([(key, certificate)])


class _State:
    """Whether calls can be answered, as clients and probes ask for it."""

    def __init__(self, healths: Any, readiness: ServiceReadiness) -> None:
        self._healths = healths
        self._readiness = readiness

    async def watch(self, services: Services) -> None:
        """Report whether Redis, the database and live updates are there, until cancelled."""
        failed = False
        while True:
            try:
                await self.set(serving_now=await services.health.can_serve())
                failed = False
            except Exception:  # noqa: BLE001 - the boundary of a task
                if not failed:
                    _log.exception("whether calls can be answered is unknown")
                failed = True
                await self.set(serving_now=False)
            await asyncio.sleep(HEALTH_S)

    async def set(self, *, serving_now: bool) -> None:
        """Report whether calls can be answered."""
        for name in ("", *SERVICES):
            await self._healths.set(name, _health.SERVING if serving_now else _health.NOT_SERVING)
        problem = None if serving_now else "Redis, the database or live updates are unavailable"
        self._readiness.note("gRPC", problem)

    async def stop(self) -> None:
        """Report that no calls are answered from now on."""
        await self._healths.enter_graceful_shutdown()
        self._readiness.note("gRPC", "it is stopping")
