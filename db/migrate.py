"""Runs the migrations, plain SQL files, in order and each once, under a lock."""

import asyncio
from pathlib import Path
from typing import Final, Literal

import asyncpg

from db.fitness import NEW_DATABASE, check_fitness
from db.grants import Passwords, apply_grants
from db.policies import Retention, apply_policies
from db.pool import connect, database_error
from db.schema import newer_schema_error, read_migrations
from tickplant.errors import FatalError

VIEWS: Final = Path(__file__).parent / "views.sql"
_LOCK: Final = 0x7469636B  # 'tick': one lock for all processes that migrate

Extension = Literal["auto", "on", "off"]


async def migrate(
    url: str,
    *,
    partitions: int,
    extension: Extension = "auto",
    retention: Retention = Retention(),  # noqa: B008 - frozen
    passwords: Passwords = Passwords(),  # noqa: B008 - frozen
) -> list[str]:
    """Migrate the database to this code's schema, and apply views, policies, groups and users.

    Safe to run from several processes at once, and on several databases of one server.

    Args:
        url: postgresql:// address.
        partitions: the number of partitions, fixed by the first run.
        extension: whether to use TimescaleDB. `auto` uses it where the server offers it.
        retention: how long rows are stored.
        passwords: of the database users to create.

    Returns:
        Messages: the migrations that this call ran, and what could not be done.

    Raises:
        FatalError: the database can't be reached, is unsuitable, belongs to another user, is newer than the
            code or has another number of partitions, or TimescaleDB is required and not available.
    """
    migrations = read_migrations()
    try:
        connection = await connect(url, application="tickplant migrate")
        try:
            await connection.execute("set client_min_messages = warning")
            # Polled: a session that waits for the lock inside a statement would hold a snapshot.
            while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - locks notify nobody
                await asyncio.sleep(0.05)
            await check_fitness(connection)
            messages = await _run(connection, url, migrations, extension)
            await _check_partitions(connection, partitions)
            await connection.execute("call fill_taker_buy()")
            await connection.execute(VIEWS.read_text(encoding="utf-8"))
            messages += await apply_policies(connection, retention)
            return messages + await apply_grants(connection, passwords)
        finally:
            await connection.close()
    except (asyncpg.DuplicateTableError, asyncpg.UndefinedColumnError, asyncpg.WrongObjectTypeError) as error:
        raise FatalError(
            f"the database contains tables that are not this version's: {error};"
            f" create a database for tickplant alone: {NEW_DATABASE}"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise database_error(error) from error


async def _run(
    connection: asyncpg.Connection, url: str, migrations: dict[int, Path], extension: Extension
) -> list[str]:
    await connection.execute(
        "create table if not exists migration (number integer primary key, name text not null,"
        " ran_at timestamptz not null default now())"
    )
    done: set[int] = {row["number"] for row in await connection.fetch("select number from migration")}
    if unknown := done - migrations.keys():
        raise newer_schema_error(max(unknown), max(migrations, default=0))
    messages = [] if done else await _create_extension(connection, url, extension)
    for number, path in migrations.items():
        if number not in done:
            async with connection.transaction():
                await connection.execute(path.read_text(encoding="utf-8"))
                await connection.execute(
                    "insert into migration (number, name) values ($1, $2)", number, path.name
                )
            messages.append(f"ran migration {path.name}")
    return messages


async def _create_extension(connection: asyncpg.Connection, url: str, extension: Extension) -> list[str]:
    """Create TimescaleDB's extension if possible; if it is available but can't be created, return why."""
    if extension == "off" or await connection.fetchval(_USED):
        return []
    reason = await _why_not_created(connection, url)
    if reason is None:
        return []
    if extension == "on":
        raise FatalError(f"TICKPLANT_TIMESCALEDB is on, but {reason}")
    return [f"TimescaleDB is not used: {reason}"] if await connection.fetchval(_OFFERED) else []


async def _why_not_created(connection: asyncpg.Connection, url: str) -> str | None:
    if not await connection.fetchval(_OFFERED):
        return "the server has no timescaledb extension: install it"
    if not await connection.fetchval(LOADED):
        return "the server has no timescaledb in shared_preload_libraries: add it and restart the server"
    # In a separate session, which the extension ends if it was not loaded when the server started.
    session = await connect(url, application="tickplant migrate")
    try:
        await session.execute("create extension if not exists timescaledb")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return f"the extension can't be created: {error}; a superuser can run: create extension timescaledb"
    finally:
        session.terminate()
    return None


async def _check_partitions(connection: asyncpg.Connection, partitions: int) -> None:
    await connection.execute("insert into plant (partitions) values ($1) on conflict do nothing", partitions)
    fixed = await connection.fetchval("select partitions from plant")
    if fixed != partitions:
        raise FatalError(
            f"this database was created with TICKPLANT_PARTITIONS={fixed}, which can't be changed to"
            f" {partitions}: symbols would move to other streams"
        )


_USED: Final = "select exists (select from pg_extension where extname = 'timescaledb')"
_OFFERED: Final = "select exists (select from pg_available_extensions where name = 'timescaledb')"

LOADED: Final = "select current_setting('timescaledb.max_background_workers', true) is not null"
"""Whether the server has loaded TimescaleDB; only privileged users can read shared_preload_libraries."""
