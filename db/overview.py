"""Reads what the market overview adds to 24-hour changes: gaps and closes by the hour; and completeness."""

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from db.stats import Change24h
from tickplant.market import SymbolId
from tickplant.times import to_datetime


class Missing(NamedTuple):
    """What is missing of a symbol."""

    gaps: int
    """Gaps that are not healed."""
    trades: int | None
    """Trade ids that are not stored; None if the venue has no trade ids."""


class DayCompleteness(NamedTuple):
    """How much of a symbol's day is proven to be complete."""

    day: date
    trade_count: int
    complete: bool | None
    """Whether the whole day is proven; None if the venue has no trade ids."""
    minutes: int
    """Minutes that have trades."""
    incomplete: int
    """Minutes that are not proven to be complete, or not yet closed."""
    late: int
    """Trades that arrived after their minute had closed."""


async def read_missing(connection: asyncpg.Connection) -> dict[SymbolId, Missing]:
    """Return what is missing of every symbol with trades."""
    rows = await connection.fetch(_READ_MISSING)
    return {SymbolId(venue, symbol): Missing(gaps, trades) for venue, symbol, gaps, trades in rows}


async def read_hourly_closes(
    connection: asyncpg.Connection, changes: Collection[Change24h]
) -> dict[SymbolId, list[Decimal]]:
    """Return the closes of the hours in each symbol's window with trades, oldest first."""
    rows = await connection.fetch(
        _READ_CLOSES,
        [change.symbol.venue for change in changes],
        [change.symbol.symbol for change in changes],
        [to_datetime(change.start_us) for change in changes],
    )
    return {SymbolId(venue, symbol): closes for venue, symbol, closes in rows}


async def read_completeness(
    connection: asyncpg.Connection, symbol: SymbolId, *, days: int
) -> list[DayCompleteness]:
    """Return the completeness of a symbol's last days, newest first; days without trades have none.

    Args:
        connection: to the database.
        symbol: whose days.
        days: how many, up to the day of the symbol's watermark.
    """
    rows = await connection.fetch(_READ_COMPLETENESS, *symbol, days)
    return [DayCompleteness(*row) for row in rows]


_READ_MISSING: Final = """
select l.venue, l.symbol,
    (select count(*) from gaps g where g.venue = l.venue and g.symbol = l.symbol and g.state <> 'healed'),
    case when l.numbered then
        (select coalesce(sum(upper(part) - lower(part)), 0) from unnest(l.missing) part)::bigint
    end
from ledger l
"""

_READ_CLOSES: Final = """
select w.venue, w.symbol, array_agg(c.close order by c.open_time)
from unnest($1::text[], $2::text[], $3::timestamptz[]) as w (venue, symbol, start)
join candles c on c.venue = w.venue and c.symbol = w.symbol and c."interval" = '1h'
    and c.open_time >= date_trunc('hour', w.start, 'UTC')
group by w.venue, w.symbol
"""

# The bound on the day comes first, so that only the minutes of these days are counted.
_READ_COMPLETENESS: Final = """
select day, trade_count, complete, minutes, incomplete, late from completeness
where venue = $1 and symbol = $2
    and day > (
        select (watermark at time zone 'UTC')::date from ledger where venue = $1 and symbol = $2
    ) - $3::int
order by day desc
"""
