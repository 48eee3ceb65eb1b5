"""Removes old rows where TimescaleDB's scheduler doesn't, and reads up to when trades were removed."""

from datetime import datetime

import asyncpg

from tickplant.market import SymbolId

_TIMEOUT_S = 3600.0


async def remove_expired(pool: asyncpg.Pool) -> None:
    """Remove the rows that the table `retention` declares expired, unless a job or another worker does."""
    # A single statement, which commits after every some thousand rows; the first time it may take long.
    await pool.execute("call remove_expired()", timeout=_TIMEOUT_S)


async def read_retention_limit(connection: asyncpg.Connection, relation: str = "trades") -> datetime | None:
    """Return the time before which rows of a table are removed by age; None where they are stored forever."""
    limit: datetime | None = await connection.fetchval(
        "select retention_horizon(keep_days) from retention where relation = $1", relation
    )
    return limit


async def read_horizon(connection: asyncpg.Connection, symbol: SymbolId) -> datetime | None:
    """Return the event time before which a symbol's trades were removed by age; None if none were."""
    horizon: datetime | None = await connection.fetchval(
        "select before from expired where venue = $1 and symbol = $2", *symbol
    )
    return horizon
