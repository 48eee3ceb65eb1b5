"""An embedded PostgreSQL server, with TimescaleDB where it is installed."""

import os
import shutil
import subprocess
from pathlib import Path
from signal import SIGINT, Signals
from typing import ClassVar, Final

from tickplant.errors import FatalError
from tickplant.local.account import create_reachable_folder, is_permitted, reachable_programs, server_account
from tickplant.local.binaries import PostgresBinaries, Source, find_postgres
from tickplant.local.child import ServerAccount, run_to_end
from tickplant.local.folder import LOOPBACK, explained_file_errors, write_private
from tickplant.local.server import Server, environment

NAME: Final = "tickplant"
"""The name of the user and of the database."""

_CONFIGURATION = """\
# Written at every start. Change settings with ALTER SYSTEM, which writes postgresql.auto.conf.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
password_encryption = scram-sha-256
max_connections = 100
shared_buffers = 256MB
max_wal_size = 4GB
wal_compression = on
checkpoint_timeout = 15min
fsync = on
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
jit = off
shared_preload_libraries = '{libraries}'
"""

_TIMESCALEDB = """\
timescaledb.telemetry_level = off
max_worker_processes = 24
"""


class PostgresServer(Server):
    """A PostgreSQL server on a data folder."""

    name: ClassVar[str] = "the embedded PostgreSQL server"
    stop_signal: ClassVar[Signals] = SIGINT  # a "fast" shutdown: SIGTERM would wait for clients to disconnect

    def __init__(self, path: Path, *, source: Source = "auto") -> None:
        """Describe a server; nothing is started yet.

        Args:
            path: its folder, created when it starts.
            source: where to look for the programs.
        """
        super().__init__(path)
        self._source: Source = source
        self._binaries: PostgresBinaries | None = None

    @property
    def binaries(self) -> PostgresBinaries:
        """The installation: the one that can read the data, if there are any.

        Raises:
            FatalError: there is none.
        """
        if self._binaries is None:
            version = self._data / "PG_VERSION"
            with explained_file_errors(version):
                major = int(version.read_text(encoding="ascii")) if version.exists() else None
            self._binaries = find_postgres(self._source, major=major)
        return self._binaries

    @property
    def url(self) -> str:
        """Its address with its password."""
        return f"postgresql://{NAME}:{self.folder.password()}@{LOOPBACK}:{self.port}/{NAME}"

    @property
    def description(self) -> str:
        """The version, whether TimescaleDB is loaded, and the path."""
        extension = self.binaries.timescaledb
        extra = f"TimescaleDB {extension}" if extension else "without TimescaleDB"
        return f"{self.binaries.version}, {extra} ({self.binaries.bin})"

    @property
    def _data(self) -> Path:
        """The data directory; behind a link where the server's account can't reach the folder."""
        return (self.folder.path / "home").resolve() / "data"

    async def _prepare(self, lock: int) -> tuple[list[str | Path], ServerAccount | None]:
        binaries = self.binaries
        account = server_account(self._data)
        with explained_file_errors(self.folder.path):
            self._create_home(account)
            programs = reachable_programs(binaries, account)
        if not self._data.exists():
            await self._create_data(programs, account, lock)
        self._remove_stale_pid()
        self._configure(account)
        return [programs / "postgres", "-D", self._data], account

    def _create_home(self, account: ServerAccount | None) -> None:
        """Create the server's own folder where its account can reach it.

        Raises:
            FatalError: there are data that the account can't reach, or the data are missing.
        """
        home = self.folder.path / "home"
        if home.is_symlink() and not home.exists():
            raise FatalError(
                f"{home} links to {home.readlink()}, which does not exist: restore that folder,"
                f" or remove {home} to start with an empty database"
            )
        home.mkdir(mode=0o700, exist_ok=True)
        if account is None:
            return
        place, has_data = home.resolve(), self._data.exists()
        if not has_data:
            os.chown(place, *account)
        if is_permitted(account, "-w", place):
            return
        if has_data:
            raise FatalError(
                f"PostgreSQL refuses to run as root, and user {account.uid}, which it runs as instead, can't"
                f" reach {place}: move it to a folder open to that user, or run tickplant as its owner"
            )
        elsewhere = create_reachable_folder(account)
        home.unlink() if home.is_symlink() else shutil.rmtree(home)
        home.symlink_to(elsewhere)

    async def _create_data(self, programs: Path, account: ServerAccount | None, lock: int) -> None:
        """Run initdb in a temporary folder, so that an interrupted run leaves no incomplete data."""
        new = self._data.with_name("data.new")
        secret = self._data.with_name("secret")
        with explained_file_errors(new):
            shutil.rmtree(new, ignore_errors=True)
            _write_as(account, secret, self.folder.password())
        initdb: list[str | Path] = [programs / "initdb", "-D", new, "-U", NAME, f"--pwfile={secret}"]
        initdb += ["--auth=scram-sha-256", "-E", "UTF8", "--no-locale"]
        single: list[str | Path] = [programs / "postgres", "--single", "-D", new, "postgres"]
        try:
            await run_to_end(initdb, account=account, environment=environment(), lock=lock)
            statement = f"create database {NAME};\n"
            await run_to_end(single, account=account, environment=environment(), lock=lock, text=statement)
        finally:
            secret.unlink(missing_ok=True)
        new.rename(self._data)

    def _remove_stale_pid(self) -> None:
        """Remove the pid file of a killed server: its pid may be another program's by now.

        No server of ours is running: each process of one keeps the folder's lock, which we hold.
        """
        path = self._data / "postmaster.pid"
        with explained_file_errors(path):
            if path.exists() and not _is_postgres(path.read_text(encoding="utf-8").partition("\n")[0]):
                path.unlink()

    def _configure(self, account: ServerAccount | None) -> None:
        libraries = "timescaledb" if self.binaries.timescaledb else ""
        text = _CONFIGURATION.format(host=LOOPBACK, port=self.port, libraries=libraries)
        with explained_file_errors(self._data):
            _write_as(account, self._data / "postgresql.conf", text + (_TIMESCALEDB if libraries else ""))

    async def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _hint(self, log: str) -> str:
        if "No space left" in log:
            return "the disk is full; free some space, or choose another folder with --data or TICKPLANT_DATA"
        if 'could not access file "timescaledb"' in log:
            return "TimescaleDB is only partly installed; install the package timescaledb-2-postgresql again"
        if "could not map anonymous shared memory" in log:
            return "there is not enough memory for its 256 MB of shared buffers"
        return ""


def _write_as(account: ServerAccount | None, path: Path, text: str) -> None:
    write_private(path, text)
    if account is not None:
        os.chown(path, *account)


def _is_postgres(pid: str) -> bool:
    argv = ["ps", "-o", "comm=", "-p", pid]
    try:
        return "postgres" in Path(f"/proc/{int(pid)}/comm").read_text(encoding="utf-8")
    except (OSError, ValueError):
        pass
    try:
        return (
            "postgres"
            in subprocess.run(  # noqa: S603
                argv, capture_output=True, text=True, check=False, start_new_session=True
            ).stdout
        )
    except OSError:
        return False
