"""Inspects a database server and a database, read-only, for `tickplant doctor`."""

import time
from typing import Any

import asyncpg
from msgspec import Struct

from db.fitness import check_fitness
from db.migrate import LOADED
from db.pool import OUTAGE, connect, database_error
from db.schema import read_migrations
from tickplant.clock import least_skew_s
from tickplant.errors import FatalError


class Inspection(Struct, frozen=True, kw_only=True):
    """A database server and a database on it."""

    version: str
    """Such as `15.8`."""
    major: int
    durable: bool
    """Whether acknowledged commits are on disk; sessions set synchronous_commit themselves."""
    timescaledb_used: str | None
    """The version of the extension in this database; None if it has none."""
    timescaledb_offered: bool
    """Whether the server has the extension installed and loaded."""
    schema: int
    """The number of the newest migration that was run; 0 for none."""
    known_schema: int
    """The number of this version's newest migration."""
    pending_migrations: int
    """How many of this version's migrations have not been run."""
    partitions: int | None
    """The number the database was created with; None before the first migration."""
    api_keys: int
    """How many keys of the API are valid."""
    skew_s: float
    """The minimum by which its clock is ahead of this machine's."""
    unfit: str | None
    """Why tickplant or this user can't use it, and the remedy; None if they can."""


async def inspect(url: str) -> Inspection:
    """Inspect a database.

    Args:
        url: postgresql:// address.

    Raises:
        FatalError: it can't be reached.
    """
    try:
        connection = await connect(url, application="tickplant doctor")
        try:
            return await _inspect(connection)
        finally:
            await connection.close()
    except (*OUTAGE, asyncpg.PostgresError) as error:
        raise database_error(error) from error


async def _inspect(connection: asyncpg.Connection) -> Inspection:
    before_s = time.time()
    theirs_s = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    skew_s = least_skew_s(theirs_s, theirs_s, before_s, time.time())
    number = int(await connection.fetchval("show server_version_num"))
    migrations = read_migrations()
    done: list[int] = (
        await _fetch_if(connection, "migration", "select array_agg(number) from migration") or []
    )
    pending = migrations.keys() - set(done)
    unfit = await _why_unfit(connection, to_migrate=bool(pending))
    # Whoever lacks a right is told which one, by `unfit`.
    count_keys = "select count(*) from api_keys where revoked_at is null"
    api_keys = 0 if unfit else await _fetch_if(connection, "api_keys", count_keys)
    return Inspection(
        version=(await connection.fetchval("show server_version")).split()[0],
        major=number // 10_000,
        durable=await connection.fetchval("show fsync") == "on",
        timescaledb_used=await connection.fetchval(
            "select extversion from pg_extension where extname = 'timescaledb'"
        ),
        timescaledb_offered=await connection.fetchval(LOADED)
        and await connection.fetchval(
            "select exists (select from pg_available_extensions where name = 'timescaledb')"
        ),
        schema=max(done, default=0),
        known_schema=max(migrations, default=0),
        pending_migrations=len(pending),
        partitions=await _fetch_if(connection, "plant", "select partitions from plant"),
        api_keys=api_keys or 0,
        skew_s=skew_s,
        unfit=unfit,
    )


async def _why_unfit(connection: asyncpg.Connection, *, to_migrate: bool) -> str | None:
    try:
        await check_fitness(connection, to_migrate=to_migrate)
    except FatalError as error:
        return str(error)
    return None


async def _fetch_if(connection: asyncpg.Connection, table: str, query: str) -> Any:
    """Return the value of a query on a table; None where the table does not exist."""
    exists = await connection.fetchval("select to_regclass($1) is not null", table)
    return await connection.fetchval(query) if exists else None
