"""Settings of a database session, independent of the configuration of server, database and user.

They are set by SQL, since connection poolers reject most settings in the connection's start-up packet.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from tickplant.errors import FatalError

_SETTINGS: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",  # PostgreSQL 17 and newer
    "idle_session_timeout": "0",
    # Concurrent transactions wait for each other's rows; at a stricter level they would fail instead.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "session_replication_role": "origin",
    "synchronous_commit": "on",
    # Row-level security must raise an error instead of hiding rows.
    "row_security": "off",
    "default_table_access_method": "heap",
    # Statements are short; where many chunks make them look costly, compiling them would take longer.
    "jit": "off",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
}
"""Read-only defaults stay: administrators set them to protect a standby or a full disk."""

_EXTENSION_SETTINGS: Final = {
    # A late trade may change a candle in the columnstore, whose batch is unpacked for it. Without TimescaleDB
    # the setting has no effect.
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
}

_POOLER_ROUNDS: Final = 10
_POOLER_WAIT_S: Final = 5.0

_POOLED: Final = (
    "the database is behind a connection pooler (such as PgBouncer) that assigns each transaction to another"
    " session, but tickplant needs its sessions for prepared statements, settings and locks: set"
    " pool_mode=session for this database, or set TICKPLANT_DATABASE_URL to the server's own address"
)


async def prepare_session(
    connection: asyncpg.Connection, connect: Callable[[], Awaitable[asyncpg.Connection]], **settings: str
) -> None:
    """Make a new session independent of the server's configuration.

    The search_path contains the schema with the plant's tables (`public` before the first migration) and
    that of TimescaleDB's functions, whatever the user's search_path is.

    Args:
        connection: just opened.
        connect: opens another one like it.
        settings: override those of every session.

    Raises:
        FatalError: a pooler shares sessions between transactions.
    """
    await _check_pooling(connection, connect)
    wanted = {**_SETTINGS, **settings}
    rows = ", ".join(f"('{name}', '{value}')" for name, value in wanted.items())
    always = ", ".join(
        f"set_config('{name}', '{value}', false)" for name, value in _EXTENSION_SETTINGS.items()
    )
    await connection.execute(_APPLY.format(rows=rows))
    await connection.execute(f"select {_SEARCH_PATH}, {always}")


def pooler_error(error: BaseException) -> FatalError:
    """Return the error for prepared statements that fail since a pooler shares sessions."""
    return FatalError(f"{_POOLED} ({error})")


async def _check_pooling(
    connection: asyncpg.Connection, connect: Callable[[], Awaitable[asyncpg.Connection]]
) -> None:
    """Raise if the statements of one connection run in different sessions of the server.

    A process id that is not the server's reveals a pooler. A second connection then tests whether the pooler
    shares sessions. Only plain statements are sent, which work in any mode.
    """
    if await _is_true(connection, f"pg_backend_pid() = {connection.get_server_pid()}"):
        return
    mark = secrets.token_hex(8)
    marked = f"current_setting('tickplant.session', true) = '{mark}'"
    await connection.execute(f"set tickplant.session = '{mark}'")
    try:
        other = await connect()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return  # no second session is available: the first one is not shared
    try:
        for _ in range(_POOLER_ROUNDS):
            if await _is_true(other, marked) or not await _is_true(connection, marked):
                raise FatalError(_POOLED)
            await other.execute("begin", timeout=_POOLER_WAIT_S)
            unchanged = await _is_true(connection, marked)
            await other.execute("rollback")
            if not unchanged:
                raise FatalError(_POOLED)
    except TimeoutError:
        pass  # the pooler has no second session while the first is in use: sessions are not shared
    finally:
        other.terminate()
        await connection.execute("reset tickplant.session")


async def _is_true(connection: asyncpg.Connection, condition: str) -> bool:
    """Evaluate a condition without a prepared statement, by the number of rows."""
    answer: Any = await connection.execute(f"select where {condition}", timeout=_POOLER_WAIT_S)
    return str(answer) == "SELECT 1"


_APPLY: Final = """
    select set_config(name, value, false) from (values {rows}) as wanted (name, value)
    where current_setting(name, true) <> value
        and (name <> 'synchronous_commit' or current_setting(name) = 'off')  -- others are as durable
"""

_SEARCH_PATH: Final = """
    set_config('search_path', concat_ws(', ',
        coalesce((
            select quote_ident(n.nspname) from pg_namespace n
            join pg_class c on c.relnamespace = n.oid and c.relname = 'plant' and c.relkind = 'r'
            join pg_class l on l.relnamespace = n.oid and l.relname = 'ledger' and l.relkind = 'r'
            order by n.nspname <> 'public', not pg_table_is_visible(c.oid), n.nspname limit 1
        ), 'public'), (
            select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace
            where e.extname = 'timescaledb'
        )
    ), false)
"""
