"""Database and Redis servers of every version at hand, for tests that walk them.

Those of the machine and of the wheels are found; TICKPLANT_TEST_POSTGRES may name more folders of programs of
PostgreSQL, and TICKPLANT_TEST_REDIS more programs of Redis or Valkey, separated by colons.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tickplant.local import PostgresServer, RedisServer
from tickplant.local.account import server_account
from tickplant.local.binaries import (
    PostgresBinaries,
    RedisBinary,
    _inspect_postgres,
    _postgres_folders,
    _redis_programs,
    _version_output,
)
from tickplant.local.child import ServerAccount
from tickplant.local.folder import free_port, write_private


def _named(variable: str) -> list[Path]:
    return [Path(path) for path in os.environ.get(variable, "").split(":") if path]


def _find_postgres() -> dict[str, PostgresBinaries]:
    folders = [*_postgres_folders("auto"), *_named("TICKPLANT_TEST_POSTGRES")]
    found = [binaries for folder in folders if (binaries := _inspect_postgres(folder))]
    return {f"{row.version}{' (wheel)' if row.wheel else ''}": row for row in found}


def _find_redis() -> dict[str, RedisBinary]:
    found = {}
    for path in (*_redis_programs("auto"), *_named("TICKPLANT_TEST_REDIS")):
        # Also those that are too old for tickplant.
        if match := re.search(r"(Redis|Valkey) server v=(\d+[.\d]*)", _version_output(path)):
            found[f"{match[1]} {match[2]}"] = RedisBinary(path, f"{match[1]} {match[2]}")
    return found


POSTGRES = _find_postgres()
REDIS = _find_redis()
PGBOUNCER = shutil.which(
    "pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"
)


def report() -> list[str]:
    """Say what is at hand, for the header of the tests."""
    return [
        f"matrix: {', '.join([*POSTGRES, *REDIS]) or 'no servers'}",
        f"pgbouncer: {PGBOUNCER or 'not found: connection poolers are not tested'}",
    ]


class PostgresOf(PostgresServer):
    """A PostgreSQL server of one installation."""

    def __init__(self, path: Path, binaries: PostgresBinaries) -> None:
        super().__init__(path)
        self._binaries = binaries


class RedisOf(RedisServer):
    """A Redis server of one program, perhaps with more lines in its configuration."""

    def __init__(self, path: Path, binary: RedisBinary, *lines: str) -> None:
        super().__init__(path)
        self._binary = binary
        self._lines = lines

    async def _prepare(self, lock: int) -> tuple[list[str | Path], ServerAccount | None]:
        command, account = await super()._prepare(lock)
        path = Path(command[1])
        text = path.read_text()  # noqa: ASYNC240 - it is small
        write_private(path, text + "".join(f"{line}\n" for line in self._lines))
        return command, account

    async def _is_ready(self) -> bool:
        """Ask by the library's own client, which takes servers that tickplant refuses."""
        async with Redis.from_url(self.url) as client:
            try:
                return bool(await client.ping())
            except RedisError:
                return False


def cluster(path: Path, binary: RedisBinary, *lines: str) -> RedisOf:
    """Return a Redis server in cluster mode, perhaps with more lines in its configuration."""
    # Its second port is 10,000 above the first, where another program may be, unless it can be chosen.
    can_choose = binary.version >= "Redis 7"  # as Valkey can
    port = [f"cluster-port {free_port()}"] if can_choose else []
    return RedisOf(path, binary, "cluster-enabled yes", *port, *lines)


def free_ports(count: int) -> list[int]:
    """Return different ports that are free: two calls of `free_port` may return the same one."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def url_as(database_url: str, user: str, password: str, database: str | None = None) -> str:
    """The address for another user, and perhaps another database or port of it."""
    parts = urlsplit(database_url)
    netloc = f"{user}:{quote(password)}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))


@contextmanager
def pgbouncer(
    database_url: str, folder: Path, *, mode: str, pool_size: int = 20, lines: str = ""
) -> Iterator[str]:
    """Run PgBouncer before a database, and yield its address there."""
    assert PGBOUNCER is not None
    parts = urlsplit(database_url)
    port, name = free_port(), parts.path[1:]
    folder = folder / f"pgbouncer {port}"
    folder.mkdir()
    (folder / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={parts.hostname} port={parts.port} dbname={name}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\npool_mode = {mode}\n"
        f"default_pool_size = {pool_size}\nmax_client_conn = 200\n{lines}"
    )
    account = server_account(folder)  # it does not run as root either
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PGBOUNCER, folder / "pgbouncer.ini"],
            user=account.uid if account else None,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for_port(port, process)
        yield urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
    finally:
        process.kill()
        process.wait()


def pgbouncer_version() -> tuple[int, ...]:
    """Return the version of PgBouncer, such as (1, 18, 0)."""
    assert PGBOUNCER is not None
    output = subprocess.run([PGBOUNCER, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)\.(\d+)", output)
    assert found is not None, output
    return tuple(map(int, found.groups()))


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the server ended at once")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself; returns its file and its key's."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
    return certificate, key


@asynccontextmanager
async def running(server: PostgresServer | RedisServer) -> AsyncIterator[str]:
    """Run a server, and yield its address."""
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()
