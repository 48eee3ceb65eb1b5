"""Suspects, which are implausible trades that await confirmation, and restarted series of trade ids."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.market import SymbolId
from tickplant.times import to_datetime


class NewSeries(NamedTuple):
    """A restart of a symbol's trade ids by its venue."""

    venue: str
    symbol: str
    first_trade_id: int
    """The first id of the new series, as stored."""
    id_offset: int
    """Added to the venue's ids."""
    event_time_us: int
    """Of the first trade."""


class SuspectRows(NamedTuple):
    """The rows of suspects and series that a transaction writes; implements `db.commit.DerivedRows`."""

    partition: int
    states: Mapping[SymbolId, bytes]
    """The encoded suspects of each symbol that has changed."""
    series: Sequence[NewSeries]

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows."""
        rows = [(*symbol, state) for symbol, state in self.states.items()]
        await execute_rows(connection, _WRITE, rows, self.partition)
        series = [(*row[:4], to_datetime(row.event_time_us)) for row in self.series]
        await execute_rows(connection, _WRITE_SERIES, series)


async def read_suspects(pool: asyncpg.Pool, partition: int) -> dict[SymbolId, bytes]:
    """Return the encoded suspects of a partition's symbols."""
    rows = await pool.fetch("select venue, symbol, state from suspects where partition = $1", partition)
    return {SymbolId(row["venue"], row["symbol"]): row["state"] for row in rows}


_WRITE = """
insert into suspects (partition, venue, symbol, state)
select $1::int, * from unnest($2::text[], $3::text[], $4::bytea[])
on conflict (venue, symbol) do update set state = excluded.state
"""

_WRITE_SERIES = """
insert into series (venue, symbol, first_trade_id, id_offset, first_event_time)
select * from unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::timestamptz[])
"""
