"""Deletes averages and statistics of candles that have none any more.

Those that exist, which are few, are looked up first: TimescaleDB unpacks every part of the columnstore that a
DELETE may concern by its constants, whether it has such rows or not; of a join, all between the bounds.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import asyncpg

from db.bulk import columns_of
from db.corrections import CandleKey
from tickplant.times import to_datetime


async def delete_averages(
    connection: asyncpg.Connection, doomed: Iterable[tuple[CandleKey, str | None]]
) -> None:
    """Delete averages of candles: the one with a name, or all where there is no name."""
    by_interval: defaultdict[str, set[tuple[str, str, datetime, str | None]]] = defaultdict(set)
    for candle, name in doomed:
        row = candle.venue, candle.symbol, to_datetime(candle.open_time_us), name
        by_interval[candle.interval].add(row)
    for interval, wanted in by_interval.items():
        venues, symbols, times, _ = columns_of(wanted)
        found: defaultdict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
        for venue, symbol, open_time, name in await connection.fetch(
            FIND_AVERAGES, interval, list(set(venues)), list(set(symbols)), min(times), max(times)
        ):
            if not wanted.isdisjoint([(venue, symbol, open_time, entry) for entry in (name, None)]):
                found[venue, symbol].append((open_time, name))
        for key, rows in found.items():
            bounds = min(rows)[0], max(rows)[0]
            await connection.execute(_DELETE_AVERAGES, interval, *key, *bounds, *columns_of(rows))


async def delete_statistics(connection: asyncpg.Connection, minutes: Iterable[CandleKey]) -> None:
    """Delete the statistics of minutes."""
    wanted = {(entry.venue, entry.symbol, to_datetime(entry.open_time_us)) for entry in minutes}
    if not wanted:
        return
    venues, symbols, times = columns_of(wanted)
    found: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    for venue, symbol, open_time in await connection.fetch(
        _FIND_STATISTICS, list(set(venues)), list(set(symbols)), min(times), max(times)
    ):
        if (venue, symbol, open_time) in wanted:
            found[venue, symbol].append(open_time)
    for key, open_times in found.items():
        await connection.execute(_DELETE_STATISTICS, *key, min(open_times), max(open_times), open_times)


# One interval at a time, as the open times of longer ones span more chunks; and no join, which has no bounds.
FIND_AVERAGES: Final = """
select venue, symbol, open_time, name from averages
where "interval" = $1 and venue = any($2::text[]) and symbol = any($3::text[])
    and open_time >= $4 and open_time <= $5
"""

_FIND_STATISTICS: Final = """
select venue, symbol, open_time from statistics
where venue = any($1::text[]) and symbol = any($2::text[]) and open_time >= $3 and open_time <= $4
"""

_DELETE_AVERAGES: Final = """
delete from averages
where "interval" = $1 and venue = $2 and symbol = $3 and open_time >= $4 and open_time <= $5
    and (open_time, name) in (select * from unnest($6::timestamptz[], $7::text[]))
"""

_DELETE_STATISTICS: Final = """
delete from statistics
where venue = $1 and symbol = $2 and open_time >= $3 and open_time <= $4 and open_time = any($5)
"""
