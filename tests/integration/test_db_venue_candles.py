"""Candles of a venue are stored apart, and stand in where those of trades are missing or lack trades."""

from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest
from correct import SYMBOL, candles_of, random_trades, store

from api.views.candles import candle_view
from db.pool import connect
from db.venue_candles import (
    count_venue_candles,
    read_all_candles_as_json,
    read_symbols_of_venue_candles,
    store_venue_candles,
)
from tickplant.intervals import INTERVALS
from tickplant.klines import Kline
from tickplant.market import Candle
from tickplant.times import format_time

TRADES = random_trades(7)
CANDLES = candles_of(TRADES)


def kline(open_time_us: int, trade_count: int, price: int = 5) -> Kline:
    number = Decimal(price)
    return Kline(
        open_time_us,
        *(number, number + 1, number - 1, number),
        Decimal("3.50"),
        trade_count,
        taker_buy_volume=Decimal("1.5"),
        taker_buy_quote_volume=Decimal("7.500"),
        quote_volume=Decimal("17.50000000"),
    )


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url, application="test")
    yield connection
    await connection.close()


def expected_of(interval: str, theirs: list[Kline]) -> list[dict[str, Any]]:
    """Return the candles of an interval, one for each open time, by the rule itself."""
    ours = {each.open_time_us: each for each in CANDLES if each.interval == interval}
    venues = {each.open_time_us: each for each in theirs}
    chosen: list[dict[str, Any]] = []
    for time_us in sorted({*ours, *venues}):
        own, other = ours.get(time_us), venues.get(time_us)
        if other is None or (own is not None and own.trade_count >= (other.trade_count or 0)):
            assert own is not None
            chosen.append(msgspec.to_builtins(candle_view(own)) | {"origin": "trades"})
        else:
            shown = Candle(
                *SYMBOL,
                interval,
                time_us,
                *(other.open, other.high, other.low, other.close, other.volume),
                other.quote_volume or Decimal(0),
                other.trade_count or 0,
                *(0, 0, 0, 0),
                closed=True,
                complete=None,
                taker_buy_volume=other.taker_buy_volume,
                taker_buy_quote_volume=other.taker_buy_quote_volume,
            )
            without_ids = {"first_trade_id": None, "last_trade_id": None, "origin": "venue"}
            chosen.append(msgspec.to_builtins(candle_view(shown)) | without_ids)
    return chosen


async def test_pages_have_one_candle_for_each_open_time(connection: asyncpg.Connection) -> None:
    await store(connection, TRADES)
    random = Random(3)
    for interval, length_us in INTERVALS.items():
        times = sorted(each.open_time_us for each in CANDLES if each.interval == interval)
        counts = {each.open_time_us: each.trade_count for each in CANDLES if each.interval == interval}
        around = [times[0] - 3 * length_us, times[0] - length_us, times[-1] + length_us]
        around += [*random.sample(times, min(len(times), 20)), times[-1]]  # the last one is open
        theirs = [
            kline(time_us, max(1, counts.get(time_us, 5) + number % 3 - 1))
            for number, time_us in enumerate(sorted({*around}))
        ]
        async with connection.transaction():
            assert await store_venue_candles(connection, SYMBOL, interval, theirs) == len(theirs)
        expected = expected_of(interval, theirs)
        assert {each["origin"] for each in expected} == {"trades", "venue"}
        middle_us = times[len(times) // 2]
        ranges = ((0, 2 * times[-1]), (middle_us, 2 * times[-1]), (times[0] - 2 * length_us, middle_us + 1))
        for (start_us, end_us), newest, limit in product(ranges, (False, True), (1, 2, 7, 1_000)):
            low, high = format_time(start_us), format_time(end_us)
            inside = [each for each in expected if low <= each["open_time"] < high]
            async with connection.transaction(isolation="repeatable_read"):
                rows, edge, _ = await read_all_candles_as_json(
                    connection, SYMBOL, interval, start_us=start_us, end_us=end_us, limit=limit, newest=newest
                )
            page = inside[-limit:] if newest else inside[:limit]
            assert msgspec.json.decode(rows) == page, (interval, start_us, end_us, newest, limit)
            assert (edge is not None) == (len(inside) > limit)


async def test_stored_ones_are_replaced_where_they_differ(connection: asyncpg.Connection) -> None:
    first, second = kline(0, 3), kline(60_000_000, 4)
    assert await store_venue_candles(connection, SYMBOL, "1m", []) == 0
    assert await read_symbols_of_venue_candles(connection) == []
    assert await store_venue_candles(connection, SYMBOL, "1m", [first, second]) == 2
    assert await store_venue_candles(connection, SYMBOL, "1m", [first, second]) == 0
    assert await store_venue_candles(connection, SYMBOL, "1m", [first, kline(60_000_000, 4, price=6)]) == 1
    rows = await connection.fetch("select close, volume::text from venue_candles order by open_time")
    assert [tuple(row) for row in rows] == [(5, "3.50"), (6, "3.50")]
    assert await read_symbols_of_venue_candles(connection) == [SYMBOL]
    ranges = ((0, 60_000_000, 1), (0, 60_000_001, 2), (1, 10**15, 1), (10**9, 10**15, 0))
    for start_us, end_us, count in ranges:
        found = await count_venue_candles(connection, SYMBOL, "1m", start_us, end_us)
        assert found == count
    assert await count_venue_candles(connection, SYMBOL, "5m", 0, 10**15) == 0


async def test_they_are_in_no_candle_of_trades(connection: asyncpg.Connection) -> None:
    await store(connection, TRADES)
    tables = ("candles", "closed_candles", "open_candles", "candles_with_averages", "completeness")
    before = [await connection.fetchval(f"select count(*) from {table}") for table in tables]
    for interval in INTERVALS:
        await store_venue_candles(connection, SYMBOL, interval, [kline(0, 3)])
    assert [await connection.fetchval(f"select count(*) from {table}") for table in tables] == before
    merged = await connection.fetch("select * from merged_candles($1, $2, '1M')", *SYMBOL)
    assert all(row["open_time"].year > 2000 for row in merged)
