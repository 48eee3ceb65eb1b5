"""Connections to the database, and what its errors mean."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import asyncpg

from tickplant.errors import FatalError, LeaseLostError

Connection = asyncpg.Connection
Pool = asyncpg.Pool

OUTAGE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Errors that pass: the server or the connection is away, full or busy, rather than a statement wrong."""

REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
)
"""Errors that a person must mend: wrong password, no such database, no rights, not migrated."""

LEASE_LOST: Final = "TP001"


@asynccontextmanager
async def open_pool(
    url: str, *, size: int, application: str, eager: bool = True
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool of connections and close it at the end.

    Args:
        url: postgresql:// address.
        size: the most connections open at once.
        application: shown in pg_stat_activity.
        eager: whether to connect at once, and fail where the database is away, rather than on first use.
    """
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        command_timeout=60,
        server_settings={
            "application_name": application,
            "timezone": "UTC",
            # A paused process must not keep its locks: its transaction is void anyway.
            "idle_in_transaction_session_timeout": "5s",
            # A late trade changes a candle wherever it is: one of a batch that has to be unpacked for it.
            # Without TimescaleDB it is a name without meaning.
            "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
        },
    )
    try:
        if eager:
            async with pool.acquire():
                pass
        yield pool
    finally:
        try:
            await pool.close()
        except BaseException:
            pool.terminate()
            raise


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Run one transaction on a connection of the pool.

    Raises:
        LeaseLostError: the fence refused the commit.
    """
    async with pool.acquire() as connection:
        try:
            async with connection.transaction():
                yield cast(Connection, connection)
        except asyncpg.PostgresError as error:
            if error.sqlstate == LEASE_LOST:
                raise LeaseLostError(str(error)) from error
            raise


@asynccontextmanager
async def snapshot(pool: asyncpg.Pool, *, timeout_s: float) -> AsyncIterator[asyncpg.Connection]:
    """Read several things as they were at one moment.

    Args:
        pool: connections.
        timeout_s: how long all of it may take, waiting for a connection included.

    Raises:
        TimeoutError: it took longer; one of `OUTAGE`.
    """
    async with (
        asyncio.timeout(timeout_s),
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield cast(Connection, connection)


def refused(error: BaseException) -> FatalError:
    """Say what to do about one of `REFUSED`."""
    return FatalError(
        f"the database refuses: {error}; check TICKPLANT_DATABASE_URL, or run: tickplant migrate"
    )
