"""Streaming replicas of a test's own PostgreSQL server, to be promoted."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree

import asyncpg
from stored import fetch_value
from working import until

from tickplant.local import PostgresServer
from tickplant.local.child import ServerAccount, run_to_end
from tickplant.local.server import environment


class Replica(PostgresServer):
    """A copy of a running primary that follows it."""

    def __init__(self, path: Path, primary: PostgresServer) -> None:
        super().__init__(path)
        self._primary = primary
        self._binaries = primary.binaries

    @property
    def url(self) -> str:
        """Its address; the users are the primary's."""
        return self._primary.url.replace(f":{self._primary.port}/", f":{self.port}/")

    async def promote(self) -> None:
        """Make it a primary, on the next timeline."""
        await fetch_value(self.url, "select pg_promote()")

    async def follows(self) -> None:
        """Wait until it has everything that the primary has by now."""
        position = await fetch_value(self._primary.url, "select pg_current_wal_lsn()::text")

        async def has_it() -> bool:
            return bool(
                await fetch_value(self.url, "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn", position)
            )

        await until(has_it, "the replica has caught up")

    async def _create_data(self, programs: Path, account: ServerAccount | None, lock: int) -> None:
        new = self._data.with_name("data.new")
        command: list[str | Path] = [programs / "pg_basebackup", "-D", new, "-d", self._primary.url]
        command += ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]
        await run_to_end(command, account=account, environment=environment(), lock=lock)
        new.rename(self._data)

    async def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() in ("ready", "standby")


@asynccontextmanager
async def replica_of(primary: PostgresServer) -> AsyncIterator[Replica]:
    """Run a replica of a server, beside its folder."""
    path = primary.folder.path
    replica = Replica(path.with_name(f"{path.name} replica"), primary)
    await replica.start()
    try:
        yield replica
    finally:
        await replica.stop()
        rmtree(replica.folder.path)


def address_of(servers: Sequence[PostgresServer], **options: str) -> str:
    """Return the address that names several servers, whose users are the same."""
    head, _, database = servers[0].url.rpartition("/")
    others = "".join(f",127.0.0.1:{server.port}" for server in servers[1:])
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{head}{others}/{database}{'?' if query else ''}{query}"


async def pause_replay(replica: Replica) -> None:
    """Let a replica fall behind: it receives, but applies nothing; a promotion ends that."""
    await fetch_value(replica.url, "select pg_wal_replay_pause()::text")


async def disconnect(replica: Replica) -> None:
    """Cut a replica off its primary: what is committed from now on, it never gets."""
    connection = await asyncpg.connect(replica.url)
    await connection.execute("alter system set primary_conninfo = 'host=127.0.0.1 port=1'")
    await connection.execute("select pg_reload_conf()")

    async def alone() -> bool:
        return not await connection.fetchval(
            "select count(*) from pg_stat_wal_receiver where status = 'streaming'"
        )

    await until(alone, "the replica receives nothing")
    await connection.close()
