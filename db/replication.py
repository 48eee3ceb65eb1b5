"""How far a replica is behind its primary."""

from typing import Final

import asyncpg
from msgspec import Struct

from db.pool import OUTAGE, DatabaseConnection, Pool, connect, database_error


class ReplicaState(Struct, frozen=True, kw_only=True):
    """A server that is read beside the primary."""

    standby: bool
    """Whether it follows another server; otherwise nothing can be said of its lag."""
    lag_bytes: int | None
    """How much of the primary's write-ahead log it has not applied yet; None if unknown."""
    lag_s: float | None
    """The age of the last transaction that it has applied; 0 if it has applied all, None if unknown."""


async def read_replica_state(
    primary: Pool | DatabaseConnection, replica: Pool | DatabaseConnection
) -> ReplicaState:
    """Measure the lag of a replica; unknown while the primary's address leads to a standby.

    Raises:
        PostgresError: or another of `OUTAGE`.
    """
    position = await primary.fetchval(_POSITION)
    row = await replica.fetchrow(_STATE, position)
    assert row is not None  # it has no condition
    if not row["standby"]:
        return ReplicaState(standby=False, lag_bytes=None, lag_s=None)
    lag_bytes, lag_s = row["lag_bytes"], row["lag_s"]
    if lag_bytes is None:
        return ReplicaState(standby=True, lag_bytes=None, lag_s=None)
    behind = lag_bytes > 0
    return ReplicaState(
        standby=True,
        lag_bytes=max(0, int(lag_bytes)),
        lag_s=None if behind and lag_s is None else max(0.0, lag_s) if behind else 0.0,
    )


async def inspect_replica(primary_url: str, replica_url: str) -> ReplicaState:
    """Measure the lag of a replica, over connections of its own.

    Raises:
        FatalError: one of the two can't be reached.
    """
    application = "tickplant doctor"
    try:
        primary = await connect(primary_url, application=application)
        try:
            replica = await connect(replica_url, application=application, wanted="any")
            try:
                return await read_replica_state(primary, replica)
            finally:
                await replica.close()
        finally:
            await primary.close()
    except (*OUTAGE, asyncpg.PostgresError) as error:
        raise database_error(error) from error


_POSITION: Final = "select case when not pg_is_in_recovery() then pg_current_wal_lsn()::text end"
_STATE: Final = """
    select pg_is_in_recovery() as standby,
        pg_wal_lsn_diff($1::text::pg_lsn, pg_last_wal_replay_lsn())::bigint as lag_bytes,
        extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 as lag_s
"""
