"""What is computed of stored trades and candles when somebody asks: 24 hours, means, closes, statistics."""

from collections.abc import Collection
from decimal import Context, Decimal
from typing import Final, NamedTuple

import asyncpg

from db.pages import fetch_page
from tickplant.derived import Statistics
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

_QUOTIENT: Final = Context(prec=18)


class Change24h(NamedTuple):
    """A symbol's last 24 hours by the minute, by the venue's time."""

    symbol: SymbolId
    start_us: int
    """Begin of the window: that of the minute 23 hours and 59 minutes before the symbol's present one."""
    until_us: int
    """The venue's time, up to which the window goes; it stands still where nothing is heard of the symbol."""
    covered_us: int
    """From when on there are trades to go by: the window's begin, or the symbol's first trade after that."""
    open: Decimal | None
    """Price of the first trade in the window; None, as the following, where there is none."""
    last: Decimal | None
    high: Decimal | None
    low: Decimal | None
    change: Decimal | None
    """Last less open."""
    percent: Decimal | None
    """The change in percent of open, rounded to 6 digits after the point."""
    volume: Decimal
    quote_volume: Decimal
    trade_count: int


class PriceMeans(NamedTuple):
    """Means of the prices of a symbol's trades in a stretch of time."""

    after_us: int
    """Exclusive."""
    until_us: int
    """Inclusive."""
    trade_count: int
    first_event_time_us: int | None
    """Of the oldest trade in it; None, as the following, where there is none."""
    last_event_time_us: int | None
    mean: Decimal | None
    """Sum of prices over their number, rounded to 18 digits."""
    weighted_mean: Decimal | None
    """Sum of price times size over the sum of sizes, rounded to 18 digits; None where the sizes are 0."""
    volume: Decimal
    quote_volume: Decimal


async def read_changes_24h(
    connection: asyncpg.Connection, symbols: Collection[SymbolId] | None = None
) -> list[Change24h]:
    """Return the last 24 hours of some symbols, or of all, as far as they have ever traded, by name."""
    chosen = None if symbols is None else [list(column) for column in zip(*symbols, strict=True)] or [[], []]
    names = (None, None) if chosen is None else chosen
    oldest = await connection.fetchval(_OLDEST, *names)
    if oldest is None:
        return []
    rows = await connection.fetch(_READ_CHANGES, *names, oldest)
    keys = [[row[column] for row in rows] for column in ("venue", "symbol", "start")]
    begun = {tuple(row[:2]): row[2] for row in await connection.fetch(_READ_BEGUN, *keys)}
    return [
        Change24h(
            SymbolId(venue, symbol),
            to_us(start),
            to_us(until),
            to_us(max(start, begun.get((venue, symbol), start))),
            *values,
        )
        for venue, symbol, start, until, *values in rows
    ]


async def read_price_means(
    connection: asyncpg.Connection, symbol: SymbolId, period_us: int
) -> PriceMeans | None:
    """Return means of the trades of the period up to the venue's time; None where there never was a trade."""
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
        _QUOTIENT.divide(prices, Decimal(count)) if count else None,
        _QUOTIENT.divide(quote_volume, volume) if volume else None,
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

# Of symbols without a candle of a day before that of the window's begin: their first trade.
_READ_BEGUN: Final = """
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
select open_time, close::float8 from candles
where venue = $1 and symbol = $2 and "interval" = $3 and open_time >= $4 and open_time < $5 and closed
order by open_time {order} limit $6
"""

_READ_STATISTICS: Final = """
select open_time, points, return, mean, stddev, zscore, q1, q3 from statistics
where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4
order by open_time {order} limit $5
"""
