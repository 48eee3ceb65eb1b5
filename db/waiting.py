"""The state of symbols whose roles wait for a missing trade."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from db.trades import TRADE_READ, trade_of
from tickplant.market import SymbolId, Trade
from tickplant.times import to_datetime


class WaitingRows(NamedTuple):
    """The rows of waiting symbols that a transaction writes; implements `db.commit.DerivedRows`."""

    partition: int
    waiting: Mapping[SymbolId, bytes]
    """The encoded state of each."""
    ended: Sequence[SymbolId]
    """Symbols that no longer wait."""

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows."""
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
    """Return the state of a partition's symbols whose roles wait."""
    rows = await pool.fetch("select venue, symbol, state from waiting where partition = $1", partition)
    return {SymbolId(row["venue"], row["symbol"]): row["state"] for row in rows}


async def read_unprocessed_trades(
    pool: asyncpg.Pool, starts: Mapping[SymbolId, tuple[int, int]]
) -> dict[SymbolId, list[Trade]]:
    """Return the stored trades that symbols' roles have not processed yet.

    Args:
        pool: connections.
        starts: by symbol, the id after which they start, and the least event time among them.
    """
    unprocessed: dict[SymbolId, list[Trade]] = {}
    for symbol, (after_id, from_us) in starts.items():
        rows = await pool.fetch(_READ_UNPROCESSED, *symbol, to_datetime(from_us), after_id)
        unprocessed[symbol] = [trade_of(row) for row in rows]
    return unprocessed


# Without the bound of the time it would read all trades.
_READ_UNPROCESSED: Final = f"""
select {TRADE_READ} from trades
where venue = $1 and symbol = $2 and event_time >= $3 and trade_id > $4
"""  # noqa: S608 - constants only
