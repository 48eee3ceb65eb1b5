"""Counts stored trades, and reads committed entries, for replays."""

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from tickplant.market import SymbolId
from tickplant.streams import CANDLES_ROLE
from tickplant.times import to_datetime


class TapeTrades(Struct, frozen=True):
    """The trades of one symbol on a replay's tape."""

    symbol: SymbolId
    trades: int
    """Distinct ids where the venue has trade ids."""
    ids: list[tuple[int, int]] | None
    """The ranges of the ids, inclusive; None where the venue has no trade ids."""
    first_time_us: int
    last_time_us: int
    """Venue time of the first and last trade, inclusive."""


class SymbolTotals(Struct, frozen=True):
    """The numbers of rows stored of one symbol."""

    symbol: SymbolId
    trades: int
    candles: int
    gaps: int | None
    """Ranges of ids that are missing; None where the venue has no trade ids."""
    missing: int | None
    """Ids in those ranges."""


async def read_committed_entries(pool: asyncpg.Pool) -> dict[int, str]:
    """Return the last committed stream entry of each partition that was ever owned."""
    rows = await pool.fetch("select partition, entry_id from lease where role = $1", CANDLES_ROLE)
    return {row["partition"]: row["entry_id"] for row in rows}


async def count_trades(pool: asyncpg.Pool) -> int:
    """Count all stored trades, quickly: by the candles of the longest interval."""
    count: int = await pool.fetchval(
        "select coalesce(sum(trade_count), 0)::bigint from candles where \"interval\" = '1w'"
    )
    return count


async def count_committed_trades(pool: asyncpg.Pool, tape: Sequence[TapeTrades]) -> dict[SymbolId, int]:
    """Count the committed trades of a tape, quickly: by the ledger where there are ids.

    Returns:
        By symbol, without those that have none: the ids of the tape that are stored; or all stored trades
        where there are no ids.
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


async def count_stored_trades(pool: asyncpg.Pool, tape: Sequence[TapeTrades]) -> dict[SymbolId, int]:
    """Count the trades of a tape like `count_known`, but in the table of trades."""
    rows = await pool.fetch(
        "select tape.venue, tape.symbol, (select count(*) from trades t where t.venue = tape.venue"
        " and t.symbol = tape.symbol and (tape.ids is null or t.trade_id <@ tape.ids::int8multirange))"
        " as stored"
        " from unnest($1::text[], $2::text[], $3::text[]) as tape (venue, symbol, ids)",
        *_columns(tape),
    )
    return {SymbolId(row["venue"], row["symbol"]): row["stored"] for row in rows}


async def count_trades_in_period(pool: asyncpg.Pool, trades: TapeTrades) -> int:
    """Count the stored trades of a symbol within the time range of the tape."""
    count: int = await pool.fetchval(
        "select count(*) from trades where venue = $1 and symbol = $2 and event_time between $3 and $4",
        *trades.symbol,
        to_datetime(trades.first_time_us),
        to_datetime(trades.last_time_us),
    )
    return count


async def read_totals(pool: asyncpg.Pool, symbols: Sequence[SymbolId]) -> list[SymbolTotals]:
    """Count the stored rows of symbols, in order of name."""
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
