"""Connections to the database, transactions, and the classification of its errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import asyncpg

from db.hosts import (
    UNREACHABLE,
    Found,
    Host,
    Open,
    Wanted,
    connect_to_one,
    find_better,
    hosts_of,
    note_timeline,
    wanted_of,
)
from db.schema import check_schema
from db.session import pooler_error, prepare_session
from tickplant.background import background
from tickplant.errors import FatalError, LeaseLostError
from tickplant.network_errors import system_reason

_log = logging.getLogger(__name__)

DatabaseConnection = asyncpg.Connection
Pool = asyncpg.Pool

OUTAGE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Transient errors: the server or the connection is unavailable, full, busy, read-only or a standby."""

_POOLED: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_NOT_MIGRATED: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidSchemaNameError,
)

REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    *_NOT_MIGRATED,
    *_POOLED,
)
"""Errors that need an administrator: wrong password, no such database, no rights, not migrated."""

LEASE_LOST: Final = "TP001"

CONNECT_S: Final = 10.0
"""The longest wait for a connection."""
LOOK_S: Final = 5.0
"""How often a pool looks whether another of its hosts is better than the one in use."""


async def connect(
    url: str,
    *,
    application: str,
    timeout_s: float = CONNECT_S,
    wanted: Wanted = "primary",
    **settings: str,
) -> DatabaseConnection:
    """Open one connection.

    Args:
        url: postgresql:// address, perhaps of several hosts.
        application: shown in pg_stat_activity.
        timeout_s: the longest wait for it.
        wanted: which of several hosts, unless the address says it.
        settings: of the session, in addition to those of every session.

    Raises:
        FatalError: the address is invalid, or a pooler shares sessions between transactions.
    """

    async def open_() -> DatabaseConnection:
        server_settings = {"application_name": application}
        return await _connect(url, timeout=timeout_s, wanted=wanted, server_settings=server_settings)

    connection = await open_()
    try:
        await prepare_session(connection, open_, **settings)
    except BaseException:
        connection.terminate()
        raise
    return connection


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    size: int,
    application: str,
    eager: bool = True,
    migrated: bool = True,
    takes_session_locks: bool = True,
    timeout_s: float = 60.0,
    wanted: Wanted = "primary",
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool of connections and close it at the end.

    Args:
        url: postgresql:// address, perhaps of several hosts: the primary may move from one to another.
        size: the most open connections.
        application: shown in pg_stat_activity.
        eager: whether to connect now, and fail if the database is unavailable, instead of on first use.
        migrated: whether the first connection raises FatalError if the schema is not this version's.
        takes_session_locks: whether statements take advisory locks of the session; if not, a use of a
            connection is one round trip shorter.
        timeout_s: the longest duration of a statement, and then of the wait until it is cancelled: a server
            that hangs holds up whoever asked it for twice as long.
        wanted: which of several hosts, unless the address says it.
    """
    unchecked = migrated
    server_settings = {"application_name": application}
    hosts = _PoolHosts(url, wanted, server_settings)

    async def prepare(connection: Any) -> None:
        nonlocal unchecked
        await prepare_session(
            connection,
            lambda: _connect(url, wanted=wanted, server_settings=server_settings),
            # A paused process must not hold its locks: its transaction fails at the fence anyway.
            idle_in_transaction_session_timeout="5s",
        )
        if unchecked:
            await check_schema(connection)
            unchecked = False

    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        command_timeout=timeout_s,
        server_settings=server_settings,
        connect=partial(_connect, wanted=wanted, on_found=hosts.note),
        init=prepare,
        reset=_release_locks if takes_session_locks else _keep,
    )
    try:
        if eager:
            async with pool.acquire():
                pass
        async with background(hosts.follow(pool)):
            yield pool
    finally:
        try:
            await pool.close()
        except BaseException:
            pool.terminate()
            raise


class _PoolHosts:
    """Which of the hosts of its address a pool uses."""

    def __init__(self, url: str, wanted: Wanted, server_settings: dict[str, str]) -> None:
        self._url = url
        self._wanted: Wanted = wanted
        self._open = _opening(url, CONNECT_S, server_settings=server_settings)
        self._used: Found | None = None
        self._connections: WeakKeyDictionary[DatabaseConnection, Host] = WeakKeyDictionary()

    def note(self, found: Found) -> None:
        """Note a new connection of the pool; it may be the first one to a replica that was promoted."""
        former, self._used = self._used, found
        self._connections[found.connection] = found.host
        if former is not None and found.state.replaces(former.state):
            self._leave(former.host, found.host)

    async def follow(self, pool: asyncpg.Pool) -> None:
        """Move the pool to better hosts, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            used = self._used
            if used is None:
                continue
            wanted = wanted_of(self._url, self._wanted)
            better = await find_better(hosts_of(self._url), wanted, used, self._open)
            if better is None or self._used is not used:  # a new connection may have found it meanwhile
                continue
            self._used = None  # until it connects again
            if better.replaces:
                self._leave(used.host, better.host)
            else:
                _log.warning("%s is a standby: connections move there from %s", better.host, used.host)
            await pool.expire_connections()

    def _leave(self, former: Host, primary: Host) -> None:
        """Cut off connections to a former primary: what it answers counts no more, and it may never do."""
        _log.warning(
            "%s is the primary, on a newer timeline: connections move there from %s", primary, former
        )
        for connection, host in list(self._connections.items()):
            if host == former:
                connection.terminate()


def _opening(url: str, timeout_s: float, **options: Any) -> Open:
    async def open_(host: Host) -> DatabaseConnection:
        return await _connect_to_host(
            url, timeout_s, host=host.host, port=host.port, target_session_attrs="any", **options
        )

    return open_


async def _connect(
    url: str,
    *,
    wanted: Wanted,
    timeout: float = CONNECT_S,
    on_found: Callable[[Found], object] = lambda _: None,
    **options: Any,
) -> DatabaseConnection:
    try:
        hosts = hosts_of(url)
        asked = wanted_of(url, wanted)
        if len(hosts) > 1 or (hosts and "target_session_attrs=" in url):
            found = await connect_to_one(hosts, asked, _opening(url, timeout, **options))
            on_found(found)
            return found.connection
        return await _connect_to_host(url, timeout, **options)
    except ValueError as error:  # also asyncpg's own, for options in the address
        raise FatalError(f"{UNREACHABLE}{error}; check TICKPLANT_DATABASE_URL") from error


async def _connect_to_host(url: str, timeout_s: float, **options: Any) -> DatabaseConnection:
    try:
        return cast(DatabaseConnection, await asyncpg.connect(url, timeout=timeout_s, **options))
    except TimeoutError as error:
        raise asyncpg.PostgresConnectionError(f"{UNREACHABLE}no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise asyncpg.PostgresConnectionError(f"{UNREACHABLE}{error}") from error


async def _release_locks(connection: Any) -> None:
    """Release a session's locks before the next use; its settings stay."""
    await connection.execute("select pg_advisory_unlock_all()")


async def _keep(connection: Any) -> None:
    """Leave a session as it is: settings stay, and there are no locks."""


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Run one transaction on a connection of the pool.

    Raises:
        LeaseLostError: the fence rejected the commit.
    """
    async with pool.acquire() as connection:
        try:
            async with connection.transaction():
                yield cast(DatabaseConnection, connection)
        except asyncpg.PostgresError as error:
            if error.sqlstate == LEASE_LOST:
                raise LeaseLostError(str(error)) from error
            raise


@asynccontextmanager
async def statement(pool: asyncpg.Pool, *, timeout_s: float) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for one statement that reads; without a transaction it takes one round trip.

    Args:
        pool: connections.
        timeout_s: the longest duration, including the wait for a connection.

    Raises:
        TimeoutError: it took longer; one of `OUTAGE`.
    """
    async with asyncio.timeout(timeout_s), pool.acquire() as connection:
        yield cast(DatabaseConnection, connection)


@asynccontextmanager
async def snapshot(pool: asyncpg.Pool, *, timeout_s: float) -> AsyncIterator[asyncpg.Connection]:
    """Read the database as of one moment.

    Args:
        pool: connections.
        timeout_s: the longest duration, including the wait for a connection.

    Raises:
        TimeoutError: it took longer; one of `OUTAGE`.
    """
    async with (
        asyncio.timeout(timeout_s),
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield cast(DatabaseConnection, connection)


async def refuse_former_primary(pool: asyncpg.Pool, server: str | None, timeline: int) -> None:
    """Connect to a former primary no more where the address has other hosts.

    Args:
        pool: whose connections are closed once they are not in use.
        server: the former primary, as `Lease.server` has it.
        timeline: the newest known one of its cluster.
    """
    if server is not None:
        note_timeline(int(server.partition("/")[0]), timeline)
    await pool.expire_connections()


def outage_reason(error: BaseException) -> str:
    """Return the reason of one of `OUTAGE`, or of a server other than the database, for the log."""
    closed = isinstance(error, asyncpg.InterfaceError) and "connection is closed" in str(error)
    if closed or isinstance(error, asyncpg.InternalClientError):  # its text is about the driver's own state
        return "the connection to the database was lost"
    return system_reason(error) or str(error) or type(error).__name__


def is_database_error(error: BaseException) -> bool:
    """Return whether an error comes from the database or its driver."""
    return isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def database_error(error: BaseException) -> FatalError:
    """Return the error that ends the process, with its remedy."""
    if isinstance(error, _POOLED):
        return pooler_error(error)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        remedy = "check the user and the password in TICKPLANT_DATABASE_URL, and the server's pg_hba.conf"
    elif isinstance(error, asyncpg.InvalidCatalogNameError):
        remedy = "create it, or correct TICKPLANT_DATABASE_URL"
    elif isinstance(error, asyncpg.InsufficientPrivilegeError):
        remedy = (
            "use the tables' owner, or a user in the group tickplant_writer; see tickplant migrate --help"
        )
    elif isinstance(error, _NOT_MIGRATED):
        remedy = "run: tickplant migrate"
    elif isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        remedy = "use the primary server, or switch default_transaction_read_only off"
    elif isinstance(error, OUTAGE):
        reason = outage_reason(error).removeprefix(UNREACHABLE)
        return FatalError(f"{UNREACHABLE}{reason}; start the server, or check TICKPLANT_DATABASE_URL")
    else:
        code = getattr(error, "sqlstate", None) or type(error).__name__
        remedy = f"the error code is {code}; see the server's log"
    return FatalError(f"database error: {error}; {remedy}")
