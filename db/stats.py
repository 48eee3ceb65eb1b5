"""Reads 24-hour changes, mean prices, closes and statistics, most of them computed on request."""

from collections.abc import Collection
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from db.pages import fetch_page
from tickplant.derived import Statistics
from tickplant.market import QUOTIENT, SymbolId, vwap
from tickplant.times import to_datetime, to_us


class Change24h(NamedTuple):
    """A symbol's last 24 hours in whole minutes, by venue time."""

    symbol: SymbolId
    start_us: int
    """Start of the window: of the minute 23 hours and 59 minutes before the symbol's current one."""
    until_us: int
    """End of the window: the symbol's watermark, which does not advance while nothing is received."""
    covered_us: int
    """From when on trades are stored: the start of the window, or the symbol's first trade after it."""
    open: Decimal | None
    """Price of the first trade in the window; None, as `last` to `percent`, if there is none."""
    last: Decimal | None
    high: Decimal | None
    low: Decimal | None
    change: Decimal | None
    """`last` minus `open`."""
    percent: Decimal | None
    """The change in percent of `open`, rounded to 6 decimal places."""
    volume: Decimal
    quote_volume: Decimal
    trade_count: int


class PriceMeans(NamedTuple):
    """Mean prices of a symbol's trades in a time range."""

    after_us: int
    """Exclusive."""
    until_us: int
    """Inclusive."""
    trade_count: int
    first_event_time_us: int | None
    """Of the oldest trade; None, as the last time and the means, if there is none."""
    last_event_time_us: int | None
    mean: Decimal | None
    """Sum of prices divided by their number, rounded to 18 digits."""
    weighted_mean: Decimal | None
    """Sum of price times size divided by the sum of sizes, rounded to 18 digits; None if all sizes are 0."""
    volume: Decimal
    quote_volume: Decimal


async def read_changes_24h(
    connection: asyncpg.Connection, symbols: Collection[SymbolId] | None = None
) -> list[Change24h]:
    """Return the last 24 hours of symbols, or of all, in order of name; none of symbols that never traded."""
    selected = (
        None if symbols is None else [list(column) for column in zip(*symbols, strict=True)] or [[], []]
    )
    names = (None, None) if selected is None else selected
    oldest = await connection.fetchval(_OLDEST, *names)
    if oldest is None:
        return []
    rows = await connection.fetch(_READ_CHANGES, *names, oldest)
    keys = [[row[column] for row in rows] for column in ("venue", "symbol", "start")]
    firsts = {tuple(row[:2]): row[2] for row in await connection.fetch(_READ_FIRST_TIMES, *keys)}
    return [
        Change24h(
            SymbolId(venue, symbol),
            to_us(start),
            to_us(until),
            to_us(max(start, firsts.get((venue, symbol), start))),
            *values,
        )
        for venue, symbol, start, until, *values in rows
    ]


async def read_price_means(
    connection: asyncpg.Connection, symbol: SymbolId, period_us: int
) -> PriceMeans | None:
    """Return mean prices of the period up to the symbol's watermark; None if it never traded."""
    until = await connection.fetchval(
        "select watermark from ledger where venue = $1 and symbol = $2", *symbol
    )
    if until is None:
        return None
    after_us = to_us(until) - period_us
    (row,) = await connection.fetch(_READ_MEANS, *symbol, to_datetime(after_us), until)
    count, first, last, prices, volume, quote_volume = row
    return PriceMeans(
        after_us,
        to_us(until),
        count,
        to_us(first) if count else None,
        to_us(last) if count else None,
        QUOTIENT.divide(prices, Decimal(count)) if count else None,
        vwap(quote_volume, volume),
        volume,
        quote_volume,
    )


async def read_candle_closes(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool,
) -> list[tuple[int, float]]:
    """Return open times and closes of closed candles in ascending order; arguments as of `read_candles`."""
    bounds = to_datetime(start_us), to_datetime(end_us)
    rows = await fetch_page(connection, _READ_CLOSES, *symbol, interval, *bounds, limit, newest=newest)
    return [(to_us(open_time), close) for open_time, close in rows]


async def read_statistics(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool,
) -> list[Statistics]:
    """Return statistics of minutes in ascending order; arguments as of `read_candles`."""
    bounds = to_datetime(start_us), to_datetime(end_us)
    rows = await fetch_page(connection, _READ_STATISTICS, *symbol, *bounds, limit, newest=newest)
    return [Statistics(*symbol, to_us(row[0]), *row[1:]) for row in rows]


_OLDEST: Final = """
select min(watermark) from ledger
where $1::text[] is null or (venue, symbol) in (select * from unnest($1::text[], $2::text[]))
"""

_READ_CHANGES: Final = """
select * from change_24h($3)
where $1::text[] is null or (venue, symbol) in (select * from unnest($1::text[], $2::text[]))
order by venue, symbol
"""

# The first trade of symbols without a daily candle before the day of the window's start.
_READ_FIRST_TIMES: Final = """
select w.venue, w.symbol, d.first_event_time
from unnest($1::text[], $2::text[], $3::timestamptz[]) as w (venue, symbol, start)
cross join lateral (
    select first_event_time from candles c
    where c.venue = w.venue and c.symbol = w.symbol and c."interval" = '1d'
        and c.open_time >= date_trunc('day', w.start, 'UTC')
    order by c.open_time limit 1
) d
where not exists (
    select from candles c
    where c.venue = w.venue and c.symbol = w.symbol and c."interval" = '1d'
        and c.open_time < date_trunc('day', w.start, 'UTC')
)
"""

_READ_MEANS: Final = """
select count(*), min(event_time), max(event_time), sum(price),
    coalesce(sum(size), 0), coalesce(sum(price * size), 0)
from trades where venue = $1 and symbol = $2 and event_time > $3 and event_time <= $4
"""

_READ_CLOSES: Final = """
select open_time, close::float8 from closed_candles
where venue = $1 and symbol = $2 and "interval" = $3 and open_time >= $4 and open_time < $5
order by open_time {order} limit $6
"""

_READ_STATISTICS: Final = """
select open_time, points, return, mean, stddev, zscore, q1, q3 from statistics
where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4
order by open_time {order} limit $5
"""
