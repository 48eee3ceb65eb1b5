"""The source of all trades in a database: stored before the first of them, and fixed from then on."""

import asyncpg

from db.pool import connect, database_error
from tickplant.provenance import DataSource, require_same


async def read_database_source(connection: asyncpg.Connection | asyncpg.Pool) -> DataSource | None:
    """Return the source of the trades; None where none is stored yet."""
    source: DataSource | None = await connection.fetchval("select source from plant")
    return source


async def claim_database_source(pool: asyncpg.Pool, source: str) -> None:
    """Store the source of the trades before the first of them is stored.

    Raises:
        MixedSourcesError: the database has trades of another source.
    """
    stored = await read_database_source(pool)
    if stored is None:
        # Of two concurrent claims, the second waits for the row and then finds it set.
        await pool.execute("update plant set source = $1 where source is null", source)
        stored = await read_database_source(pool)
    require_same(stored, source, where="the database")


async def inspect_source(url: str) -> str | None:
    """Return the source of the trades of a database of any version; None where it has none yet.

    Raises:
        FatalError: it can't be reached, or can't be used.
    """
    try:
        connection = await connect(url, application="tickplant up")
        try:
            if not await connection.fetchval("select to_regclass('ledger') is not null"):
                return None
            has_source = await connection.fetchval(
                "select exists (select from pg_attribute where attrelid = to_regclass('plant')"
                " and attname = 'source')"
            )
            stored = await read_database_source(connection) if has_source else None
            has_trades = await connection.fetchval("select exists (select from ledger)")
            return stored or ("live" if has_trades else None)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise database_error(error) from error
