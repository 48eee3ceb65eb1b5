"""How far the stored trades have come: what a replay is measured by."""

import asyncpg
from msgspec import Struct

from tickplant.market import SymbolId
from tickplant.streams import MIRROR_ROLES, entry_order


class Committed(Struct, frozen=True):
    """What is committed."""

    last_trade_ids: dict[SymbolId, int]
    """The greatest id stored of each symbol."""
    trades: dict[SymbolId, int]
    """Trades stored of each symbol."""
    entry_ids: dict[int, str]
    """Of each partition, the last stream entry whose results every role but the mirror has committed."""


class Totals(Struct, frozen=True):
    """What is stored of one symbol."""

    symbol: SymbolId
    trades: int
    candles: int
    gaps: int
    """Ranges of ids that are missing."""
    missing: int
    """Ids in those ranges."""


async def read_committed(pool: asyncpg.Pool) -> Committed:
    """Read how far every symbol and partition has come."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        ledger = await connection.fetch(
            "select l.venue, l.symbol, l.last_trade_id, (select sum(c.trade_count)::bigint from candles c"
            " where c.venue = l.venue and c.symbol = l.symbol and c.\"interval\" = '1w') as trades"
            " from ledger l"
        )
        leases = await connection.fetch(
            "select partition, entry_id from lease where role <> all($1)", list(MIRROR_ROLES)
        )
    entry_ids: dict[int, str] = {}
    for partition, entry_id in leases:
        known = entry_ids.get(partition)
        entry_ids[partition] = min(known, entry_id, key=entry_order) if known else entry_id
    symbols = {SymbolId(row["venue"], row["symbol"]): row for row in ledger}
    return Committed(
        {symbol: row["last_trade_id"] for symbol, row in symbols.items()},
        {symbol: row["trades"] for symbol, row in symbols.items()},
        entry_ids,
    )


async def read_totals(pool: asyncpg.Pool) -> list[Totals]:
    """Count what is stored of every symbol, by name."""
    rows = await pool.fetch(
        "select venue, symbol,"
        " (select count(*) from trades t where t.venue = l.venue and t.symbol = l.symbol) as trades,"
        " (select count(*) from candles c where c.venue = l.venue and c.symbol = l.symbol) as candles,"
        " (select count(*) from unnest(missing)) as gaps,"
        " (select coalesce(sum(upper(gap) - lower(gap)), 0)::bigint from unnest(missing) gap) as missing"
        " from ledger l order by venue, symbol"
    )
    return [
        Totals(
            SymbolId(row["venue"], row["symbol"]), row["trades"], row["candles"], row["gaps"], row["missing"]
        )
        for row in rows
    ]
