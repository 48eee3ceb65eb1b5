"""Migrations: plain SQL files in order, each run once, under a lock."""

import asyncio
import re
from pathlib import Path
from typing import Final, Literal

import asyncpg

from db.policies import Keep, apply_policies
from db.pool import OUTAGE
from db.roles import Passwords, apply_roles
from tickplant.errors import FatalError

FOLDER: Final = Path(__file__).parent / "migrations"
VIEWS: Final = Path(__file__).parent / "views.sql"
_LOCK: Final = 0x7469636B  # 'tick': one lock for all processes that migrate
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

Extension = Literal["auto", "on", "off"]


def read_migrations(folder: Path = FOLDER) -> dict[int, Path]:
    """Return the migration files by number, in order.

    Raises:
        FatalError: a file's name is not `NNNN_what.sql`, or numbers repeat or leave holes.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise FatalError(f"{path.name}: migrations are named NNNN_what.sql and count up from 0001")
        found[int(match[1])] = path
    return found


async def migrate(
    url: str,
    *,
    partitions: int,
    extension: Extension = "auto",
    keep: Keep = Keep(),  # noqa: B008 - frozen
    passwords: Passwords = Passwords(),  # noqa: B008 - frozen
) -> list[str]:
    """Bring the database to this code's schema, and policies, views and roles in line with the settings.

    Safe to run from several processes at once, and on several databases of one server.

    Args:
        url: postgresql:// address.
        partitions: the number of partitions; fixed by the first run.
        extension: whether to use TimescaleDB. `auto` uses it where the server offers it.
        keep: how long rows are kept.
        passwords: of the logins to be made.

    Returns:
        What a person may want to know: the migrations that this call ran, and what could not be done.

    Raises:
        FatalError: the database can't be reached, is newer than the code, was created with another number of
            partitions, TimescaleDB is asked for and not there, or logins are and can't be made.
    """
    migrations = read_migrations()
    try:
        connection = await asyncpg.connect(url)
    except (*OUTAGE, asyncpg.PostgresError) as error:
        raise FatalError(f"the database can't be reached: {error}") from error
    try:
        await connection.execute("set client_min_messages = warning")
        # Tried, not waited for: a session that waits for the lock inside a statement holds a snapshot.
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        said = [f"ran migration {name}" for name in await _run(connection, migrations, extension)]
        await _check_partitions(connection, partitions)
        await connection.execute(VIEWS.read_text(encoding="utf-8"))
        said += await apply_policies(connection, keep)
        said += await apply_roles(connection, passwords)
        return said
    finally:
        await connection.close()


async def _run(
    connection: asyncpg.Connection, migrations: dict[int, Path], extension: Extension
) -> list[str]:
    await connection.execute(
        "create table if not exists migration (number integer primary key, name text not null,"
        " ran_at timestamptz not null default now())"
    )
    done: set[int] = {row["number"] for row in await connection.fetch("select number from migration")}
    newer = done - migrations.keys()
    if newer:
        raise FatalError(
            f"the database is at migration {max(newer)}, this code knows only {max(migrations, default=0)}:"
            " install the newer tickplant again, or restore an older backup"
        )
    if not done:
        await _create_extension(connection, extension)
    ran = []
    for number, path in migrations.items():
        if number not in done:
            async with connection.transaction():
                await connection.execute(path.read_text(encoding="utf-8"))
                await connection.execute(
                    "insert into migration (number, name) values ($1, $2)", number, path.name
                )
            ran.append(path.name)
    return ran


async def _create_extension(connection: asyncpg.Connection, extension: Extension) -> None:
    if extension == "off":
        return
    offered = await connection.fetchval(
        "select exists (select from pg_available_extensions where name = 'timescaledb')"
    )
    preloaded = "timescaledb" in await connection.fetchval("show shared_preload_libraries")
    if offered and preloaded:
        await connection.execute("create extension if not exists timescaledb")
    elif extension == "on":
        raise FatalError(
            "TICKPLANT_TIMESCALEDB is on, but the server has no timescaledb "
            + (
                "in shared_preload_libraries: add it and restart the server"
                if offered
                else "extension: install it"
            )
        )


async def _check_partitions(connection: asyncpg.Connection, partitions: int) -> None:
    await connection.execute("insert into plant (partitions) values ($1) on conflict do nothing", partitions)
    fixed = await connection.fetchval("select partitions from plant")
    if fixed != partitions:
        raise FatalError(
            f"this database was created with TICKPLANT_PARTITIONS={fixed}; it can't become {partitions},"
            " since a symbol would change its stream"
        )
