"""API keys in the database: created and revoked by the command line, read by the API."""

from collections.abc import Collection
from typing import NamedTuple

import asyncpg

from tickplant.api_keys import NewKey, Scope
from tickplant.errors import FatalError
from tickplant.times import to_us


class ApiKeyRow(NamedTuple):
    """A key as it is stored."""

    key_id: str
    name: str
    digest: bytes
    scopes: tuple[Scope, ...]
    created_us: int
    revoked_us: int | None


async def create_api_key(
    connection: asyncpg.Connection, key: NewKey, name: str, scopes: Collection[Scope]
) -> None:
    """Store a new key.

    Raises:
        FatalError: a key that is not revoked has this name.
    """
    try:
        await connection.execute(
            "insert into api_keys (key_id, name, digest, scopes) values ($1, $2, $3, $4)",
            key.key_id,
            name,
            key.digest,
            list(scopes),
        )
    except asyncpg.UniqueViolationError:
        raise FatalError(f"there is a key named {name!r}: choose another name, or revoke it first") from None


async def revoke_api_key(connection: asyncpg.Connection, key: str) -> ApiKeyRow | None:
    """Revoke the valid key with this identifier or name; return it, or None if there is none."""
    row = await connection.fetchrow(
        "update api_keys set revoked_at = clock_timestamp()"
        " where revoked_at is null and (key_id = $1 or name = $1) returning *",
        key,
    )
    return _row_of(row) if row else None


async def read_api_keys(connection: asyncpg.Connection) -> list[ApiKeyRow]:
    """Return all keys, also revoked ones, oldest first."""
    rows = await connection.fetch("select * from api_keys order by created_at, key_id")
    return [_row_of(row) for row in rows]


async def read_valid_api_keys(pool: asyncpg.Pool) -> list[ApiKeyRow]:
    """Return the keys that are not revoked."""
    return [_row_of(row) for row in await pool.fetch("select * from api_keys where revoked_at is null")]


def _row_of(row: asyncpg.Record) -> ApiKeyRow:
    return ApiKeyRow(
        row["key_id"],
        row["name"],
        row["digest"],
        tuple(row["scopes"]),
        to_us(row["created_at"]),
        to_us(row["revoked_at"]) if row["revoked_at"] else None,
    )
