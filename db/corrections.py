"""Averages and statistics computed anew from the candles table, where candles have changed."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Final, NamedTuple

import asyncpg

from db.bulk import columns_of
from tickplant.averages import AverageSpecs, Moments, average, moments
from tickplant.intervals import BASE, INTERVALS
from tickplant.times import to_datetime

MAX_STEPS: Final = 1_000_000
"""Closes looked at in one go: about a tenth of a second."""
_STRETCHES: Final = 200
"""Stretches read at once."""


class CandleKey(NamedTuple):
    """A row of the candles table."""

    venue: str
    symbol: str
    interval: str
    open_time_us: int


class RecomputedAverages(NamedTuple):
    """What averages and statistics are now; None where there is none any more."""

    averages: dict[tuple[CandleKey, str], float | None]
    """By candle and name."""
    statistics: dict[CandleKey, Moments | None]
    gone: set[CandleKey]
    """Candles that are none any more."""


class ChangeGroup(NamedTuple):
    """Changed candles of one symbol and interval that lie so near that they are read together."""

    venue: str
    symbol: str
    interval: str
    changed_us: list[int]
    """Their open times, ascending."""
    window: int
    """How many candles a value is made of, at most: so many before are read, and so many after."""

    def candle(self, open_time_us: int) -> CandleKey:
        """Name a candle of the same symbol and interval."""
        return CandleKey(self.venue, self.symbol, self.interval, open_time_us)


async def recompute_averages(
    connection: asyncpg.Connection, changed: Iterable[CandleKey], specs: AverageSpecs
) -> AsyncIterator[RecomputedAverages]:
    """Compute whatever contains one of some candles, in slices that take a moment each.

    What is done with a slice, before the next is asked for, keeps the transaction from counting as idle, and
    lets others have their turn.

    Args:
        connection: in the transaction that has changed the candles.
        changed: those that have changed, have come or are gone; the open ones among them count for nothing.
        specs: what is computed.
    """
    found = iter(group_changes(changed, specs))
    while some := list(islice(found, _STRETCHES)):
        rows = [
            (*it[:3], to_datetime(it.changed_us[0]), to_datetime(it.changed_us[-1]), it.window - 1)
            for it in some
        ]
        closes = await connection.fetch(_READ, *columns_of(rows))
        for now in recompute_groups(zip(some, map(tuple, closes), strict=True), specs):
            yield now


def group_changes(changed: Iterable[CandleKey], specs: AverageSpecs) -> Iterator[ChangeGroup]:
    """Put changed candles together where all between them must be read anyway."""
    series: defaultdict[tuple[str, str, str], set[int]] = defaultdict(set)
    for venue, symbol, interval, open_time_us in changed:
        series[venue, symbol, interval].add(open_time_us)
    for (venue, symbol, interval), open_times_us in series.items():
        window = specs.window(interval)
        if not window:
            continue
        stretch: list[int] = []
        for open_time_us in sorted(open_times_us):
            if stretch and open_time_us - stretch[-1] > window * INTERVALS[interval]:
                yield ChangeGroup(venue, symbol, interval, stretch, window)
                stretch = []
            stretch.append(open_time_us)
        yield ChangeGroup(venue, symbol, interval, stretch, window)


def recompute_groups(
    found: Iterable[tuple[ChangeGroup, tuple[Sequence[int], Sequence[float]]]], specs: AverageSpecs
) -> Iterator[RecomputedAverages]:
    """Compute whatever contains the changed candles of stretches, given their open times and closes."""
    now, steps = RecomputedAverages({}, {}, set()), 0
    for stretch, (times_us, closes) in found:
        now.gone.update(map(stretch.candle, set(stretch.changed_us).difference(times_us)))
        for index, distance in _distances(times_us, stretch.changed_us):
            seen = closes[max(0, index + 1 - stretch.window) : index + 1]
            steps += _compute(now, stretch.candle(times_us[index]), distance, seen, specs)
            if steps >= MAX_STEPS:
                yield now
                now, steps = RecomputedAverages({}, {}, set()), 0
    yield now


def _compute(
    now: RecomputedAverages, candle: CandleKey, distance: int, seen: Sequence[float], specs: AverageSpecs
) -> int:
    """Compute what has changed with a candle some distance before; return how many closes were looked at."""
    steps = 0
    for spec in specs.averages if candle.interval in specs.intervals else ():
        if distance < spec.window:
            now.averages[candle, spec.name] = average(spec, seen)
            steps += min(spec.window, len(seen))
    if candle.interval == BASE and distance < specs.statistics_window:
        now.statistics[candle] = moments(seen, specs.returns)
        steps += 10 * len(seen[-specs.statistics_window :])  # each looked at several times
    return steps


def _distances(times_us: Sequence[int], changed_us: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the index of each candle from the first change on, and how many candles ago the last one was."""
    begins = [bisect_left(times_us, it) for it in changed_us] + [len(times_us)]
    for begin, end in pairwise(begins):
        for index in range(begin, end):
            yield index, index - begin


# The closed candles from the first change to the last, and so many before and after them.
_READ: Final = """
select c.*
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int8[])
    with ordinality as s (venue, symbol, name, first, last, count, number)
cross join lateral (
    select coalesce(array_agg((extract(epoch from open_time) * 1000000)::int8 order by open_time), '{}'),
        coalesce(array_agg(close::float8 order by open_time), '{}')
    from (
        (
            select open_time, close from candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name and closed
                and open_time < s.first
            order by open_time desc limit s.count
        ) union all (
            select open_time, close from candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name and closed
                and open_time between s.first and s.last
        ) union all (
            select open_time, close from candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name and closed
                and open_time > s.last
            order by open_time limit s.count
        )
    ) as near
) as c
order by s.number
"""
