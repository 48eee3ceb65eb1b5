"""Checks whether a database is usable, and whether the user has the rights that are needed."""

from typing import Final

import asyncpg

from db.grants import WRITER
from tickplant.errors import FatalError
from tickplant.local.binaries import OLDEST_POSTGRES

_ENCODING: Final = "UTF8"

NEW_DATABASE: Final = "create database NAME encoding 'UTF8' template template0"
"""Creates a database that can represent every symbol."""


async def check_fitness(connection: asyncpg.Connection, *, to_migrate: bool = True) -> None:
    """Check that the database can store what tickplant writes, and that the user has the rights for it.

    Args:
        connection: of the user.
        to_migrate: whether the user is going to create and alter tables, or else to read and write rows.

    Raises:
        FatalError: the server is too old, the encoding can't represent every symbol, the database is
            read-only, or the user lacks rights.
    """
    row = await connection.fetchrow(_DATABASE)
    assert row is not None  # the query always has a row
    if row["number"] < OLDEST_POSTGRES * 10_000:
        raise FatalError(
            f"PostgreSQL {row['version']} is too old: install version {OLDEST_POSTGRES} or newer"
        )
    if row["encoding"] != _ENCODING:
        raise FatalError(
            f"database {row['name']} has encoding {row['encoding']}, which can't represent every symbol:"
            f" create another one: {NEW_DATABASE}"
        )
    if row["standby"]:
        raise FatalError("the server is a standby, which is read-only: use the address of its primary server")
    if row["read_only"]:
        raise FatalError(
            "the database is read-only: default_transaction_read_only is on for the server, the database or"
            f" user {row['user']}: switch it off there"
        )
    if not to_migrate:
        await _check_rows(connection, row["user"])
        return
    await _check_owner(connection, row["user"])
    if not row["may_create"]:
        raise FatalError(
            f"user {row['user']} may not create tables in schema {row['schema']} of database {row['name']}:"
            " the schema's owner can allow it:"
            f" grant usage, create on schema {row['schema']} to {row['user']}"
        )


async def _check_owner(connection: asyncpg.Connection, user: str) -> None:
    owner = await connection.fetchval(_OTHER_OWNER)
    if owner is not None:
        raise FatalError(
            f"tickplant's tables belong to {owner}, and user {user} may not alter them: migrate as {owner};"
            f" workers and the API only need a user in the group {WRITER}"
        )


async def _check_rows(connection: asyncpg.Connection, user: str) -> None:
    if not await connection.fetchval(_MAY_WRITE):
        raise FatalError(
            f"user {user} may not read and write rows of tickplant's tables: use their owner, or run as a"
            f" superuser: grant {WRITER} to {user}"
        )


_DATABASE: Final = """
    select current_database()::text as name, quote_ident(current_user) as user, wanted.schema,
        current_setting('server_version_num')::int as number, current_setting('server_version') as version,
        current_setting('server_encoding') as encoding, pg_is_in_recovery() as standby,
        current_setting('transaction_read_only')::bool as read_only,
        coalesce(has_schema_privilege(n.oid, 'create') and has_schema_privilege(n.oid, 'usage'), false)
            as may_create
    from (select trim(split_part(current_setting('search_path'), ',', 1)) as schema) wanted
    left join pg_namespace n on quote_ident(n.nspname) = wanted.schema
"""

_OTHER_OWNER: Final = """
    select pg_get_userbyid(relowner)::text from pg_class
    where oid in (to_regclass('migration'), to_regclass('plant'), to_regclass('trades'))
        and not pg_has_role(relowner, 'usage')
    limit 1
"""

_MAY_WRITE: Final = """
    select has_table_privilege('trades', 'select') and has_table_privilege('trades', 'insert')
        and has_table_privilege('lease', 'update')
"""
