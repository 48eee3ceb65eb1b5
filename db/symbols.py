"""Reads the ids and watermarks of symbols, and the committed entry of partitions."""

from typing import NamedTuple

import asyncpg

from tickplant.market import SymbolId
from tickplant.times import to_us


class SymbolRow(NamedTuple):
    """A symbol with trades."""

    id: SymbolId
    first_trade_id: int
    last_trade_id: int
    missing: int | None
    """How many ids between first and last are not stored; None if the venue has no trade ids."""
    watermark_us: int
    """Venue time up to which its trades have been received."""


async def read_stored_symbols(connection: asyncpg.Connection) -> list[SymbolRow]:
    """Return all symbols with trades, by venue and symbol."""
    rows = await connection.fetch(
        "select venue, symbol, first_trade_id, last_trade_id, watermark,"
        " case when numbered then"
        " (select coalesce(sum(upper(part) - lower(part)), 0) from unnest(missing) part)::bigint"
        " end as missing"
        " from ledger order by venue, symbol"
    )
    return [
        SymbolRow(
            SymbolId(row["venue"], row["symbol"]),
            row["first_trade_id"],
            row["last_trade_id"],
            row["missing"],
            to_us(row["watermark"]),
        )
        for row in rows
    ]


class SymbolCoverage(NamedTuple):
    """Up to when a symbol's trades have been received, and which of them are missing."""

    watermark_us: int
    """Venue time up to which its trades have been received."""
    missing: list[tuple[int, int]] | None
    """Inclusive ranges of ids between first and last that are not stored, ascending; None if the venue has no
    trade ids."""


async def read_coverage(connection: asyncpg.Connection, symbol: SymbolId) -> SymbolCoverage | None:
    """Return up to when a symbol's trades have been received; None if it has none."""
    row = await connection.fetchrow(
        "select watermark, missing, numbered from ledger where venue = $1 and symbol = $2", *symbol
    )
    if row is None:
        return None
    missing = [(part.lower, part.upper - 1) for part in row["missing"]]
    return SymbolCoverage(to_us(row["watermark"]), missing if row["numbered"] else None)


async def read_committed_entry(connection: asyncpg.Connection, role: str, partition: int) -> str | None:
    """Return the last stream entry that a role has committed; None if the partition was never owned in it."""
    entry_id: str | None = await connection.fetchval(
        "select entry_id from lease where role = $1 and partition = $2", role, partition
    )
    return entry_id


async def read_committed_entries(connection: asyncpg.Connection, role: str, partition: int | None) -> str:
    """Return the last stream entries that a role has committed, of a partition or of all, as one text."""
    entries: str | None = await connection.fetchval(
        "select string_agg(partition || '=' || entry_id, ' ' order by partition) from lease"
        " where role = $1 and ($2::int is null or partition = $2)",
        role,
        partition,
    )
    return entries or ""
