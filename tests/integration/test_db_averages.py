"""Averages and statistics in the database: what workers go on from, and what a corrected candle corrects."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import asyncpg
import pytest
from correct import SYMBOL, candle_row, candles_of, random_trades, store, store_candles

from db.averages import AverageRows, CandleKey, CandleWindow, read_candle_windows
from db.pool import open_pool, transaction
from db.repair import delete_minutes
from tickplant.averages import AverageSpec, AverageSpecs, average, return_statistics
from tickplant.derived import Average, Statistics
from tickplant.intervals import INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, Trade
from tickplant.times import to_datetime

SPECS = AverageSpecs(
    (AverageSpec("sma", 3), AverageSpec("sma", 40), AverageSpec("ema", 2), AverageSpec("wma", 5)),
    ("1m", "5m", "1h", "1d"),
    returns=6,
)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database_url, size=2, application="test") as opened:
        yield opened


def closed_by_interval(trades: Sequence[Trade]) -> dict[str, list[Candle]]:
    found: defaultdict[str, list[Candle]] = defaultdict(list)
    for candle in sorted(candles_of(trades), key=lambda candle: candle.open_time_us):
        if candle.closed:
            found[candle.interval].append(candle)
    return found


def derived(trades: Sequence[Trade]) -> tuple[list[Average], list[Statistics]]:
    """All averages and statistics, each straight from all closes before it."""
    averages, statistics = [], []
    for interval, candles in closed_by_interval(trades).items():
        closes = [float(candle.close) for candle in candles]
        for count, candle in enumerate(candles, 1):
            if interval in SPECS.intervals:
                for spec in SPECS.averages:
                    value = average(spec, closes[:count])
                    if value is not None:
                        averages.append(Average(*SYMBOL, interval, candle.open_time_us, spec.name, value))
            found = return_statistics(closes[:count], SPECS.returns) if interval == "1m" else None
            if found is not None:
                statistics.append(Statistics(SYMBOL.venue, SYMBOL.symbol, candle.open_time_us, *found))
    return averages, statistics


async def write(
    pool: asyncpg.Pool,
    averages: Sequence[Average] = (),
    statistics: Sequence[Statistics] = (),
    corrected: Sequence[CandleKey] = (),
) -> None:
    async with transaction(pool) as connection:
        await AverageRows(averages, statistics, corrected, SPECS).write(connection, "1-0")


async def stored(pool: asyncpg.Pool) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    averages = await pool.fetch("select * from averages")
    statistics = await pool.fetch("select * from statistics")
    return {tuple(row) for row in averages}, {tuple(row) for row in statistics}


def as_rows(trades: Sequence[Trade]) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    averages, statistics = derived(trades)
    return (
        {
            (*SYMBOL, average.interval, to_datetime(average.open_time_us), average.name, average.value)
            for average in averages
        },
        {
            (
                *SYMBOL,
                to_datetime(statistic.open_time_us),
                statistic.points,
                statistic.return_,
                statistic.mean,
                statistic.stddev,
                statistic.zscore,
                statistic.q1,
                statistic.q3,
            )
            for statistic in statistics
        },
    )


async def replace_candles(
    pool: asyncpg.Pool, before: Sequence[Trade], after: Sequence[Trade]
) -> list[CandleKey]:
    """Store other candles instead, and return those that are not the same."""
    rows = [{candle_row(candle)[:8]: candle for candle in candles_of(trades)} for trades in (before, after)]
    changed = {
        CandleKey(*SYMBOL, rows[i][key].interval, rows[i][key].open_time_us)
        for i in (0, 1)
        for key in rows[i].keys() - rows[1 - i].keys()
    }
    async with transaction(pool) as connection:
        await store_candles(connection, after)
    return sorted(changed)


@pytest.mark.parametrize("seed", range(3))
async def test_corrected_candles_correct_what_contains_them(pool: asyncpg.Pool, seed: int) -> None:
    trades = random_trades(seed)
    random = Random(seed)
    lost = set[int]()
    for _ in range(4):
        first = random.randrange(1, len(trades) - 1)
        lost |= set(range(first, min(first + random.choice((1, 3, 60)), len(trades) - 1)))
    fewer = [trade for index, trade in enumerate(trades) if index not in lost]
    async with transaction(pool) as connection:
        await store(connection, fewer)
    await write(pool, *derived(fewer))
    assert await stored(pool) == as_rows(fewer)
    late = await replace_candles(pool, fewer, trades)
    assert late
    await write(pool, corrected=late)
    assert await stored(pool) == as_rows(trades)
    gone = await replace_candles(pool, trades, fewer)
    await write(pool, corrected=gone)
    assert await stored(pool) == as_rows(fewer)


async def test_deleted_minutes_leave_no_averages(pool: asyncpg.Pool) -> None:
    trades = random_trades(seed=5)
    async with transaction(pool) as connection:
        await store(connection, trades)
    await write(pool, *derived(trades))
    start_us = floor(trades[300].event_time_us, MINUTE_US)
    end_us = start_us + 5 * MINUTE_US
    ids = [trade.trade_id for trade in trades if start_us <= trade.event_time_us < end_us]
    await delete_minutes(pool, 0, SYMBOL, start_us, end_us, (min(ids), max(ids)), specs=SPECS)
    left = [trade for trade in trades if not min(ids) <= trade.trade_id <= max(ids)]
    assert len(left) < len(trades)
    assert await stored(pool) == as_rows(
        [average for average in left if not start_us <= average.event_time_us < end_us]
    )


async def test_workers_resume_from_the_last_closes(pool: asyncpg.Pool) -> None:
    trades = random_trades(seed=4)
    async with transaction(pool) as connection:
        await store(connection, trades)
    candles = closed_by_interval(trades)

    def last(interval: str, until_us: int) -> CandleWindow:
        ended = [
            candle for candle in candles[interval] if candle.open_time_us + INTERVALS[interval] <= until_us
        ]
        ended = ended[-SPECS.window(interval) :]
        return CandleWindow(
            [candle.open_time_us for candle in ended],
            [float(candle.close) for candle in ended],
            [candle.last_event_time_us for candle in ended],
            [candle.last_trade_id for candle in ended],
        )

    end_us = trades[-1].event_time_us + MINUTE_US
    found = await read_candle_windows(pool, 0, SPECS)
    assert found == {
        SYMBOL: {interval: last(interval, end_us) for interval in SPECS.intervals if candles[interval]}
    }
    until_us = trades[len(trades) // 2].event_time_us
    found = await read_candle_windows(pool, 0, SPECS, {SYMBOL: until_us})
    assert found[SYMBOL]["5m"] == last("5m", until_us) != last("5m", end_us)
    assert await read_candle_windows(pool, 1, SPECS) == {}
