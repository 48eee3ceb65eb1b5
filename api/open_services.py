"""The services of the API's routes: what they need, and how they are opened."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from api.access.caller import Public, scopes_without_key
from api.access.key_ring import POLL_S, KeyRing
from api.access.middleware import Access
from api.access.rate_limits import RequestLimit, RequestLimiter
from api.app import Services
from api.health import Health
from api.http.tls import TlsFiles
from api.live.event_gate import EventGate
from api.live.gate import WebsocketGate, WebsocketLimits
from api.live.hub import Hub
from api.queries.connections import Connections
from api.queries.history import TIMEOUT_S, StoredHistory
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
from tickplant.hosts import is_loopback
from tickplant.market import SymbolId
from tickplant.redis_client import RedisClient, open_redis
from tickplant.webhooks import WebhookSettings

_CONNECTIONS: Final = 8
_REDIS_TIMEOUT_S: Final = 8.0


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

    def with_keys(self, keys: KeyRing, redis: RedisClient) -> Access:
        """Return what decides on each request."""
        without_key = scopes_without_key(self.host, self.public)
        return Access(keys, RequestLimiter(redis, self.rate), without_key=without_key)


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What the services of the routes need, whichever protocol they are served by."""

    redis_url: str
    database_url: str
    database_read_url: str | None = None
    """Where history is read; None: from the primary."""
    partitions: int
    symbols: Sequence[SymbolId]
    alerts_per_user: int
    webhooks: WebhookSettings
    notify_tags: Collection[str] = ()
    access: AccessSettings = AccessSettings()


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Where and for how many clients a server serves."""

    host: str
    port: int
    """0 for any free one."""
    proxies: Sequence[str]
    """Addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count."""
    tls: TlsFiles | None
    """None: no TLS."""
    max_clients: int
    max_clients_per_address: int


@asynccontextmanager
async def open_services(
    settings: ServiceSettings, limits: WebsocketLimits, stop: asyncio.Event
) -> AsyncIterator[Services]:
    """Open the services of the routes, and follow the live streams; `stop` is set if that fails.

    History over REST is read at `database_read_url`. Its responses name the entry up to which they go, from
    the same snapshot, so that a replica may lag. Websockets join live updates to what the primary has
    committed.
    """
    redis = open_redis(settings.redis_url, timeout_s=_REDIS_TIMEOUT_S)
    try:
        async with (
            _open_pool(settings.database_url, "tickplant api") as pool,
            _open_reads(settings.database_read_url, pool) as reads,
        ):
            primary = StoredHistory(pool, settings.partitions)
            prices = Prices(redis, primary)
            connections = Connections(redis)
            hub = Hub(
                redis=redis,
                partitions=settings.partitions,
                history=primary,
                prices=prices,
                connections=connections,
                queue_bytes=limits.queue_bytes,
                client_channels=limits.all_channels,
            )
            directory = SymbolDirectory(settings.symbols, primary, clock_s=asyncio.get_running_loop().time)
            keys = KeyRing(pool, required_at=settings.access.required_at, poll_s=settings.access.poll_s)
            await keys.load()
            access = settings.access.with_keys(keys, redis)
            replica = Replica(pool, reads)
            user_changes = UserChangeSender(
                redis, pool, [read_pending_switch, read_pending_alerts], partitions=settings.partitions
            )
            async with (
                open_webhook_admission(settings.webhooks) as webhook_admission,
                _running(hub.run(), stop),
                _running(user_changes.run(), stop),
                _running(keys.run(), stop),
                _running(replica.run(), stop),
            ):
                websocket_gate = WebsocketGate(hub=hub, directory=directory, access=access, limits=limits)
                yield Services(
                    directory=directory,
                    history=StoredHistory(reads, settings.partitions),
                    prices=prices,
                    connections=connections,
                    pool=pool,
                    user_changes=user_changes,
                    alert_limits=AlertLimits(settings.alerts_per_user, settings.notify_tags),
                    webhook_admission=webhook_admission,
                    hub=hub,
                    websocket_gate=websocket_gate,
                    event_gate=EventGate(
                        hub=hub,
                        directory=directory,
                        access=access,
                        admitted=websocket_gate.admitted,
                        max_channels=limits.channels,
                        retry_ms=limits.retry_ms,
                    ),
                    health=Health(redis=redis, pool=pool, replica=replica, hub=hub, connections=connections),
                    access=access,
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
        timeout_s=TIMEOUT_S,
        wanted=wanted,
    )


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run a background task; if it fails, `stop` is set, and the error is raised at the end."""
    try:
        async with background(work, on_end=lambda _: stop.set()) as task:
            yield
    finally:
        if not task.cancelled():
            task.result()
