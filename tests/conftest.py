"""Real servers for the tests: one Redis and one PostgreSQL a session, and fresh contents for each test.

They are containers of compose's images where a Docker engine and these are at hand, and embedded servers
elsewhere, or where TICKPLANT_EMBEDDED_SERVERS names their source. Servers that a test kills are always
embedded. Data of embedded servers are in memory, in /dev/shm, where that has enough room.
`database_url` runs each of its tests twice, on plain PostgreSQL and on TimescaleDB, where that is installed.
"""

import asyncio
import gzip
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg
import containers
import hypothesis
import pytest
import redis.asyncio
import servers

from db.migrate import Extension, migrate
from tickplant import event_loop
from tickplant.errors import FatalError
from tickplant.local import PostgresServer, RedisServer, Source
from tickplant.local.binaries import find_postgres, find_redis
from tickplant.local.server import Server

# Tests talk to this machine alone; a proxy that a developer's environment names leads elsewhere.
for _name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)

# A shell lets what it starts in the background ignore Ctrl-C, and tests send Ctrl-C to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Threads of a gRPC client would go on in a forked child, and write to its output.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

PARTITIONS: Final = 4
SOURCE: Final = cast(Source, os.environ.get("TICKPLANT_EMBEDDED_SERVERS") or "auto")
REPOSITORY: Final = Path(__file__).parent.parent
MARKETDATA: Final = os.environ.get("TICKPLANT_MARKETDATA")

MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 4 << 30
"""Four test processes use less than half of it."""

OwnRedis = Callable[[], Awaitable[RedisServer]]
OwnPostgres = Callable[[], Awaitable[PostgresServer]]

ServerT = TypeVar("ServerT", bound=Server)

_numbers = count(1)

# The duration of an example depends on the machine more than on the code.
hypothesis.settings.register_profile("tickplant", deadline=None)
hypothesis.settings.load_profile("tickplant")


def _timescaledb() -> str | None:
    try:
        return find_postgres(SOURCE).timescaledb
    except FatalError:
        return None  # the header and the first test that needs it report that


VARIANTS: Final = ["postgresql", "timescaledb"] if _timescaledb() else ["postgresql"]
NO_CONTAINERS: Final = (
    containers.why_not(containers.image_of("redis"), containers.image_of("timescaledb"))
    if SOURCE == "auto"
    else f"TICKPLANT_EMBEDDED_SERVERS is {SOURCE}"
)
"""Why the tests' servers are embedded ones; None: they are containers."""

on_one_variant = pytest.mark.parametrize("database_url", VARIANTS[:1], indirect=True)
"""For tests to which the kind of database makes no difference: the one that takes the least."""
on_last_variant = pytest.mark.parametrize("database_url", VARIANTS[-1:], indirect=True)
"""For tests that learn nothing from plain PostgreSQL where there is TimescaleDB."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests in the event loop that all processes have."""
    return {"uvloop": event_loop.new_event_loop}


def pytest_report_header() -> list[str]:
    """Say which servers the tests run on."""
    images = f"{containers.image_of('redis')}, {containers.image_of('timescaledb')}; others are embedded"
    return [
        f"containers: {f'none: {NO_CONTAINERS}' if NO_CONTAINERS else images}",
        *_embedded_servers(),
        *servers.report(),
    ]


def _embedded_servers() -> list[str]:
    try:
        redis_binary, postgres = find_redis(SOURCE), find_postgres(SOURCE)
    except FatalError as error:
        return [f"embedded servers: {error}"]
    return [
        f"embedded redis: {redis_binary.version} ({redis_binary.path})",
        f"embedded postgresql: {postgres.version} ({postgres.bin})",
        f"timescaledb: {postgres.timescaledb or 'not available: tests run on plain PostgreSQL only'}",
    ]


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data that the servers' user can reach, with a space in its name."""
    parent = Path(tempfile.mkdtemp(prefix="tickplant tests ", dir=_memory()))
    parent.chmod(0o755)
    folder = parent / "servers"  # commands that run in it write their output beside it
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(parent)


def _memory() -> Path | None:
    """Return a file system in memory with enough room, on which a new database costs a fifth."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return None  # servers from wheels run programs from their folders
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES else None


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    """The session's Redis server; not to be stopped by a test."""
    yield from _running(RedisServer(server_folder / "redis", source=SOURCE))


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    """The session's PostgreSQL server, which is quick rather than durable; not to be stopped by a test."""
    for server in _running(PostgresServer(server_folder / "postgres", source=SOURCE)):
        event_loop.run(_make_quick(server.url))
        yield server


async def _make_quick(url: str) -> None:
    """Halve what a new database and a connection cost, and limit the log's size."""
    connection = await asyncpg.connect(url)
    settings = {"full_page_writes": "off", "wal_compression": "off", "max_wal_size": "256MB"}
    for name, value in settings.items():
        await connection.execute(f"alter system set {name} = '{value}'")
    _trust(urlsplit(url).username, Path(await connection.fetchval("show hba_file")))
    await connection.execute("select pg_reload_conf()")
    await connection.close()


def _trust(user: str | None, access: Path) -> None:
    """Let a user in without the password, whose check costs both sides more than the connection does."""
    access.write_text(f"host all {user} 127.0.0.1/32 trust\n{access.read_text()}")


@pytest.fixture(scope="session")
def redis_address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the session's Redis, in a container or embedded."""
    if NO_CONTAINERS:
        yield request.getfixturevalue("redis_server").url
    else:
        with containers.running_redis() as url:
            yield url


@pytest.fixture(scope="session")
def postgres_address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the session's PostgreSQL, in a container or embedded."""
    if NO_CONTAINERS:
        yield request.getfixturevalue("postgres_server").url
    else:
        with containers.running_postgres() as url:
            yield url


def _running(server: ServerT) -> Iterator[ServerT]:
    event_loop.run(server.start())
    yield server
    event_loop.run(server.stop())


@pytest.fixture
async def redis_url(redis_address: str) -> str:
    """The address of an empty Redis."""
    client = redis.asyncio.Redis.from_url(redis_address)
    await client.flushall()
    await client.aclose()
    return redis_address


@pytest.fixture(scope="session")
def templates(postgres_address: str) -> dict[str, str]:
    """The names of migrated databases with 4 partitions by variant, made when first asked for."""
    return {}


async def _template(variant: str, address: str, templates: dict[str, str]) -> str:
    if variant not in templates:
        name = f"template_{variant}"
        extension: Extension = "on" if variant == "timescaledb" else "off"
        await _execute(address, f"create database {name}")
        await migrate(_database(address, name), partitions=PARTITIONS, extension=extension)
        # TimescaleDB's scheduler sits in every database that lets it: a template must be left alone.
        await _execute(address, f"alter database {name} with allow_connections false")
        await _execute(
            address, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        )
        templates[variant] = name
    return templates[variant]


def _database(address: str, name: str) -> str:
    return address.rpartition("/")[0] + f"/{name}"


@pytest.fixture(params=VARIANTS if NO_CONTAINERS else ["postgresql", "timescaledb"])
async def database_url(
    request: pytest.FixtureRequest, postgres_address: str, templates: dict[str, str]
) -> AsyncIterator[str]:
    """The address of a new, migrated database with 4 partitions; dropped after the test."""
    name = f"test_{next(_numbers)}"
    template = await _template(request.param, postgres_address, templates)
    connection = await asyncpg.connect(postgres_address)
    await connection.execute(f"create database {name} template {template} strategy file_copy")
    yield _database(postgres_address, name)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def own_redis(server_folder: Path) -> AsyncIterator[OwnRedis]:
    """Start a Redis server of the test's own, to kill and restart: `server = await own_redis()`."""
    started: list[RedisServer] = []

    async def start() -> RedisServer:
        server = RedisServer(server_folder / f"redis {next(_numbers)}", source=SOURCE)
        started.append(server)
        await server.start()
        return server

    yield start
    for server in started:
        await server.stop()
        shutil.rmtree(server.folder.path)


@pytest.fixture
async def own_postgres(server_folder: Path) -> AsyncIterator[OwnPostgres]:
    """Start a PostgreSQL server of the test's own, with an empty database, to kill and restart."""
    started: list[PostgresServer] = []

    async def start() -> PostgresServer:
        server = PostgresServer(server_folder / f"postgres {next(_numbers)}", source=SOURCE)
        started.append(server)
        await server.start()
        return server

    yield start
    for server in started:
        await server.stop()
        shutil.rmtree(server.folder.path)


@pytest.fixture(scope="session")
def marketdata() -> Path:
    """The folder of recorded market data; skips the test where it is absent."""
    folder = Path(MARKETDATA) if MARKETDATA else REPOSITORY.parent / "shared" / "marketdata"
    if not folder.is_dir():
        pytest.skip(f"no recorded market data in {folder}; TICKPLANT_MARKETDATA may name another folder")
    return folder


@pytest.fixture(scope="session")
def recording(marketdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recorded trades of two symbols on Binance, without the other frames: four in five."""
    folder = tmp_path_factory.mktemp("recording")
    for path in (marketdata / "binance-spot").glob("*.gz"):
        with gzip.open(path) as lines, gzip.open(folder / path.name, "wb", compresslevel=1) as trades:
            trades.writelines(line for line in lines if b'"e":"trade"' in line)
    return folder
