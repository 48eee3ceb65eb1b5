"""The API service: serves until it is stopped."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import uvicorn
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import Struct

from api.access.caller import Public, scopes_without_key
from api.access.key_ring import POLL_S, KeyRing
from api.access.middleware import Access
from api.access.rate_limits import RequestLimit, RequestLimiter
from api.app import Services, create_app
from api.binance.errors import with_binance_errors
from api.health import Health
from api.http.compression import compressed
from api.http.host_check import host_checked
from api.http.methods import with_head
from api.http.request_metrics import measured
from api.http.response_headers import HEADERS, with_headers
from api.http.timed_protocol import TimedProtocol
from api.http.tls import ServerTls, TlsFiles
from api.live.direct_write import DirectWriteProtocol
from api.live.event_gate import EventGate
from api.live.gate import MESSAGE_BYTES, WebsocketGate, WebsocketLimits
from api.live.hub import Hub
from api.queries.connections import Connections
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from api.queries.symbols import SymbolDirectory
from api.replica import Replica
from api.requests.webhooks import open_webhook_admission
from api.routes.alerts import AlertLimits
from api.user_changes import UserChangeSender
from db.alerts.definitions import read_pending_alerts
from db.bot.switch import read_pending_switch
from db.hosts import Wanted
from db.pool import Pool, open_pool
from tickplant.background import background
from tickplant.errors import FatalError
from tickplant.hosts import Hosts, is_loopback
from tickplant.market import SymbolId
from tickplant.network_errors import system_reason
from tickplant.redis_client import open_redis
from tickplant.webhooks import WebhookSettings

_log = logging.getLogger(__name__)

_CONNECTIONS: Final = 8
_REDIS_TIMEOUT_S: Final = 8.0
_STOP_S: Final = 5
PING_S: Final = 20.0
"""How often websockets get a ping, and how long they may take to answer it."""


class AccessSettings(Struct, frozen=True, kw_only=True):
    """Who may use the API."""

    host: str = "127.0.0.1"
    """The address that it listens on."""
    host_setting: str = "TICKPLANT_API_HOST"
    """Where that is set."""
    public: Public | None = None
    """What callers without a key may do; None: everything on loopback, nothing elsewhere."""
    rate: RequestLimit = RequestLimit()
    """How many requests a key or an address may send."""
    poll_s: float = POLL_S
    """How often keys are read."""

    @property
    def required_at(self) -> str | None:
        """The setting and address that must not be served without an API key; None if it may be."""
        open_to_all = is_loopback(self.host) or self.public == "read"
        return None if open_to_all else f"{self.host_setting}: {self.host}"


async def run(
    *,
    redis_url: str,
    database_url: str,
    database_read_url: str | None,
    host: str,
    port: int,
    partitions: int,
    symbols: Sequence[SymbolId],
    origins: Sequence[str],
    hosts: Sequence[str],
    access: AccessSettings,
    proxies: Sequence[str],
    tls: TlsFiles | None,
    max_clients: int,
    max_clients_per_address: int,
    alerts_per_user: int,
    webhooks: WebhookSettings,
    notify_tags: Collection[str],
    stop: asyncio.Event,
) -> None:
    """Serve the API until `stop` is set; then websockets are closed with code 1012.

    Redis and the database may be unavailable at any time, also at the start.

    Raises:
        FatalError: the port is in use.
        SettingsError: other machines can reach the API, and there is no API key; or the files of TLS can't be
            used.
    """
    limits = WebsocketLimits(origins=tuple(origins), clients=max_clients, per_address=max_clients_per_address)
    with bind(host, port) as listener:
        async with (
            open_services(
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
            ) as services,
            serving(
                services,
                listener,
                origins=origins,
                hosts=Hosts([*hosts, host.lower()]),
                proxies=proxies,
                tls=tls,
            ) as address,
        ):
            _log.info("serving on %s", address)
            await stop.wait()


@asynccontextmanager
async def open_services(
    *,
    redis_url: str,
    database_url: str,
    database_read_url: str | None = None,
    partitions: int,
    symbols: Sequence[SymbolId],
    limits: WebsocketLimits,
    alerts_per_user: int,
    webhooks: WebhookSettings,
    notify_tags: Collection[str] = (),
    access: AccessSettings = AccessSettings(),  # noqa: B008 - it can't change
    stop: asyncio.Event,
) -> AsyncIterator[Services]:
    """Open the services of the routes, and follow the live streams; `stop` is set if that fails.

    History over REST is read at `database_read_url`. Its responses name the entry up to which they go, from
    the same snapshot, so that a replica may lag. Websockets join live updates to what the primary has
    committed.
    """
    redis = open_redis(redis_url, timeout_s=_REDIS_TIMEOUT_S)
    try:
        async with (
            _open_pool(database_url, "tickplant api") as pool,
            _open_reads(database_read_url, pool) as reads,
        ):
            primary = StoredHistory(pool, partitions)
            prices = Prices(redis, primary)
            connections = Connections(redis)
            hub = Hub(
                redis=redis,
                partitions=partitions,
                history=primary,
                prices=prices,
                connections=connections,
                queue_bytes=limits.queue_bytes,
                client_channels=limits.all_channels,
            )
            directory = SymbolDirectory(symbols, primary, clock_s=asyncio.get_running_loop().time)
            keys = KeyRing(pool, required_at=access.required_at, poll_s=access.poll_s)
            await keys.load()
            allowed = Access(
                keys,
                RequestLimiter(redis, access.rate),
                without_key=scopes_without_key(access.host, access.public),
            )
            replica = Replica(pool, reads)
            user_changes = UserChangeSender(
                redis, pool, [read_pending_switch, read_pending_alerts], partitions=partitions
            )
            async with (
                open_webhook_admission(webhooks) as webhook_admission,
                _running(hub.run(), stop),
                _running(user_changes.run(), stop),
                _running(keys.run(), stop),
                _running(replica.run(), stop),
            ):
                websocket_gate = WebsocketGate(hub=hub, directory=directory, access=allowed, limits=limits)
                yield Services(
                    directory=directory,
                    history=StoredHistory(reads, partitions),
                    prices=prices,
                    connections=connections,
                    pool=pool,
                    user_changes=user_changes,
                    alert_limits=AlertLimits(alerts_per_user, notify_tags),
                    webhook_admission=webhook_admission,
                    hub=hub,
                    websocket_gate=websocket_gate,
                    event_gate=EventGate(
                        hub=hub,
                        directory=directory,
                        access=allowed,
                        admitted=websocket_gate.admitted,
                        max_channels=limits.channels,
                        retry_ms=limits.retry_ms,
                    ),
                    health=Health(redis=redis, pool=pool, replica=replica, hub=hub, connections=connections),
                    access=allowed,
                )
    finally:
        await redis.aclose()


@asynccontextmanager
async def _open_reads(url: str | None, pool: Pool) -> AsyncIterator[Pool]:
    """Open a pool for reads of history; the one of the primary if no URL is given."""
    if url is None:
        yield pool
        return
    async with _open_pool(url, "tickplant api history", wanted="any") as reads:
        yield reads


def _open_pool(
    url: str, application: str, *, wanted: Wanted = "primary"
) -> AbstractAsyncContextManager[Pool]:
    return open_pool(
        url,
        size=_CONNECTIONS,
        application=application,
        eager=False,
        takes_session_locks=False,
        wanted=wanted,
    )


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


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a background task; if it fails, `stop` is set, and the error is raised at the end."""
    try:
        async with background(work, on_end=lambda _: stop.set()) as task:
            yield
    finally:
        if not task.cancelled():
            task.result()


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
