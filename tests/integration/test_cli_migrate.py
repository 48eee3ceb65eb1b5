"""`tickplant migrate --wait` and `--check`, as a roll-out uses them, on real servers."""

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from forked import Command, run_apart
from working import until

from db.migrate import migrate
from tickplant.local.folder import free_port


class Migrate:
    """`tickplant migrate` with options."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {"TICKPLANT_DATABASE_URL": url}
        self._started = 0

    async def run(self, *options: str) -> Any:
        return await asyncio.to_thread(
            run_apart, "migrate", *options, environment=self.environment, folder=self.folder
        )

    def start(self, *options: str) -> "Running":
        self._started += 1
        output = self.folder / f"{self._started}.out"
        return Running(
            Command(("migrate", *options), environment=self.environment, folder=self.folder, output=output),
            output,
        )


class Running:
    """One that runs."""

    def __init__(self, command: Command, output: Path) -> None:
        self.command = command
        self._output = output

    @property
    def text(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    async def says(self, pattern: str) -> None:
        async def said() -> bool:
            return re.search(pattern, self.text) is not None

        await until(said, pattern)


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Migrate:
    return Migrate(tmp_path, database_url)


async def wipe(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("drop schema public cascade; create schema public")
    await connection.close()


async def test_a_migrated_database_passes_the_check(command: Migrate) -> None:
    ended = await command.run("--check")
    assert (ended.returncode, ended.stdout) == (0, "the database is up to date\n")


async def test_the_check_changes_nothing_and_waits_for_the_migration(
    command: Migrate, database_url: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("update migration set number = -number where number = 2")
    ended = await command.run("--check")
    assert ended.returncode == 1
    assert "lacks migration 2: run: tickplant migrate" in ended.stderr
    await connection.execute("delete from migration where number = -2")
    waiting = command.start("--check", "--wait", "60")
    await waiting.says("waiting up to 60 s: the database lacks migration 2")
    await connection.execute("insert into migration (number, name) values (2, '0002_gaps.sql')")
    assert await asyncio.wait_for(waiting.command.wait(), 60) == 0
    await connection.close()


async def test_a_database_of_a_newer_version_is_not_waited_for(command: Migrate, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("insert into migration (number, name) values (9999, '9999_later.sql')")
    await connection.close()
    ended = await command.run("--check", "--wait", "600")
    assert ended.returncode == 1
    assert "at migration 9999" in ended.stderr


async def test_a_login_that_the_migration_makes_is_waited_for(command: Migrate, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    address = re.sub("//([^@/]*@)?", "//nobody_yet:secret@", database_url, count=1)
    command.environment["TICKPLANT_DATABASE_URL"] = address
    waiting = command.start("--check", "--wait", "60")
    await waiting.says("waiting up to 60 s: database error:.*nobody_yet")
    try:
        await connection.execute("create role nobody_yet login superuser password 'secret'")
        assert await asyncio.wait_for(waiting.command.wait(), 60) == 0
    finally:
        await connection.execute("drop role if exists nobody_yet")
        await connection.close()


async def test_a_server_that_is_not_there_is_an_error_at_once_and_waited_for_on_request(
    tmp_path: Path,
) -> None:
    port = free_port()
    command = Migrate(tmp_path, f"postgresql://nobody@127.0.0.1:{port}/plant")
    ended = await command.run()
    assert ended.returncode == 1
    assert "can't be reached" in ended.stderr
    waiting = command.start("--wait", "0.7")
    await waiting.says("waiting up to 1 s: the database can't be reached")
    assert await asyncio.wait_for(waiting.command.wait(), 60) == 1
    assert waiting.text.count("waiting up to") == 1


async def test_the_migration_starts_once_the_server_is_there(database_url: str, tmp_path: Path) -> None:
    """The server behind a port that opens later, as a service whose first endpoint appears."""
    parts = re.fullmatch(r"(postgresql://[^@/]*@?)([^:/?]*):(\d+)(/.*)", database_url)
    if parts is None:
        pytest.fail(f"no TCP address: {database_url}")
    port = free_port()
    command = Migrate(tmp_path, f"{parts[1]}127.0.0.1:{port}{parts[4]}")
    command.environment["TICKPLANT_PARTITIONS"] = "4"
    waiting = command.start("--check", "--wait", "60")
    await waiting.says("can't be reached")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(parts[2] or "127.0.0.1", int(parts[3]))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)

    async with await asyncio.start_server(forward, "127.0.0.1", port):
        assert await asyncio.wait_for(waiting.command.wait(), 60) == 0


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon", "1e9"])
async def test_a_wait_is_a_sensible_number_of_seconds(command: Migrate, seconds: str) -> None:
    ended = await command.run(f"--wait={seconds}")
    assert ended.returncode == 2
    assert "must be a number from 0 to 86,400 seconds" in ended.stderr


async def test_two_migrations_at_once_are_one(command: Migrate, database_url: str) -> None:
    await wipe(database_url)
    ended = await asyncio.gather(command.run("--wait", "5"), command.run("--wait", "5"))
    assert [one.returncode for one in ended] == [0, 0]
    await migrate(database_url, partitions=4)
