"""The worker's transaction: trades, ledger, candles, the roles' rows, and the offset behind the fence."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

import asyncpg

from db.candle_rows import close_candles, merge_candles
from db.contradictions import find_contradictions
from db.copy_in import copy_rows
from db.gaps import write_gaps
from db.leases import Lease, advance_in_transaction
from db.ledger import LedgerRow, write_ledger
from db.outliers import Outlier, write_outliers
from db.pool import transaction
from db.refused_rows import detecting_unstorable_rows
from tickplant.market import Candle, Gap, Trade
from tickplant.wire import LiveUpdate, Verdict

TRADE_COLUMNS: Final = (
    "venue",
    "symbol",
    "trade_id",
    "price",
    "size",
    "side",
    "event_time",
    "ingest_time",
)


class DerivedRows(Protocol):
    """The rows that a role stores in addition to trades and candles."""

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows inside the worker's transaction, after the candles and before the fence.

        Args:
            connection: in the transaction.
            entry_id: the last stream entry that the transaction includes.
        """


class CommitBatch(NamedTuple):
    """The content of one transaction."""

    entry_id: str
    """The last stream entry that the batch includes."""
    trade_rows: bytes
    """Of `TRADE_COLUMNS`, as COPY reads them; empty if there are no new trades."""
    row_format: Literal["binary", "text"]
    """Of `trade_rows`."""
    ledger: Sequence[LedgerRow]
    candles: Sequence[Candle]
    """Parts to be merged into the rows, at most one per row."""
    symbols_to_close: Sequence[tuple[str, str]]
    """Venue and symbol of those whose candles may have closed or become complete."""
    gaps: Sequence[tuple[str, str, int]]
    """Venue, symbol and watermark before the change of those whose missing ids changed."""
    verdicts: Sequence[Verdict]
    """Verdicts on missing ids, in order."""
    trade_count: int
    """Trades in `trade_rows`."""
    duplicates: int
    """Trades that were left out since they are already stored."""
    repeated: Sequence[Trade] = ()
    """Some of these, to be compared with the stored trades."""
    derived: Sequence[DerivedRows] = ()
    """The rows that roles have derived from trades and candles."""
    to_publish: LiveUpdate = LiveUpdate()
    """The update to publish after the commit, still without candles and gaps."""
    outliers: Sequence[Outlier] = ()
    """Trades whose price is far from the previous trade's."""


class CommitResult(NamedTuple):
    """The changes made by a transaction."""

    candles: list[Candle]
    """Candles, in full, that closed, became complete, or changed after they had closed."""
    gaps: list[Gap]
    """Gaps that opened or changed."""
    open_gaps: dict[tuple[str, str], list[Gap]]
    """By venue and symbol, all unhealed gaps of the symbols of which a gap changed."""
    contradictions: list[Trade]
    """Repeated trades that differ from the stored trade of the same id."""


async def commit(
    pool: asyncpg.Pool, lease: Lease, expected_entry_id: str, batch: CommitBatch
) -> CommitResult:
    """Write a batch in one transaction.

    Args:
        pool: connections.
        lease: under which the batch was computed.
        expected_entry_id: the last committed entry.
        batch: what to write.

    Raises:
        LeaseLostError: another owner has taken the partition; nothing was written.
        UnstorableError: the database rejects rows because of their content; nothing was written.
    """
    async with detecting_unstorable_rows(), transaction(pool) as connection:
        if batch.trade_rows:
            await copy_rows(
                connection, "trades", batch.trade_rows, columns=TRADE_COLUMNS, format_=batch.row_format
            )
        await write_ledger(connection, batch.ledger, lease.partition)
        watermarks_us = {(row.venue, row.symbol): row.watermark_us for row in batch.ledger}
        changed = await merge_candles(connection, batch.candles, watermarks_us, batch.symbols_to_close)
        changed |= await close_candles(connection, batch.symbols_to_close)
        gaps, open_gaps = await write_gaps(connection, batch.gaps, batch.verdicts)
        await write_outliers(connection, batch.outliers)
        contradictions = await find_contradictions(connection, batch.repeated)
        for derived in batch.derived:
            await derived.write(connection, batch.entry_id)
        await advance_in_transaction(connection, lease, expected_entry_id, batch.entry_id)
    return CommitResult(list(changed.values()), gaps, open_gaps, contradictions)
