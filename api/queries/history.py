"""Reads stored data in consistent snapshots, with the input entry that each includes last."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from api.live.cursor import STREAM_START, Order
from db.bot.lists import read_accounts
from db.candles import read_candles
from db.gaps import UNHEALED_STATES, read_gaps
from db.pool import DatabaseConnection, Pool, snapshot, statement
from db.published import read_published_firings, read_published_signals
from db.symbols import read_committed_entries, read_committed_entry
from db.trades import TradeBound, read_last_trade, read_trades
from tickplant.bot import PaperAccount
from tickplant.derived import Firing, Signal
from tickplant.market import Candle, Gap, SymbolId, Trade
from tickplant.streams import CANDLES_ROLE, entry_order, partition_of

TIMEOUT_S: Final = 5.0
"""How long a read may take before the database counts as unavailable."""

MAX_US: Final = 253_402_300_799_000_000
"""A time after all others: the end of the year 9999."""
MIN_US: Final = -62_135_510_400_000_000
"""A time before all others: the second day of the year 1."""


class CommittedSnapshot(NamedTuple):
    """A connection in a transaction that sees one snapshot of the database."""

    connection: DatabaseConnection
    committed: Order
    """The input entry up to which the symbol's partition is stored in it."""


class StoredHistory:
    """Reads trades, candles and derived data from the database."""

    def __init__(self, pool: Pool, partitions: int) -> None:
        """Read with a pool, which the caller closes, symbols of this number of partitions."""
        self._pool = pool
        self._partitions = partitions

    def partition_of(self, symbol: SymbolId) -> int:
        """Return the partition of a symbol."""
        return partition_of(*symbol, self._partitions)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[DatabaseConnection]:
        """Open a transaction that sees one snapshot of the database.

        Raises:
            TimeoutError: the database took too long; see `db.pool.OUTAGE` for others.
        """
        async with snapshot(self._pool, timeout_s=TIMEOUT_S) as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[DatabaseConnection]:
        """Open a connection for one statement, which is a snapshot by itself; raises as `snapshot`."""
        async with statement(self._pool, timeout_s=TIMEOUT_S) as connection:
            yield connection

    @asynccontextmanager
    async def committed_snapshot(self, symbol: SymbolId) -> AsyncIterator[CommittedSnapshot]:
        """Open a snapshot with the committed entry of a symbol; raises as `snapshot`."""
        async with self.snapshot() as connection:
            committed = await read_committed_entry(connection, CANDLES_ROLE, self.partition_of(symbol))
            yield CommittedSnapshot(connection, committed_order(committed))

    async def state(self, symbol: SymbolId | None) -> str:
        """Return what changes with every commit of a symbol's partition; of all partitions for None."""
        partition = None if symbol is None else self.partition_of(symbol)
        async with self.snapshot() as connection:
            return await read_committed_entries(connection, CANDLES_ROLE, partition)

    async def newest_trades(self, symbol: SymbolId, limit: int) -> tuple[list[Trade], Order]:
        """Return a symbol's newest trades, oldest first, and the last input entry included."""
        async with self.committed_snapshot(symbol) as (connection, committed):
            after, before = TradeBound(MIN_US), TradeBound(MAX_US)
            trades = await read_trades(
                connection, symbol, after=after, before=before, limit=limit, newest=True
            )
        return trades, committed

    async def newest_candles(self, symbol: SymbolId, interval: str, limit: int) -> tuple[list[Candle], Order]:
        """Return a symbol's newest candles, oldest first, and the last input entry included."""
        async with self.committed_snapshot(symbol) as (connection, committed):
            candles = await read_candles(
                connection, symbol, interval, start_us=MIN_US, end_us=MAX_US, limit=limit, newest=True
            )
        return candles, committed

    async def newest_of_each(
        self, selected: Collection[tuple[SymbolId, str]], limit: int
    ) -> dict[tuple[SymbolId, str], list[Candle]]:
        """Return the newest candles of symbols and intervals, oldest first, from one snapshot."""
        async with self.snapshot() as connection:
            return {
                (symbol, interval): await read_candles(
                    connection, symbol, interval, start_us=MIN_US, end_us=MAX_US, limit=limit, newest=True
                )
                for symbol, interval in selected
            }

    async def unhealed_gaps(self, symbol: SymbolId) -> tuple[list[Gap], Order]:
        """Return a symbol's gaps that are not healed, and the last input entry included."""
        async with self.committed_snapshot(symbol) as (connection, committed):
            gaps = await read_gaps(connection, symbol=symbol, states=UNHEALED_STATES, limit=None)
        return gaps, committed

    async def newest_signals(self, symbol: SymbolId, published: Order | None, limit: int) -> list[Signal]:
        """Return a symbol's newest signals up to a committed entry, oldest first."""
        async with self.snapshot() as connection:
            return await read_published_signals(connection, symbol, published=published, limit=limit)

    async def newest_firings(self, symbol: SymbolId, published: Order | None, limit: int) -> list[Firing]:
        """Return the newest firings of a symbol's alerts up to a committed entry, oldest first."""
        async with self.snapshot() as connection:
            return await read_published_firings(connection, symbol, published=published, limit=limit)

    async def account(self, symbol: SymbolId) -> PaperAccount | None:
        """Return the paper bot's account of a symbol; None where it has none yet."""
        async with self.snapshot() as connection:
            return next(iter(await read_accounts(connection, symbol)), None)

    async def last_trade(self, symbol: SymbolId) -> Trade | None:
        """Return a symbol's newest trade; None where there is none."""
        async with self.snapshot() as connection:
            return await read_last_trade(connection, symbol)


def committed_order(entry_id: str | None) -> Order:
    """Return the order of a committed entry; that before all entries where there is none."""
    return entry_order(entry_id) if entry_id else STREAM_START
