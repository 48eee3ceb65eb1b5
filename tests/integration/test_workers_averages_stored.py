"""Averages and statistics that workers store are those of the candles that they store."""

from collections import defaultdict
from random import Random

import stored
from conftest import on_last_variant
from working import ALL_ROLES, MINUTE_US, START_US, publishing, stored_count, trade, until, working

from tickplant.averages import AverageSpec, AverageSpecs, average, return_statistics
from tickplant.times import to_datetime

SPECS = AverageSpecs(
    (AverageSpec("sma", 5), AverageSpec("ema", 2), AverageSpec("wma", 3)), ("1m", "5m", "1h"), returns=8
)
ROLES = ALL_ROLES._replace(averages=SPECS, strategies=(), bot=None, gap_wait_ms=0)


@on_last_variant
async def test_averages_are_those_of_the_candles_whatever_comes_late(
    redis_url: str, database_url: str
) -> None:
    random = Random(4)
    trades = [
        trade(number, at_us=START_US + number * 17_000_000, price=f"{random.randrange(900, 1100)}.5")
        for number in range(1, 300)
    ]
    past, recent = trades[:60], trades[60:]
    late = [
        trade for trade in recent if trade.trade_id % 41 < 6 or trade.trade_id % 7 == 3
    ]  # whole minutes, and ends of others
    prompt = [trade for trade in recent if trade not in late]
    count = 0
    for batch in (prompt[:100], prompt[100:], late[:30], past[30:], late[30:], past[:30]):
        # Each batch has an owner of its own, which begins with what the one before has stored.
        async with working(redis_url, database_url, roles=ROLES), publishing(redis_url) as publisher:
            for start in range(0, len(batch), 9):
                await publisher.publish(batch[start : start + 9])
            count += len(batch)

            async def all_stored(count: int = count) -> bool:
                return await stored_count(database_url) == count

            await until(all_stored, "the batch stored")
    await check(database_url)


async def check(url: str) -> None:
    rows = await stored.fetch_rows(
        url, 'select "interval", open_time, close::float8 from candles where closed order by 1, 2'
    )
    series = defaultdict(list)
    for interval, open_time, close in rows:
        series[interval].append((open_time, close))
    averages, statistics = {}, {}
    for interval, candles in series.items():
        closes = [close for _, close in candles]
        for end, (open_time, _) in enumerate(candles, 1):
            for spec in SPECS.averages if interval in SPECS.intervals else ():
                value = average(spec, closes[:end])
                if value is not None:
                    averages[interval, open_time, spec.name] = value
            found = return_statistics(closes[:end], SPECS.returns) if interval == "1m" else None
            if found is not None:
                statistics[open_time] = tuple(found)
    rows = await stored.fetch_rows(url, 'select "interval", open_time, name, value from averages')
    assert {tuple(row)[:3]: row["value"] for row in rows} == averages
    rows = await stored.fetch_rows(
        url, "select open_time, points, return, mean, stddev, zscore, q1, q3 from statistics"
    )
    assert {row["open_time"]: tuple(row)[1:] for row in rows} == statistics
    assert min(statistics) < to_datetime(START_US + 10 * MINUTE_US)
    assert len(averages) > 200
