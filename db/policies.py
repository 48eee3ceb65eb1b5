"""Policies for old rows: moving them to TimescaleDB's columnstore, and removing them by age.

They are applied at every migration: changing a setting and restarting is enough.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import asyncpg
from msgspec import Struct


class Retention(Struct, frozen=True, kw_only=True):
    """How long rows are stored, in days; 0 for forever."""

    trades_days: int = 0
    """By venue time; so are candles."""
    candles_days: int = 0
    """Candles and rows computed from them."""
    records_days: int = 0
    """Records of alerts and gaps."""
    awaits_archive: bool = False
    """Whether trades and candles are removed only after their day is in the archive."""


class Columnstore(NamedTuple):
    """How a hypertable's chunks are stored in the columnstore."""

    relation: str
    segmentby: tuple[str, ...]
    """Columns that queries compare by equality; each combination is stored separately."""
    orderby: tuple[str, ...]
    after: timedelta
    """The age of a chunk's end at which it is moved there."""


# Rows can still be written to a chunk in the columnstore, but more slowly. So chunks are moved when writes
# are rare: trades when most gaps have been fetched, candles when their week has ended.
COLUMNSTORES: Final = (
    Columnstore("trades", ("venue", "symbol"), ("event_time", "trade_id"), timedelta(days=2)),
    # By the flags, too, to find the few candles that may still change without reading the others.
    Columnstore(
        "closed_candles",
        ("venue", "symbol", "interval", "closed", "complete"),
        ("open_time",),
        timedelta(days=30),
    ),
    Columnstore("venue_candles", ("venue", "symbol", "interval"), ("open_time",), timedelta(days=30)),
    Columnstore("averages", ("venue", "symbol", "interval", "name"), ("open_time",), timedelta(days=30)),
    Columnstore("statistics", ("venue", "symbol"), ("open_time",), timedelta(days=30)),
    Columnstore("signals", ("venue", "symbol", "strategy"), ("event_time", "number"), timedelta(days=30)),
    Columnstore("bot_equity", ("venue", "symbol"), ("time",), timedelta(days=30)),
)

RETAINED: Final = {
    "trades": "event_time",
    "closed_candles": "open_time",
    "venue_candles": "open_time",
    "averages": "open_time",
    "statistics": "open_time",
    "signals": "event_time",
    "bot_equity": "time",
}
"""Hypertables whose old rows can be removed, with the column of their age."""

_PLAIN_TABLES: Final = {"open_candle_rows": "last_event_time", "bot_orders": "time", "bot_fills": "time"}
"""Plain tables whose old rows are removed with the candles', likewise."""

_ARCHIVED: Final = ("trades", "closed_candles")
"""Tables whose rows an archive has."""

RECORDS: Final = {
    "alerts": "deleted_at",
    "alert_state": "stored_at",
    "bot_switchings": "switched_at",
    "firings": "event_time",
    "gaps": "settled_at",
    "notifications": "settled_at",
    "webhooks": "settled_at",
}
"""Tables of records, likewise. Pending rows stay: see `remove_some` in the migrations."""

_EVERY: Final = timedelta(hours=1)
"""How often policies run: rows loaded in bulk are in the columnstore an hour later."""


async def apply_policies(connection: asyncpg.Connection, retention: Retention) -> list[str]:
    """Apply the policies of the settings.

    Args:
        connection: of the tables' owner, outside a transaction.
        retention: how long rows are stored.

    Returns:
        Messages about policies that can't be applied.
    """
    scheduled = await has_scheduler(connection)
    await _write_retention(connection, retention, scheduled=scheduled)
    if scheduled:
        for columnstore in COLUMNSTORES:
            await _apply_columnstore(connection, columnstore)
        await _apply_removal(connection)
    elif await connection.fetchval(_EXTENSION):
        return ["this TimescaleDB is the Apache edition: it has no columnstore, and workers remove old rows"]
    return []


async def has_scheduler(connection: asyncpg.Connection) -> bool:
    """Return whether the database uses a TimescaleDB edition with jobs and a columnstore."""
    if not await connection.fetchval(_EXTENSION):
        return False
    licence: str | None = await connection.fetchval("select current_setting('timescaledb.license', true)")
    return licence == "timescale"


async def _write_retention(connection: asyncpg.Connection, retention: Retention, *, scheduled: bool) -> None:
    columns = RETAINED | _PLAIN_TABLES | RECORDS
    days = dict.fromkeys(columns, retention.candles_days) | dict.fromkeys(RECORDS, retention.records_days)
    days["trades"] = retention.trades_days
    limited = [name for name in columns if days[name]]
    async with connection.transaction():
        await connection.execute("delete from retention where relation <> all($1)", limited)
        await connection.executemany(
            "insert into retention (relation, time_column, keep_days, scheduled, awaits_archive)"
            " values ($1, $2, $3, $4, $5)"
            " on conflict (relation) do update set time_column = excluded.time_column,"
            " keep_days = excluded.keep_days, scheduled = excluded.scheduled,"
            " awaits_archive = excluded.awaits_archive",
            [
                (name, columns[name], days[name], scheduled, retention.awaits_archive and name in _ARCHIVED)
                for name in limited
            ],
        )


async def _apply_columnstore(connection: asyncpg.Connection, wanted: Columnstore) -> None:
    current = await connection.fetchrow(_COLUMNSTORE, wanted.relation) or ()
    if [tuple(columns or ()) for columns in current] != [wanted.segmentby, wanted.orderby]:
        # It locks the table, so it runs only on a change; chunks in the columnstore already stay unchanged.
        await connection.execute(
            f"alter table {wanted.relation} set (timescaledb.enable_columnstore,"
            f" timescaledb.segmentby = '{_quoted(wanted.segmentby)}',"
            f" timescaledb.orderby = '{_quoted(wanted.orderby)}')"
        )
    if await connection.fetchval(_COLUMNSTORE_POLICY, wanted.relation) != wanted.after:
        await connection.execute(f"call remove_columnstore_policy('{wanted.relation}', if_exists => true)")
        await connection.execute(
            f"call add_columnstore_policy('{wanted.relation}', after => interval '{wanted.after.days} days',"
            f" schedule_interval => interval '{_EVERY.seconds} s', initial_start => now() + interval"
            f" '{_EVERY.seconds} s')"
        )


async def _apply_removal(connection: asyncpg.Connection) -> None:
    """Add the job that removes old rows, or delete it if no rows are removed by age."""
    job_id = await connection.fetchval(_REMOVAL_JOB)
    wanted = await connection.fetchval("select exists (select from retention)")
    if wanted and job_id is None:
        await connection.execute("select add_job('remove_expired', $1, initial_start => now() + $1)", _EVERY)
    elif job_id is not None and not wanted:
        await connection.execute("select delete_job($1)", job_id)


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


_EXTENSION: Final = "select exists (select from pg_extension where extname = 'timescaledb')"

_COLUMNSTORE: Final = """
    select string_to_array(segmentby, ','), string_to_array(orderby, ',')
    from timescaledb_information.hypertable_columnstore_settings
    where hypertable = $1::text::regclass
"""

_COLUMNSTORE_POLICY: Final = """
    select (config ->> 'compress_after')::interval from timescaledb_information.jobs
    where proc_name = 'policy_compression' and hypertable_schema = current_schema() and hypertable_name = $1
"""

_REMOVAL_JOB: Final = """
    select job_id from timescaledb_information.jobs
    where proc_schema = current_schema() and proc_name = 'remove_expired'
"""
