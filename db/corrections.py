"""Recomputes averages and statistics around candles that have changed."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Final, NamedTuple

import asyncpg

from db.bulk import columns_of
from tickplant.averages import AverageSpecs, ReturnStatistics, average, return_statistics
from tickplant.intervals import BASE, INTERVALS
from tickplant.times import to_datetime

MAX_STEPS: Final = 1_000_000
"""Closes processed in one slice: about a tenth of a second."""
_GROUPS: Final = 200
"""Groups read at once."""


class CandleKey(NamedTuple):
    """Identifies a row of the candles table."""

    venue: str
    symbol: str
    interval: str
    open_time_us: int


class RecomputedAverages(NamedTuple):
    """The recomputed averages and statistics; None where there is none any more."""

    averages: dict[tuple[CandleKey, str], float | None]
    """By candle and name."""
    statistics: dict[CandleKey, ReturnStatistics | None]
    deleted: set[CandleKey]
    """Candles that don't exist any more."""


class ChangeGroup(NamedTuple):
    """Changed candles of one symbol and interval that are near enough to be read together."""

    venue: str
    symbol: str
    interval: str
    changed_us: list[int]
    """Their open times, ascending."""
    window: int
    """The most candles from which a value is computed: that many are read before and after."""

    def candle(self, open_time_us: int) -> CandleKey:
        """Return the key of a candle of the same symbol and interval."""
        return CandleKey(self.venue, self.symbol, self.interval, open_time_us)


async def recompute_averages(
    connection: asyncpg.Connection, changed: Iterable[CandleKey], specs: AverageSpecs
) -> AsyncIterator[RecomputedAverages]:
    """Recompute all values that candles contribute to, in short slices.

    Writing each slice before requesting the next prevents the transaction from counting as idle, and lets
    other tasks run.

    Args:
        connection: in the transaction that has changed the candles.
        changed: the candles that were changed, inserted or deleted; open ones are ignored.
        specs: which averages are computed.
    """
    groups = iter(group_changes(changed, specs))
    while batch := list(islice(groups, _GROUPS)):
        rows = [
            (
                *group[:3],
                to_datetime(group.changed_us[0]),
                to_datetime(group.changed_us[-1]),
                group.window - 1,
            )
            for group in batch
        ]
        closes = await connection.fetch(_READ, *columns_of(rows))
        for recomputed in recompute_groups(zip(batch, map(tuple, closes), strict=True), specs):
            yield recomputed


def group_changes(changed: Iterable[CandleKey], specs: AverageSpecs) -> Iterator[ChangeGroup]:
    """Group changed candles where all candles between them must be read anyway."""
    series: defaultdict[tuple[str, str, str], set[int]] = defaultdict(set)
    for venue, symbol, interval, open_time_us in changed:
        series[venue, symbol, interval].add(open_time_us)
    for (venue, symbol, interval), open_times_us in series.items():
        window = specs.window(interval)
        if not window:
            continue
        group: list[int] = []
        for open_time_us in sorted(open_times_us):
            if group and open_time_us - group[-1] > window * INTERVALS[interval]:
                yield ChangeGroup(venue, symbol, interval, group, window)
                group = []
            group.append(open_time_us)
        yield ChangeGroup(venue, symbol, interval, group, window)


def recompute_groups(
    groups: Iterable[tuple[ChangeGroup, tuple[Sequence[int], Sequence[float]]]], specs: AverageSpecs
) -> Iterator[RecomputedAverages]:
    """Recompute all values that the changed candles of groups contribute to.

    Args:
        groups: each with the open times and closes of its candles.
        specs: which averages are computed.
    """
    recomputed, steps = RecomputedAverages({}, {}, set()), 0
    for group, (times_us, closes) in groups:
        recomputed.deleted.update(map(group.candle, set(group.changed_us).difference(times_us)))
        for index, distance in _distances(times_us, group.changed_us):
            window = closes[max(0, index + 1 - group.window) : index + 1]
            steps += _compute(recomputed, group.candle(times_us[index]), distance, window, specs)
            if steps >= MAX_STEPS:
                yield recomputed
                recomputed, steps = RecomputedAverages({}, {}, set()), 0
    yield recomputed


def _compute(
    recomputed: RecomputedAverages,
    candle: CandleKey,
    distance: int,
    closes: Sequence[float],
    specs: AverageSpecs,
) -> int:
    """Recompute the values of one candle.

    Args:
        recomputed: added to.
        candle: whose values.
        distance: how many candles before it the last changed one is.
        closes: up to the candle's own, oldest first.
        specs: which averages are computed.

    Returns:
        How many closes were processed.
    """
    steps = 0
    for spec in specs.averages if candle.interval in specs.intervals else ():
        if distance < spec.window:
            recomputed.averages[candle, spec.name] = average(spec, closes)
            steps += min(spec.window, len(closes))
    if candle.interval == BASE and distance < specs.statistics_window:
        recomputed.statistics[candle] = return_statistics(closes, specs.returns)
        steps += 10 * len(closes[-specs.statistics_window :])  # each close is processed several times
    return steps


def _distances(times_us: Sequence[int], changed_us: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the index of each candle from the first change on, and how many candles before it the last is."""
    starts = [bisect_left(times_us, open_time_us) for open_time_us in changed_us] + [len(times_us)]
    for start, end in pairwise(starts):
        for index in range(start, end):
            yield index, index - start


# The closed candles from the first change to the last, and `count` before and after them.
_READ: Final = """
select c.*
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int8[])
    with ordinality as s (venue, symbol, name, first, last, count, number)
cross join lateral (
    select coalesce(array_agg((extract(epoch from open_time) * 1000000)::int8 order by open_time), '{}'),
        coalesce(array_agg(close::float8 order by open_time), '{}')
    from (
        (
            select open_time, close from closed_candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name
                and open_time < s.first
            order by open_time desc limit s.count
        ) union all (
            select open_time, close from closed_candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name
                and open_time between s.first and s.last
        ) union all (
            select open_time, close from closed_candles
            where venue = s.venue and symbol = s.symbol and "interval" = s.name
                and open_time > s.last
            order by open_time limit s.count
        )
    ) as near
) as c
order by s.number
"""
