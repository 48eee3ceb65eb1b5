"""Symbols whose roles wait for a missing trade."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from db.trades import trade_of
from tickplant.market import SymbolId, Trade


class WaitingRows(NamedTuple):
    """Which symbols' roles wait now, and which do no more."""

    partition: int
    waiting: Mapping[SymbolId, bytes]
    """With what is kept of each."""
    ended: Sequence[SymbolId]

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Store it."""
        if self.waiting:
            await connection.execute(
                "insert into waiting (partition, venue, symbol, state)"
                " select $1::int, * from unnest($2::text[], $3::text[], $4::bytea[])"
                " on conflict (venue, symbol) do update set state = excluded.state",
                self.partition,
                [venue for venue, _ in self.waiting],
                [symbol for _, symbol in self.waiting],
                list(self.waiting.values()),
            )
        if self.ended:
            await connection.execute(
                "delete from waiting w using unnest($1::text[], $2::text[]) as e (venue, symbol)"
                " where w.venue = e.venue and w.symbol = e.symbol",
                [venue for venue, _ in self.ended],
                [symbol for _, symbol in self.ended],
            )


async def read_waiting(pool: asyncpg.Pool, partition: int) -> dict[SymbolId, bytes]:
    """Return what is kept of a partition's symbols whose roles wait."""
    rows = await pool.fetch("select venue, symbol, state from waiting where partition = $1", partition)
    return {SymbolId(row["venue"], row["symbol"]): row["state"] for row in rows}


async def read_held(pool: asyncpg.Pool, cursors: Mapping[SymbolId, int]) -> dict[SymbolId, list[Trade]]:
    """Return the trades of some symbols after an id each, in order of id."""
    rows = await pool.fetch(
        "select t.venue, t.symbol, t.trade_id, price::text, size::text, side, event_time, ingest_time"
        " from unnest($1::text[], $2::text[], $3::int8[]) as c (venue, symbol, trade_id)"
        " join trades t on t.venue = c.venue and t.symbol = c.symbol and t.trade_id > c.trade_id"
        " order by t.trade_id",
        [venue for venue, _ in cursors],
        [symbol for _, symbol in cursors],
        list(cursors.values()),
    )
    held: defaultdict[SymbolId, list[Trade]] = defaultdict(list)
    for row in rows:
        held[SymbolId(row["venue"], row["symbol"])].append(trade_of(row))
    return held
