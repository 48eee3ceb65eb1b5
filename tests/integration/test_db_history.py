"""Reads of history: trades and candles as exact as stored, in order, bounded, and candles of a second."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from correct import SYMBOL, candles_of, ledger_of, random_trades, store
from msgspec.structs import replace

from db.candles import read_candles, read_seconds
from db.pool import DatabaseConnection, open_pool, snapshot
from db.symbols import read_committed_entry, read_coverage, read_stored_symbols
from db.trades import TradeBound, read_last_trade, read_trades
from tickplant.intervals import INTERVALS, SECOND_US
from tickplant.market import SymbolId, Trade, fold

BEFORE, AFTER = TradeBound(-62_135_510_400_000_000), TradeBound(253_402_300_799_000_000)
EVER: dict[str, Any] = {"start_us": BEFORE[0], "end_us": AFTER[0]}
OTHER = SymbolId("binance", "OTHER")


def key(trade: Trade) -> tuple[int, int]:
    return trade.event_time_us, trade.trade_id


@pytest.fixture
def trades() -> list[Trade]:
    return random_trades(seed=5, count=400)


@pytest.fixture
async def connection(database_url: str, trades: list[Trade]) -> AsyncIterator[DatabaseConnection]:
    writer = await asyncpg.connect(database_url)
    await store(writer, trades)
    await writer.close()
    async with (
        open_pool(database_url, size=1, application="test", eager=False) as pool,
        snapshot(pool, timeout_s=30) as reader,
    ):
        yield reader


async def test_trades_in_order_and_digit_by_digit(
    connection: DatabaseConnection, trades: list[Trade]
) -> None:
    found = await read_trades(connection, SYMBOL, after=BEFORE, before=AFTER, limit=1000)
    assert found == sorted(trades, key=key)
    assert await read_last_trade(connection, SYMBOL) == found[-1]
    assert await read_trades(connection, OTHER, after=BEFORE, before=AFTER, limit=1000) == []
    assert await read_last_trade(connection, OTHER) is None


async def test_bounds_and_limits_of_trades(connection: DatabaseConnection, trades: list[Trade]) -> None:
    ordered = sorted(trades, key=key)
    low, high = TradeBound(*key(ordered[100])), TradeBound(*key(ordered[200]))
    between = ordered[101:200]
    assert await read_trades(connection, SYMBOL, after=low, before=high, limit=1000) == between
    assert await read_trades(connection, SYMBOL, after=low, before=high, limit=9) == between[:9]
    newest = await read_trades(connection, SYMBOL, after=low, before=high, limit=9, newest=True)
    assert newest == between[-9:]


async def test_a_bound_without_an_id_lies_before_its_moment(
    connection: DatabaseConnection, trades: list[Trade]
) -> None:
    ordered = sorted(trades, key=key)
    moment_us = ordered[200].event_time_us
    bound = TradeBound(moment_us)
    after = await read_trades(connection, SYMBOL, after=bound, before=AFTER, limit=1000)
    before = await read_trades(connection, SYMBOL, after=BEFORE, before=bound, limit=1000)
    assert after == [trade for trade in ordered if trade.event_time_us >= moment_us]
    assert before == [trade for trade in ordered if trade.event_time_us < moment_us]


async def test_candles_of_every_interval(connection: DatabaseConnection, trades: list[Trade]) -> None:
    expected = sorted(candles_of(trades), key=lambda candle: candle.open_time_us)
    for interval in INTERVALS:
        stored = [candle for candle in expected if candle.interval == interval]
        assert await read_candles(connection, SYMBOL, interval, limit=1000, **EVER) == stored
        assert await read_candles(connection, SYMBOL, interval, limit=3, **EVER) == stored[:3]
        assert await read_candles(connection, SYMBOL, interval, limit=3, newest=True, **EVER) == stored[-3:]
        first, last = stored[0].open_time_us, stored[-1].open_time_us
        inner = await read_candles(connection, SYMBOL, interval, start_us=first, end_us=last, limit=1000)
        assert inner == stored[:-1]


async def test_candles_of_a_second_are_those_of_the_trades(
    connection: DatabaseConnection, trades: list[Trade]
) -> None:
    first, last, missing, watermark_us = ledger_of(trades)
    absent = {trade_id for low, high in missing for trade_id in range(low, high)}
    expected = []
    for candle in sorted(fold(trades, "1s", SECOND_US), key=lambda candle: candle.open_time_us):
        low, high = sorted((candle.first_trade_id, candle.last_trade_id))
        closed = candle.open_time_us + SECOND_US <= watermark_us
        proven = first < low and high < last and absent.isdisjoint(range(low - 1, high + 2))
        expected.append(replace(candle, closed=closed, complete=closed and proven))
    found, more = await read_seconds(connection, SYMBOL, limit=1000, **EVER)
    assert (found, more) == (expected, False)
    assert await read_seconds(connection, SYMBOL, limit=7, **EVER) == (expected[:7], True)
    assert await read_seconds(connection, SYMBOL, limit=7, newest=True, **EVER) == (expected[-7:], True)


async def test_a_bounded_read_never_cuts_a_second(
    connection: DatabaseConnection, trades: list[Trade]
) -> None:
    expected = sorted(fold(trades, "1s", SECOND_US), key=lambda candle: candle.open_time_us)
    counts = {candle.open_time_us: candle.trade_count for candle in expected}
    for max_trades in (1, 2, 3, 10, 399, 400, 401):
        for newest in (False, True):
            seen: list[int] = []
            start_us, end_us, more = BEFORE[0], AFTER[0], True
            while more:
                found, more = await read_seconds(
                    connection,
                    SYMBOL,
                    start_us=start_us,
                    end_us=end_us,
                    limit=1000,
                    newest=newest,
                    max_trades=max_trades,
                )
                assert [candle.trade_count for candle in found] == [counts[row.open_time_us] for row in found]
                opened = [candle.open_time_us for candle in found]
                seen = [*opened, *seen] if newest else [*seen, *opened]
                if found and newest:
                    end_us = opened[0]
                elif found:
                    start_us = opened[-1] + 1
                else:
                    assert not more
            assert seen == list(counts)


async def test_symbols_and_how_far_they_are_stored(
    connection: DatabaseConnection, trades: list[Trade]
) -> None:
    first, last, missing, watermark_us = ledger_of(trades)
    absent = sum(high - low for low, high in missing)
    assert [tuple(row) for row in await read_stored_symbols(connection)] == [
        (SYMBOL, first, last, absent, watermark_us)
    ]
    inclusive = [(low, high - 1) for low, high in missing]
    assert await read_coverage(connection, SYMBOL) == (watermark_us, inclusive)
    assert await read_coverage(connection, OTHER) is None
    assert await read_committed_entry(connection, "candles", 0) is None


async def test_a_snapshot_sees_one_moment_and_is_limited_in_time(database_url: str) -> None:
    async with open_pool(database_url, size=2, application="test") as pool:
        async with snapshot(pool, timeout_s=10) as reader:
            assert await reader.fetchval("select count(*) from lease") == 0
            await pool.execute("insert into lease (role, partition) values ('candles', 1)")
            assert await reader.fetchval("select count(*) from lease") == 0
        with pytest.raises(TimeoutError):
            async with snapshot(pool, timeout_s=0.05) as reader:
                await reader.execute("select pg_sleep(5)")
        async with snapshot(pool, timeout_s=10) as reader:
            assert await reader.fetchval("select 1") == 1
