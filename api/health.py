"""Health of the API and of what it depends on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct
from redis.exceptions import RedisError

from api.http.problems import OUTAGE
from api.live.hub import Hub
from api.queries.connections import Connections
from api.queries.history import TIMEOUT_S
from api.replica import Replica
from api.views.connections import ConnectionView, connection_view
from api.views.fields import Source
from db.leases import LeaseRow, read_leases
from db.pool import Pool, is_database_error
from db.provenance import read_database_source
from tickplant import kernel
from tickplant.errors import FatalError
from tickplant.lag import read_lag
from tickplant.provenance import DataSource
from tickplant.redis_client import RedisClient
from tickplant.streams import CANDLES_ROLE, START
from tickplant.taken_keys import REMEDY, find_taken_keys


class DependencyHealth(Struct, frozen=True, omit_defaults=True):
    """A server that the API needs."""

    status: Literal["up", "down"]
    latency_ms: float | None = None
    error: str | None = None


class ReplicaHealth(DependencyHealth, frozen=True, omit_defaults=True):
    """The server that history is read from, if it is not the primary."""

    lag_s: Annotated[
        float | None,
        Meta(
            description="How far it is behind the primary; absent where it is unknown, or it is no standby."
        ),
    ] = None
    lag_bytes: Annotated[
        int | None, Meta(description="How much of the primary's write-ahead log it has not applied yet.")
    ] = None


class PartitionHealth(Struct, frozen=True):
    """The progress of one partition."""

    partition: int
    worker: Annotated[bool, Meta(description="Whether a live worker owns the partition.")]
    committed_entry: str
    lag_entries: Annotated[
        int | None,
        Meta(description="Entries not yet stored: exact up to 31, beyond that an upper estimate."),
    ]
    problem: Annotated[
        str | None,
        Meta(
            description="Why the partition can't be processed: another program has taken one of its keys, or"
            " its server of Redis is away."
        ),
    ] = None


class HealthReport(Struct, frozen=True):
    """The health of the API and of everything that it depends on."""

    status: Annotated[
        Literal["ready", "degraded", "unready"],
        Meta(
            description="`degraded`: the API can serve, but a connection to a venue is down or refused, or a"
            " partition can't be processed."
        ),
    ]
    redis: DependencyHealth
    database: DependencyHealth
    live: Annotated[Literal["live", "stalled"], Meta(description="Whether live updates reach this process.")]
    clients: Annotated[int, Meta(description="Websocket clients of this process.")]
    partitions: list[PartitionHealth]
    connections: Annotated[
        list[ConnectionView], Meta(description="To venues; none while Redis is unavailable.")
    ]
    kernel: Annotated[
        Literal["compiled", "python"],
        Meta(description="What this installation handles trades with: compiled code, or pure Python."),
    ]
    source: Source = None
    replica: Annotated[
        ReplicaHealth | None, Meta(description="Null without `TICKPLANT_DATABASE_READ_URL`.")
    ] = None


class _Servers(NamedTuple):
    """What the servers have answered."""

    ready: bool
    """Whether all have, and live updates are there."""
    redis: DependencyHealth
    database: DependencyHealth
    replica: ReplicaHealth | None
    leases: list[LeaseRow]
    connections: list[ConnectionView]
    source: DataSource | None


class Health:
    """Checks what the API depends on."""

    def __init__(
        self, *, redis: RedisClient, pool: Pool, replica: Replica, hub: Hub, connections: Connections
    ) -> None:
        """Check these servers, whose clients the caller closes."""
        self._redis = redis
        self._pool = pool
        self._replica = replica
        self._hub = hub
        self._connections = connections

    async def can_serve(self) -> bool:
        """Return whether a report's status is not `unready`, without what a report costs."""
        return (await self._check_servers()).ready

    async def report(self) -> HealthReport:
        """Check every server, each for at most a few seconds; outages are reported, not raised."""
        servers = await self._check_servers()
        down = any(connection.state in ("down", "refused") for connection in servers.connections)
        partitions = await self._partitions(servers.leases, redis_up=servers.redis.status == "up")
        degraded = down or any(partition.problem for partition in partitions)
        return HealthReport(
            "unready" if not servers.ready else "degraded" if degraded else "ready",
            servers.redis,
            servers.database,
            "live" if self._hub.live else "stalled",
            len(self._hub.clients),
            partitions,
            servers.connections,
            kernel.NAME,
            servers.source,
            servers.replica,
        )

    async def _check_servers(self) -> _Servers:
        leases: list[LeaseRow] = []
        connections: list[ConnectionView] = []
        source: DataSource | None = None

        async def check_database() -> None:
            nonlocal source
            source = await read_database_source(self._pool)
            leases.extend(row for row in await read_leases(self._pool) if row.role == CANDLES_ROLE)

        async def check_redis() -> None:
            connections.extend(map(connection_view, await self._connections.read()))

        redis, database, replica = await asyncio.gather(
            _timed(check_redis), _timed(check_database), self._check_replica()
        )
        if redis.status == "down" and self._redis.sharded and self._hub.live:  # it is one server of several
            redis = DependencyHealth("up")
        up = all(server is None or server.status == "up" for server in (redis, database, replica))
        return _Servers(up and self._hub.live, redis, database, replica, leases, connections, source)

    async def _check_replica(self) -> ReplicaHealth | None:
        if not self._replica.separate:
            return None
        lag_s: float | None = None
        lag_bytes: int | None = None

        async def measure() -> None:
            nonlocal lag_s, lag_bytes
            state = await self._replica.measure()
            lag_s, lag_bytes = state.lag_s, state.lag_bytes

        found = await _timed(measure)
        return ReplicaHealth(found.status, found.latency_ms, found.error, lag_s, lag_bytes)

    async def _partitions(self, leases: list[LeaseRow], *, redis_up: bool) -> list[PartitionHealth]:
        by_number = {lease.partition: lease for lease in leases}
        numbers = range(self._hub.partitions)
        committed = [by_number[number].entry_id if number in by_number else START for number in numbers]
        alive = {lease.partition for lease in leases if lease.alive}
        problems: dict[int, str] = {}
        lags: list[int | None] = [None] * len(numbers)
        if redis_up:
            problems, lags = await asyncio.gather(
                self._problems(),
                asyncio.gather(*map(self._lag_entries, numbers, committed)),
            )
        return [
            PartitionHealth(number, number in alive, entry_id, lag, problems.get(number))
            for number, entry_id, lag in zip(numbers, committed, lags, strict=True)
        ]

    async def _problems(self) -> dict[int, str]:
        """Return why partitions can't be processed."""
        away = {
            number: "its server of Redis can't be reached: its trades wait there and in ingest"
            for number in range(self._hub.partitions)
            if self._redis.sharded and not self._hub.is_live(number)
        }
        try:
            taken = await find_taken_keys(self._redis, CANDLES_ROLE, range(self._hub.partitions))
        except (*OUTAGE, RedisError):
            return away
        return away | {
            partition: f"{', '.join(keys)} in Redis holds what another program has written: {REMEDY}"
            for partition, keys in taken.items()
        }

    async def _lag_entries(self, partition: int, committed: str) -> int | None:
        try:
            return (await read_lag(self._redis, CANDLES_ROLE, partition, committed)).entries
        except (*OUTAGE, RedisError):
            return None


async def _timed(check: Callable[[], Awaitable[None]]) -> DependencyHealth:
    """Return what a check says of its server; one that refuses, such as the login, can't be used either."""
    started_s = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check()
    except (*OUTAGE, RedisError, FatalError) as error:
        return DependencyHealth("down", error=type(error).__name__)
    except Exception as error:  # the driver's errors are known to `db` alone
        if not is_database_error(error):
            raise
        return DependencyHealth("down", error=type(error).__name__)
    return DependencyHealth("up", latency_ms=round((time.perf_counter() - started_s) * 1000, 3))
