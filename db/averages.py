"""The tables of averages and statistics, and the candles from which workers resume them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from db.corrections import CandleKey as CandleKey
from db.corrections import RecomputedAverages, recompute_averages
from db.stale_averages import delete_averages, delete_statistics
from tickplant.averages import AverageSpecs
from tickplant.derived import Average, Statistics
from tickplant.intervals import BASE, INTERVALS
from tickplant.market import SymbolId
from tickplant.times import to_datetime


class CandleWindow(NamedTuple):
    """The last closed candles of an interval, oldest first, in columns."""

    open_times_us: Sequence[int]
    closes: Sequence[float]
    last_event_times_us: Sequence[int]
    last_trade_ids: Sequence[int]
    """With the event time, it identifies the trade that made the close."""


EMPTY_WINDOW: Final = CandleWindow((), (), (), ())


async def read_candle_windows(
    pool: asyncpg.Pool,
    partition: int,
    specs: AverageSpecs,
    until_us: Mapping[SymbolId, int] | None = None,
) -> dict[SymbolId, dict[str, CandleWindow]]:
    """Return the candles that averages of a partition's symbols resume from, by symbol and interval.

    Args:
        pool: connections.
        partition: of the symbols.
        specs: which averages are computed.
        until_us: venue time that the roles of some symbols have reached, where they are behind the
            candles: candles that end later are left out.
    """
    until = until_us or {}
    intervals = [interval for interval in INTERVALS if specs.window(interval)]
    rows = await pool.fetch(
        _READ_WINDOWS,
        partition,
        intervals,
        [specs.window(interval) for interval in intervals],
        [timedelta(microseconds=INTERVALS[interval]) for interval in intervals],
        [venue for venue, _ in until],
        [symbol for _, symbol in until],
        [to_datetime(time_us) for time_us in until.values()],
    )
    windows: defaultdict[SymbolId, dict[str, CandleWindow]] = defaultdict(dict)
    for venue, symbol, interval, *columns in rows:
        windows[SymbolId(venue, symbol)][interval] = CandleWindow(*columns)
    return dict(windows)


class AverageRows:
    """The rows of averages and statistics that a transaction writes; implements `db.commit.DerivedRows`."""

    def __init__(
        self,
        averages: Sequence[Average],
        statistics: Sequence[Statistics],
        corrected: Iterable[CandleKey],
        specs: AverageSpecs,
    ) -> None:
        """Create the rows, at most one per candle and average.

        Args:
            averages: of candles that have closed.
            statistics: of minutes that have closed.
            corrected: closed candles whose close may have changed, or that were inserted between others.
            specs: which averages are recomputed around them.
        """
        self._averages = averages
        self._statistics = statistics
        self._corrected = corrected
        self._specs = specs

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows, after the transaction's candles."""
        await _write(connection, self._averages, self._statistics)
        await correct_averages(connection, self._corrected, self._specs)


async def correct_averages(
    connection: asyncpg.Connection, changed: Iterable[CandleKey], specs: AverageSpecs
) -> None:
    """Recompute the rows that changed candles belong to; arguments as of `recompute_averages`."""
    async for recomputed in recompute_averages(connection, changed, specs):
        await _replace(connection, recomputed)


async def _replace(connection: asyncpg.Connection, recomputed: RecomputedAverages) -> None:
    averages, statistics = recomputed.averages, recomputed.statistics
    await delete_averages(
        connection,
        [
            *((candle, None) for candle in recomputed.deleted),
            *((candle, name) for (candle, name), value in averages.items() if value is None),
        ],
    )
    minutes = [candle for candle in recomputed.deleted if candle.interval == BASE]
    minutes += [candle for candle, moments in statistics.items() if moments is None]
    await delete_statistics(connection, minutes)
    await _write(
        connection,
        [Average(*candle, name, value) for (candle, name), value in averages.items() if value is not None],
        [
            Statistics(candle.venue, candle.symbol, candle.open_time_us, *moments)
            for candle, moments in statistics.items()
            if moments is not None
        ],
    )


async def _write(
    connection: asyncpg.Connection, averages: Iterable[Average], statistics: Iterable[Statistics]
) -> None:
    await execute_rows(connection, _WRITE_AVERAGES, [(*_key(row), row.name, row.value) for row in averages])
    rows = [
        (*_minute(row), row.points, row.return_, row.mean, row.stddev, row.zscore, row.q1, row.q3)
        for row in statistics
    ]
    await execute_rows(connection, _WRITE_STATISTICS, rows)


def _key(row: Average | CandleKey) -> tuple[Any, ...]:
    return row.venue, row.symbol, row.interval, to_datetime(row.open_time_us)


def _minute(row: Statistics | CandleKey) -> tuple[Any, ...]:
    return row.venue, row.symbol, to_datetime(row.open_time_us)


_READ_WINDOWS: Final = """
select l.venue, l.symbol, i.name, c.*
from ledger l
left join unnest($5::text[], $6::text[], $7::timestamptz[]) as u (venue, symbol, until)
    on u.venue = l.venue and u.symbol = l.symbol
cross join unnest($2::text[], $3::int8[], $4::interval[]) as i (name, count, length)
cross join lateral (
    select array_agg((extract(epoch from open_time) * 1000000)::int8 order by open_time),
        array_agg(close::float8 order by open_time),
        array_agg((extract(epoch from last_event_time) * 1000000)::int8 order by open_time),
        array_agg(last_trade_id order by open_time)
    from (
        select * from closed_candles
        where venue = l.venue and symbol = l.symbol and "interval" = i.name
            and open_time <= coalesce(u.until, 'infinity') - i.length
        order by open_time desc limit i.count
    ) newest
    having count(*) > 0
) c
where l.partition = $1
"""

_WRITE_AVERAGES: Final = """
insert into averages as a (venue, symbol, "interval", open_time, name, value)
select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::float8[])
on conflict (venue, symbol, "interval", name, open_time) do update set value = excluded.value
where a.value <> excluded.value
"""

_WRITE_STATISTICS: Final = """
insert into statistics as s (venue, symbol, open_time, points, return, mean, stddev, zscore, q1, q3)
select * from unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::int4[], $5::float8[], $6::float8[], $7::float8[],
    $8::float8[], $9::float8[], $10::float8[]
)
on conflict (venue, symbol, open_time) do update set
    points = excluded.points, return = excluded.return, mean = excluded.mean, stddev = excluded.stddev,
    zscore = excluded.zscore, q1 = excluded.q1, q3 = excluded.q3
"""
