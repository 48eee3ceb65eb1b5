"""How far the stored trades have come: what a replay is measured by."""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from tickplant.market import SymbolId
from tickplant.streams import MIRROR_ROLES, entry_order
from tickplant.times import to_datetime


class PlantProgress(Struct, frozen=True):
    """What is committed."""

    last_trade_ids: dict[SymbolId, int]
    """The greatest id stored of each symbol."""
    trades: dict[SymbolId, int]
    """Trades stored of each symbol."""
    entry_ids: dict[int, str]
    """Of each partition, the last stream entry whose results every role but the mirror has committed."""


class TapeTrades(Struct, frozen=True):
    """What a replay's tape holds of one symbol."""

    symbol: SymbolId
    trades: int
    """Distinct ids where the venue numbers its trades."""
    ids: list[tuple[int, int]] | None
    """The ranges of the ids, inclusive; None where the venue has no trade ids."""
    first_time_us: int
    last_time_us: int
    """Exchange time of its first and last trade, inclusive."""


class SymbolTotals(Struct, frozen=True):
    """What is stored of one symbol."""

    symbol: SymbolId
    trades: int
    candles: int
    gaps: int | None
    """Ranges of ids that are missing; None where the venue has no trade ids."""
    missing: int | None
    """Ids in those ranges."""


async def read_plant_progress(pool: asyncpg.Pool) -> PlantProgress:
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
    return PlantProgress(
        {symbol: row["last_trade_id"] for symbol, row in symbols.items()},
        {symbol: row["trades"] for symbol, row in symbols.items()},
        entry_ids,
    )


async def count_known(pool: asyncpg.Pool, tape: Sequence[TapeTrades]) -> dict[SymbolId, int]:
    """Count the trades of a tape that are committed, fast: by the ledger where there are ids.

    Returns:
        Of each symbol that has any: the ids of the tape that are stored; all trades stored, those of the tape
        or not, where there are no ids.
    """
    rows = await pool.fetch(
        "select tape.venue, tape.symbol, case when tape.ids is null then"
        " (select count(*) from trades t where t.venue = tape.venue and t.symbol = tape.symbol)"
        " else (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(tape.ids::int8multirange"
        " * int8multirange(int8range(l.first_trade_id, l.last_trade_id, '[]')) - l.missing - l.void) r)"
        " end as known"
        " from unnest($1::text[], $2::text[], $3::text[]) as tape (venue, symbol, ids)"
        " join ledger l on l.venue = tape.venue and l.symbol = tape.symbol",
        *_columns(tape),
    )
    return {SymbolId(row["venue"], row["symbol"]): row["known"] for row in rows}


async def count_rows(pool: asyncpg.Pool, tape: Sequence[TapeTrades]) -> dict[SymbolId, int]:
    """Count the rows of the tape's trades as `count_known` does, but each in the table of trades itself."""
    rows = await pool.fetch(
        "select tape.venue, tape.symbol, (select count(*) from trades t where t.venue = tape.venue"
        " and t.symbol = tape.symbol and (tape.ids is null or t.trade_id <@ tape.ids::int8multirange))"
        " as stored"
        " from unnest($1::text[], $2::text[], $3::text[]) as tape (venue, symbol, ids)",
        *_columns(tape),
    )
    return {SymbolId(row["venue"], row["symbol"]): row["stored"] for row in rows}


async def count_between(pool: asyncpg.Pool, trades: TapeTrades) -> int:
    """Count the stored trades of a symbol within the tape's time."""
    count: int = await pool.fetchval(
        "select count(*) from trades where venue = $1 and symbol = $2 and event_time between $3 and $4",
        *trades.symbol,
        to_datetime(trades.first_time_us),
        to_datetime(trades.last_time_us),
    )
    return count


async def read_totals(pool: asyncpg.Pool, symbols: Sequence[SymbolId]) -> list[SymbolTotals]:
    """Count what is stored of some symbols, by name."""
    rows = await pool.fetch(
        "select venue, symbol, numbered,"
        " (select count(*) from trades t where t.venue = l.venue and t.symbol = l.symbol) as trades,"
        " (select count(*) from candles c where c.venue = l.venue and c.symbol = l.symbol) as candles,"
        " (select count(*) from unnest(missing)) as gaps,"
        " (select coalesce(sum(upper(gap) - lower(gap)), 0)::bigint from unnest(missing) gap) as missing"
        " from ledger l where venue || ':' || symbol = any($1::text[]) order by venue, symbol",
        list(map(str, symbols)),
    )
    return [
        SymbolTotals(
            SymbolId(row["venue"], row["symbol"]),
            row["trades"],
            row["candles"],
            row["gaps"] if row["numbered"] else None,
            row["missing"] if row["numbered"] else None,
        )
        for row in rows
    ]


def _columns(tape: Sequence[TapeTrades]) -> tuple[list[str], list[str], list[str | None]]:
    """Return venues, symbols, and ids as the text of a multirange."""
    return (
        [trades.symbol.venue for trades in tape],
        [trades.symbol.symbol for trades in tape],
        [
            None
            if trades.ids is None
            else "{" + ",".join(f"[{first},{last}]" for first, last in trades.ids) + "}"
            for trades in tape
        ],
    )
