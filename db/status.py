"""Reads tables, policies and leases, for `tickplant db status`."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg
from msgspec import Struct

from db.leases import LeaseRow, read_leases
from db.policies import RETAINED, has_scheduler
from db.provenance import read_database_source


class TableStatus(Struct, frozen=True, kw_only=True):
    """The state of a table."""

    name: str
    rows: int | None
    """Estimated by the last analysis; None before the first."""
    bytes: int
    """Including indexes."""
    chunks: int | None
    """None for a plain table, as the next two."""
    columnstore_chunks: int | None
    """How many chunks are in the columnstore."""
    ratio: float | None
    """Their compression ratio; None if there are none."""
    keep_days: int | None
    """How long rows are stored; None: forever."""
    oldest: datetime | None
    """Time of the oldest row, for tables with rows removed by age; None if there is none."""
    newest: datetime | None


class PolicyStatus(Struct, frozen=True, kw_only=True):
    """A job of TimescaleDB's scheduler."""

    name: str
    """Of the procedure."""
    relation: str | None
    """None: several tables."""
    every: timedelta
    next_start: datetime | None
    last_finish: datetime | None
    """Of the last successful run; None if none was."""
    failures: int
    """All runs that failed."""
    last_error: str | None


class DatabaseStatus(Struct, frozen=True, kw_only=True):
    """The whole database."""

    version: str
    """PostgreSQL's."""
    timescaledb: str | None
    """Its version; None where it isn't used."""
    bytes: int
    """Of the whole database."""
    symbols: int
    source: str | None
    """The source of all trades: live, replay or synthetic; None before the first."""
    tables: list[TableStatus]
    """The largest first."""
    policies: list[PolicyStatus]
    """Empty without TimescaleDB's scheduler."""
    leases: list[LeaseRow]


async def read_database_status(connection: asyncpg.Connection) -> DatabaseStatus:
    """Read the status; the sizes of a large database take a moment."""
    timescaledb: str | None = await connection.fetchval(_TIMESCALEDB)
    scheduled = await has_scheduler(connection)
    return DatabaseStatus(
        version=(await connection.fetchval("show server_version")).split()[0],
        timescaledb=timescaledb,
        bytes=await connection.fetchval("select pg_database_size(current_database())"),
        symbols=await connection.fetchval("select count(*) from ledger"),
        source=await read_database_source(connection),
        tables=await _read_tables(connection, timescaledb=timescaledb is not None, scheduled=scheduled),
        policies=[PolicyStatus(**row) for row in await connection.fetch(_POLICIES)] if scheduled else [],
        leases=await read_leases(connection),
    )


async def _read_tables(
    connection: asyncpg.Connection, *, timescaledb: bool, scheduled: bool
) -> list[TableStatus]:
    rows = await connection.fetch(_HYPERTABLES if timescaledb else _TABLES)
    ratios = {row["name"]: row["ratio"] for row in await connection.fetch(_RATIOS)} if scheduled else {}
    tables = []
    for row in rows:
        oldest, newest = await _read_edges(connection, row["name"])
        tables.append(TableStatus(**row, oldest=oldest, newest=newest, ratio=ratios.get(row["name"])))
    return tables


async def _read_edges(
    connection: asyncpg.Connection, relation: str
) -> tuple[datetime | None, datetime | None]:
    """Return the times of the oldest and newest row, by an index step for each symbol."""
    column = RETAINED.get(relation)
    if column is None:
        return None, None
    row = await connection.fetchrow(
        f"select min(oldest), max(newest) from ledger l cross join lateral ("  # noqa: S608 - constants only
        f' select min("{column}") as oldest, max("{column}") as newest from {relation} r'
        f" where r.venue = l.venue and r.symbol = l.symbol {_ONE_SERIES.get(relation, '')}) edges"
    )
    assert row is not None  # an aggregate
    return row[0], row[1]


_ONE_SERIES: Final = {
    "closed_candles": "and r.\"interval\" = '1m'",
    "averages": "and r.\"interval\" = '1m' and r.name = (select name from averages a"
    " where a.venue = l.venue and a.symbol = l.symbol and a.\"interval\" = '1m' limit 1)",
}
"""Selects one of several series in a table, so that an index finds its ends."""

_TIMESCALEDB: Final = "select extversion from pg_extension where extname = 'timescaledb'"

_OURS: Final = """
    c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
        and not exists (select from pg_depend where objid = c.oid and deptype = 'e')
"""

_TABLES: Final = f"""
    select c.relname as name, nullif(c.reltuples, -1)::bigint as rows, pg_total_relation_size(c.oid) as bytes,
        null::bigint as chunks, null::bigint as columnstore_chunks, r.keep_days
    from pg_class c left join retention r on r.relation = c.relname
    where {_OURS} order by bytes desc, name
"""  # noqa: S608 - constants only

_HYPERTABLES: Final = f"""
    select c.relname as name,
        case when h.chunks is null then nullif(c.reltuples, -1)::bigint
            else nullif(approximate_row_count(c.oid), 0) end as rows,
        case when h.chunks is null then pg_total_relation_size(c.oid)
            else hypertable_size(c.oid) end as bytes,
        h.chunks, h.columnstore_chunks, r.keep_days
    from pg_class c left join retention r on r.relation = c.relname left join (
        select hypertable_name, count(chunk_name) as chunks,
            count(*) filter (where is_compressed) as columnstore_chunks
        from timescaledb_information.hypertables
        left join timescaledb_information.chunks using (hypertable_schema, hypertable_name)
        where hypertable_schema = current_schema() group by hypertable_name
    ) h on h.hypertable_name = c.relname
    where {_OURS} order by bytes desc, name
"""  # noqa: S608 - constants only

_RATIOS: Final = """
    select hypertable::text as name,
        before_compression_total_bytes::float8 / nullif(after_compression_total_bytes, 0) as ratio
    from timescaledb_information.hypertable_columnstore_settings, hypertable_columnstore_stats(hypertable)
    where number_compressed_chunks > 0
"""

_POLICIES: Final = """
    select proc_name::text as name, hypertable_name::text as relation, schedule_interval as every,
        j.next_start, nullif(s.last_successful_finish, '-infinity') as last_finish,
        coalesce(s.total_failures, 0) as failures, e.last_error
    from timescaledb_information.jobs j
    left join (
        select job_id, last_successful_finish, total_failures from timescaledb_information.job_stats
    ) s using (job_id)
    left join lateral (
        select err_message as last_error from timescaledb_information.job_errors
        where job_id = j.job_id order by finish_time desc limit 1
    ) e on true
    where proc_name in ('policy_compression', 'remove_expired')
    order by relation nulls last, name
"""
