"""A plant for measuring: servers in a folder of their own, and the processes that `tickplant up` runs."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from db.migrate import migrate
from db.pool import Pool, open_pool
from ingest.publisher import Publisher
from tickplant.local import PostgresServer, RedisServer
from tickplant.local.supervisor import ManagedProcess, Supervisor
from tickplant.redis_client import open_redis
from tickplant.settings import PREFIX, Settings
from tickplant.streams import trades_stream

SETTINGS: Final = Settings()
"""As shipped."""

STREAMS: Final = [trades_stream(partition) for partition in range(SETTINGS.partitions)]

_DATABASE: Final = "bench"
_TEMPLATE: Final = "bench_template"
"""Migrated once; each stage starts with a copy."""
_WAIT_S: Final = 120.0
_MAX_LINES: Final = 20
"""Of each kind of process; thousands of warnings help nobody."""
_DIED: Final = ("exited with", "was terminated by")
"""How the supervisor's line starts when a process has died by itself."""


class BenchPlant:
    """Servers, and processes started on them."""

    def __init__(self, supervisor: Supervisor, redis: RedisServer, postgres: PostgresServer) -> None:
        """Take running servers.

        Attributes:
            redis: an open client.
            broken: the last line of a process that died; what was measured then is void.
        """
        self.redis = open_redis(redis.url)
        self.redis_url = redis.url
        self.broken = ""
        self._supervisor = supervisor
        self._postgres = postgres
        self._has_template = False
        self.database_url = postgres.url.rpartition("/")[0] + f"/{_DATABASE}"
        self.servers = f"{redis.description}; {postgres.description}"

    def publisher(self) -> Publisher:
        """Return a publisher that never waits for workers."""
        return Publisher(self.redis, partitions=SETTINGS.partitions, budget_trades=10**12)

    def open_pool(self) -> AbstractAsyncContextManager[Pool]:
        """Open one connection to the database."""
        return open_pool(self.database_url, size=1, application="bench")

    async def empty(self) -> None:
        """Empty Redis and create a new database."""
        await self.redis.flushall()
        connection = await asyncpg.connect(self._postgres.url)
        try:
            if not self._has_template:
                await self._create_template(connection)
            await connection.execute(f"drop database if exists {_DATABASE} with (force)")
            await connection.execute(f"create database {_DATABASE} template {_TEMPLATE}")
            await connection.execute("checkpoint")
        finally:
            await connection.close()

    async def _create_template(self, connection: asyncpg.Connection) -> None:
        await connection.execute(f"create database {_TEMPLATE}")
        url = self._postgres.url.rpartition("/")[0] + f"/{_TEMPLATE}"
        await migrate(url, partitions=SETTINGS.partitions, extension=SETTINGS.timescaledb)
        # A template must have no sessions, and TimescaleDB's scheduler connects wherever it may.
        await connection.execute(f"alter database {_TEMPLATE} with allow_connections false")
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", _TEMPLATE
        )
        self._has_template = True

    @asynccontextmanager
    async def sandbox(self, *arguments: str) -> AsyncIterator[dict[str, Any]]:
        """Run a sandbox venue; yields its description of itself."""
        managed = ManagedProcess("sandbox", ("sandbox", *arguments), {"TICKPLANT_LOG_LEVEL": "warning"})
        async with self._supervisor.announced(managed) as line:
            yield msgspec.json.decode(line)

    @asynccontextmanager
    async def processes(
        self, *names: str, venue: Mapping[str, Any] | None = None, **settings: str
    ) -> AsyncIterator[None]:
        """Run processes of these commands.

        Args:
            names: commands of `tickplant`; the same one twice for two processes.
            venue: the sandbox's description of itself, for ingest.
            settings: variables besides the addresses of the servers.
        """
        shared = {
            "TICKPLANT_REDIS_URL": self.redis_url,
            "TICKPLANT_DATABASE_URL": self.database_url,
            "TICKPLANT_LOG_LEVEL": "warning",
            **settings,
        }
        if venue is not None:
            shared["TICKPLANT_BINANCE_WS_URL"] = venue["ws_url"]
            shared["TICKPLANT_BINANCE_REST_URL"] = venue["rest_url"]
            shared["TICKPLANT_SYMBOLS"] = " ".join(venue["symbols"])
        managed = (ManagedProcess(name, (name,), shared) for name in names)
        async with self._supervisor.processes(*managed):
            yield

    def check(self) -> None:
        """Raise RuntimeError if a process has died."""
        if self.broken:
            raise RuntimeError(f"{self.broken}: its last lines are above")

    async def until_listening(self, port: int) -> None:
        """Wait until something listens on a port of loopback."""

        async def is_open() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await self.until(is_open, f"port {port}", poll_s=0.005)

    async def until_published(self) -> None:
        """Wait for the first entry in a stream."""

        async def has_entries() -> bool:
            return await self.entries() > 0

        await self.until(has_entries, "the first entry", poll_s=0.005)

    async def entries(self) -> int:
        """Return how many entries the partition streams hold."""
        return sum([await self.redis.xlen(stream) for stream in STREAMS])

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, *, poll_s: float = 0.02
    ) -> None:
        """Wait for a condition.

        Raises:
            TimeoutError: it did not come about.
            RuntimeError: a process has died.
        """
        deadline = asyncio.get_running_loop().time() + _WAIT_S
        while not await condition():
            self.check()
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"waited {_WAIT_S:g} s for {what}")
            await asyncio.sleep(poll_s)


@asynccontextmanager
async def open_plant(folder: Path) -> AsyncIterator[BenchPlant]:
    """Start servers on data in a folder."""
    plant: BenchPlant | None = None

    shown: Counter[str] = Counter()

    def on_line(name: str, line: str) -> None:
        shown[name] += 1
        if shown[name] <= _MAX_LINES:
            print(f"{name}: {line}", file=sys.stderr)
        if shown[name] == _MAX_LINES:
            print(f"{name}: further lines are not shown", file=sys.stderr)
        if plant is not None and line.startswith(_DIED):
            plant.broken = f"{name} {line}"

    supervisor = Supervisor(on_line)
    redis, postgres = RedisServer(folder / "redis"), PostgresServer(folder / "postgres")
    async with supervisor.server("redis", redis), supervisor.server("postgres", postgres):
        plant = BenchPlant(supervisor, redis, postgres)
        try:
            yield plant
        finally:
            await plant.redis.aclose()


@contextmanager
def prepared_folder() -> Iterator[Path]:
    """Make a folder that PostgreSQL's user can reach, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tickplant-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def forget_settings() -> None:
    """Let this process and its children have the settings as shipped."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
