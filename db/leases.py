"""Leases: which worker owns which partition, and up to which entry its results are committed."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from db.pool import transaction

_MERGE_VERSION: Final = 14
"""The last migration that changed how candles are merged: `advance()` refuses workers of a lower one."""


class Lease(NamedTuple):
    """The ownership of a partition in a role, as of when it was taken."""

    role: str
    partition: int
    owner: str
    epoch: int
    entry_id: str
    """The last committed entry when the lease was taken."""
    server: str | None = None
    """The database server on which it was taken, as `system identifier/timeline`; None: unknown."""


class LeaseRow(NamedTuple):
    """A row of the lease table."""

    role: str
    partition: int
    owner: str | None
    epoch: int
    entry_id: str
    alive: bool
    """Whether the lease has an owner and has not expired."""


async def heartbeat(
    pool: asyncpg.Pool, role: str, owner: str, ttl_s: float
) -> tuple[list[str], dict[int, int]]:
    """Record that a worker is alive, and extend its leases.

    Returns:
        The names of all live owners in the role, sorted, including this one; and the partitions that this
        owner holds, with their epochs, without those that it took on a former primary.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "insert into worker values ($1, $2, clock_timestamp() + make_interval(secs => $3))"
            " on conflict (owner, role) do update set expires_at = excluded.expires_at",
            owner,
            role,
            ttl_s,
        )
        held = await connection.fetch(
            "update lease set expires_at = clock_timestamp() + make_interval(secs => $3)"
            " where role = $1 and owner = $2 and server is not distinct from (select database_server())"
            " returning partition, epoch",
            role,
            owner,
            ttl_s,
        )
        alive = await connection.fetch(
            # This worker counts as alive, however long it was paused.
            "select owner from worker where role = $1 and (expires_at > clock_timestamp() or owner = $2)"
            " order by owner",
            role,
            owner,
        )
        await connection.execute(
            "delete from worker where expires_at < clock_timestamp() - interval '1 hour'"
        )
    return [row["owner"] for row in alive], {row["partition"]: row["epoch"] for row in held}


async def take_lease(pool: asyncpg.Pool, role: str, partition: int, owner: str, ttl_s: float) -> Lease | None:
    """Take a lease that is free, expired or this owner's own, and raise its epoch.

    Returns:
        The lease, or None where another holds it.
    """
    row = await pool.fetchrow(
        "insert into lease as l (role, partition, owner, epoch, expires_at)"
        " values ($1, $2, $3, 1, clock_timestamp() + make_interval(secs => $4))"
        " on conflict (role, partition) do update"
        " set owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at"
        " where l.owner is null or l.owner = excluded.owner or l.expires_at < clock_timestamp()"
        " returning epoch, entry_id, server",
        role,
        partition,
        owner,
        ttl_s,
    )
    return Lease(role, partition, owner, row["epoch"], row["entry_id"], row["server"]) if row else None


async def raise_epoch(pool: asyncpg.Pool, lease: Lease, epoch: int) -> bool:
    """Raise the epoch of a lease that is still held: Redis knows a later one than the database.

    Returns:
        Whether it was raised; it is not where another has taken the lease.
    """
    raised: str = await pool.execute(
        "update lease set epoch = $5 where role = $1 and partition = $2 and owner = $3 and epoch = $4",
        *(lease.role, lease.partition, lease.owner, lease.epoch, epoch),
    )
    return raised == "UPDATE 1"


async def advance_in_transaction(
    connection: asyncpg.Connection, lease: Lease, expected_entry_id: str, entry_id: str
) -> None:
    """Move a partition's committed entry: the fence, and the last statement of each worker transaction.

    Args:
        connection: of `db.pool.transaction`.
        lease: of the partition.
        expected_entry_id: the last committed entry.
        entry_id: the new one.

    Raises:
        PostgresError: another owner has taken the partition; `transaction` turns it into LeaseLostError.
    """
    await connection.execute(
        "select advance($1, $2, $3, $4, $5, $6, $7)",
        lease.role,
        lease.partition,
        lease.owner,
        lease.epoch,
        expected_entry_id,
        entry_id,
        _MERGE_VERSION,
    )


async def advance(pool: asyncpg.Pool, lease: Lease, expected_entry_id: str, entry_id: str) -> None:
    """Move a partition's committed entry in a transaction that writes nothing else.

    Raises:
        LeaseLostError: another owner has taken the partition; nothing has changed.
    """
    async with transaction(pool) as connection:
        await advance_in_transaction(connection, lease, expected_entry_id, entry_id)


async def delete_leases(pool: asyncpg.Pool, roles: Sequence[str]) -> bool:
    """Delete the leases of roles without workers, and with them their committed entries.

    Returns:
        Whether they were deleted; they are not while a worker holds one of them.
    """
    async with pool.acquire() as connection, connection.transaction():
        alive: bool = await connection.fetchval(
            "select exists (select from lease where role = any($1) and owner is not null"
            " and expires_at > clock_timestamp())",
            roles,
        )
        if not alive:
            await connection.execute("delete from lease where role = any($1)", roles)
    return not alive


async def release_lease(pool: asyncpg.Pool, lease: Lease) -> None:
    """Release a lease, so that others may take it at once; do nothing if it is lost already."""
    await pool.execute(
        "update lease set owner = null, expires_at = '-infinity'"
        " where role = $1 and partition = $2 and owner = $3 and epoch = $4",
        lease.role,
        lease.partition,
        lease.owner,
        lease.epoch,
    )


async def remove_worker(pool: asyncpg.Pool, role: str, owner: str) -> None:
    """Record that a worker has stopped."""
    await pool.execute("delete from worker where owner = $1 and role = $2", owner, role)


async def read_leases(connection: asyncpg.Pool | asyncpg.Connection) -> list[LeaseRow]:
    """Return all leases by role and partition."""
    rows = await connection.fetch(
        "select role, partition, owner, epoch, entry_id,"
        " owner is not null and expires_at > clock_timestamp() as alive from lease order by role, partition"
    )
    return [LeaseRow(**row) for row in rows]
