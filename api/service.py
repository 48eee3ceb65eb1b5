"""The API service: serves until it is stopped."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import uvicorn
from litestar import Litestar
from litestar.routes import HTTPRoute

from api.app import Services, create_app
from api.binance.errors import with_binance_errors
from api.http.compression import compressed
from api.http.host_check import host_checked
from api.http.methods import with_head
from api.http.request_metrics import measured
from api.http.response_headers import HEADERS, with_headers
from api.http.timed_protocol import TimedProtocol
from api.http.tls import ServerTls, TlsFiles
from api.live.direct_write import DirectWriteProtocol
from api.live.gate import MESSAGE_BYTES, WebsocketLimits
from api.open_services import ServerSettings, ServiceSettings, open_services
from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.hosts import Hosts
from tickplant.network_errors import system_reason

_log = logging.getLogger(__name__)

_STOP_S: Final = 5
PING_S: Final = 20.0
"""How often websockets get a ping, and how long they may take to answer it."""


async def run(
    settings: ServiceSettings,
    server: ServerSettings,
    *,
    origins: Sequence[str],
    hosts: Sequence[str],
    stop: asyncio.Event,
) -> None:
    """Serve the API until `stop` is set; then websockets are closed with code 1012.

    Redis and the database may be unavailable at any time, also at the start.

    Args:
        settings: of the services.
        server: of the server.
        origins: those whose pages may read responses, besides the API's own; `*` for any.
        hosts: allowed hosts, besides the one that it listens on.
        stop: ends it.

    Raises:
        FatalError: the port is in use.
        SettingsError: other machines can reach the API, and there is no API key; or the files of TLS can't be
            used.
    """
    limits = WebsocketLimits(
        origins=tuple(origins), clients=server.max_clients, per_address=server.max_clients_per_address
    )
    with bind(server.host, server.port) as listener:
        async with (
            open_services(settings, limits, stop) as services,
            serving(
                services,
                listener,
                origins=origins,
                hosts=Hosts([*hosts, server.host.lower()]),
                proxies=server.proxies,
                tls=server.tls,
            ) as address,
        ):
            _log.info("serving on %s", address)
            await stop.wait()


@asynccontextmanager
async def serving(
    services: Services,
    listener: socket.socket,
    *,
    origins: Sequence[str] = (),
    hosts: Hosts | None = None,
    proxies: Sequence[str] = (),
    tls: TlsFiles | None = None,
    ping_s: float = PING_S,
    app: Litestar | None = None,
) -> AsyncIterator[str]:
    """Serve in the background; yields the address, and stops gracefully at the end.

    Args:
        services: the services of the routes.
        listener: a listening socket.
        origins: those whose pages may read responses, besides the API's own; `*` for any.
        hosts: the allowed hosts; loopback names and IP addresses if not given.
        proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count.
        tls: the certificate and its key; None: no TLS.
        ping_s: how often websockets get a ping, and how long they may take to answer it.
        app: the application of these services and origins; made if not given.

    Raises:
        SettingsError: the files of TLS can't be used.
    """
    secure = ServerTls(tls) if tls else None
    app = app or create_app(services, origins=origins)
    methods = {route.path_format: route.methods for route in app.routes if isinstance(route, HTTPRoute)}
    answering = compressed(with_binance_errors(app))
    server = _Server(
        uvicorn.Config(
            with_headers(with_head(measured(host_checked(answering, hosts or Hosts())), methods), HEADERS),
            http=TimedProtocol,
            ws=DirectWriteProtocol,
            ws_max_size=MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=ping_s,
            ws_ping_timeout=ping_s,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            ssl_context_factory=(lambda *_: secure.context) if secure else None,
            timeout_graceful_shutdown=_STOP_S,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    task.add_done_callback(lambda _: server.up.set())
    try:
        await server.up.wait()
        host, port = listener.getsockname()[:2]
        async with background(secure.run()) if secure else nullcontext():
            yield f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        services.event_gate.stop()
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """A server with an event for when it is up, and without signal handlers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and set the event."""
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Listen on a port; 0 for any free one.

    Raises:
        FatalError: the socket can't be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise FatalError(
            f"can't listen on {host}:{port}: {system_reason(error) or error.strerror};"
            " set TICKPLANT_API_PORT, or TICKPLANT_API_HOST"
        ) from error
    # Connections inherit it. asyncio sets it only on sockets created with the protocol's number, unlike this
    # one; without it a response in two parts, or two updates in a row, may wait 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
