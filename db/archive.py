"""The days that are in the archive of files, and those that are due."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Final

import asyncpg
from msgspec import Struct

from tickplant.market import SymbolId

_DAY: Final = timedelta(days=1)
_LOCK: Final = 0x74617263  # 'tarc': one archiving process at a time


class ArchiveRow(Struct, frozen=True):
    """The archive that a database's days are in."""

    archive_id: str
    url: str
    """Its address when it was last written to."""


class ArchivedDay(Struct, frozen=True):
    """A day that is in the archive."""

    symbol: SymbolId
    day: date
    revision: int
    manifest_sha256: str


@asynccontextmanager
async def only_archiver(connection: asyncpg.Connection) -> AsyncIterator[bool]:
    """Hold the right to write to the archive; yields False if another session has it."""
    held = await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK)
    try:
        yield held
    finally:
        if held and not connection.is_closed():
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def read_archive(connection: asyncpg.Connection) -> ArchiveRow | None:
    """Return the archive of this database; None if no day was archived yet."""
    row = await connection.fetchrow("select archive_id, url from archive")
    return None if row is None else ArchiveRow(*row)


async def write_archive(connection: asyncpg.Connection, row: ArchiveRow) -> None:
    """Record the archive; the days of another one are forgotten."""
    async with connection.transaction():
        await connection.execute(
            "delete from archived_days where not exists (select from archive where archive_id = $1)",
            row.archive_id,
        )
        await connection.execute(
            "insert into archive (archive_id, url) values ($1, $2)"
            " on conflict (one) do update set archive_id = excluded.archive_id, url = excluded.url",
            row.archive_id,
            row.url,
        )


async def read_archive_limit(connection: asyncpg.Connection, after_days: int) -> datetime | None:
    """Return the event time before which days are due, whole days; None in an empty database."""
    limit: datetime | None = await connection.fetchval("select retention_horizon($1)", after_days)
    return limit


async def read_first_day(connection: asyncpg.Connection, symbols: Sequence[SymbolId]) -> datetime | None:
    """Return the start of the first day that has trades of one of some symbols; None if none has."""
    firsts = [
        await connection.fetchval(
            "select date_trunc('day', event_time, 'UTC') from trades where venue = $1 and symbol = $2"
            " order by event_time limit 1",
            *symbol,
        )
        for symbol in symbols
    ]
    return min((first for first in firsts if first is not None), default=None)


async def read_stored_since(connection: asyncpg.Connection, symbol: SymbolId) -> datetime | None:
    """Return the start of the first day of which the database has all trades that it ever had.

    None if it has no trades of the symbol.
    """
    since: datetime | None = await connection.fetchval(
        "select greatest((select before from expired where venue = $1 and symbol = $2), ("
        " select date_trunc('day', event_time, 'UTC') from trades where venue = $1 and symbol = $2"
        " order by event_time limit 1))",
        *symbol,
    )
    return since


async def read_due_days(connection: asyncpg.Connection, symbol: SymbolId, before: datetime) -> list[date]:
    """Return the days whose trades are stored and not in the archive, or have changed since, ascending."""
    rows = await connection.fetch(_CANDIDATES, *symbol, before)
    # One by one: TimescaleDB then reads the chunks of a day only.
    return [
        row["start"].date()
        for row in rows
        if await connection.fetchval(_HAS_TRADES, *symbol, row["start"], row["start"] + _DAY)
    ]


_CANDIDATES: Final = """
    with first as (
        select date_trunc('day', event_time, 'UTC') as day from trades
        where venue = $1 and symbol = $2 and event_time < $3
        order by event_time limit 1
    )
    select start from first
    cross join generate_series(first.day, $3 - interval '1 day', interval '1 day') start
    left join archived_days a on a.venue = $1 and a.symbol = $2 and a.day = (start at time zone 'UTC')::date
    left join candles c
        on c.venue = $1 and c.symbol = $2 and c."interval" = '1d' and c.open_time = start
        and c.open_time >= (select day from first) and c.open_time < $3
    where a.day is null or not is_archived($1, $2, start) or (c.complete and a.complete is not true)
    order by start
"""

_HAS_TRADES: Final = """
    select exists (
        select from trades where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    )
"""


async def record_day(
    connection: asyncpg.Connection, day: ArchivedDay, *, state: str, complete: bool | None
) -> None:
    """Record that a day is in the archive."""
    await connection.execute(
        "insert into archived_days (venue, symbol, day, revision, manifest_sha256, state, complete)"
        " values ($1, $2, $3, $4, $5, $6, $7)"
        " on conflict (venue, symbol, day) do update set revision = excluded.revision,"
        " manifest_sha256 = excluded.manifest_sha256, state = excluded.state,"
        " complete = excluded.complete, archived_at = now()",
        *day.symbol,
        day.day,
        day.revision,
        day.manifest_sha256,
        state,
        complete,
    )


async def read_archived_days(connection: asyncpg.Connection, symbol: SymbolId) -> dict[date, ArchivedDay]:
    """Return a symbol's days in the archive."""
    rows = await connection.fetch(
        "select day, revision, manifest_sha256 from archived_days"
        " where venue = $1 and symbol = $2 order by day",
        *symbol,
    )
    return {row["day"]: ArchivedDay(symbol, *row) for row in rows}


async def read_archived_symbols(connection: asyncpg.Connection) -> list[SymbolId]:
    """Return the symbols of which days are in the archive."""
    rows = await connection.fetch("select distinct venue, symbol from archived_days order by venue, symbol")
    return [SymbolId(*row) for row in rows]
