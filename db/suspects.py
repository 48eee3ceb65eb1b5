"""Trades that are not believed yet, and how the ids of venues that number anew go on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.market import SymbolId
from tickplant.times import to_datetime


class NewSeries(NamedTuple):
    """A venue has begun to number a symbol's trades anew."""

    venue: str
    symbol: str
    first_trade_id: int
    """The first id of the series, as stored."""
    id_offset: int
    """What is added to the venue's ids."""
    event_time_us: int
    """Of the first trade."""


class SuspectRows(NamedTuple):
    """What one transaction stores of them: `db.commit.Rows`."""

    partition: int
    doubts: Mapping[SymbolId, bytes]
    series: Sequence[NewSeries]

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Store it."""
        rows = [(*symbol, state) for symbol, state in self.doubts.items()]
        await execute_rows(connection, _WRITE, rows, self.partition)
        series = [(*it[:4], to_datetime(it.event_time_us)) for it in self.series]
        await execute_rows(connection, _BEGIN_SERIES, series)


async def read_suspects(pool: asyncpg.Pool, partition: int) -> dict[SymbolId, bytes]:
    """Return what is saved of a partition's symbols."""
    rows = await pool.fetch("select venue, symbol, state from suspects where partition = $1", partition)
    return {SymbolId(row["venue"], row["symbol"]): row["state"] for row in rows}


_WRITE = """
insert into suspects (partition, venue, symbol, state)
select $1::int, * from unnest($2::text[], $3::text[], $4::bytea[])
on conflict (venue, symbol) do update set state = excluded.state
"""

_BEGIN_SERIES = """
insert into series (venue, symbol, first_trade_id, id_offset, first_event_time)
select * from unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::timestamptz[])
"""
