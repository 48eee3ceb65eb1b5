"""The audit passes on what the merge rule makes of random trades, and finds everything planted in it."""

from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest
from correct import SYMBOL, candle_row, candles_of, random_trades, store, trade_row

from db.audit import IdProblem, SymbolAudit, audit_symbol, read_audit_symbols, snapshot_on
from db.export import open_reader
from tickplant.intervals import DAY_US, INTERVALS
from tickplant.times import to_datetime, to_us


async def audit(url: str) -> SymbolAudit:
    async with open_reader(url, application="test") as connection, snapshot_on(connection):
        assert await read_audit_symbols(connection) == [SYMBOL]
        return await audit_symbol(connection, SYMBOL, lambda done, total: None)


@pytest.fixture
async def stored(database_url: str) -> Any:
    """A correct database: its address, a connection to it, and its trades."""
    trades = random_trades(seed=1)
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await store(connection, trades)
    yield database_url, connection, trades
    await connection.close()


@pytest.mark.parametrize("seed", range(5))
async def test_candles_made_by_the_merge_rule_pass(database_url: str, seed: int) -> None:
    trades = random_trades(seed)
    connection = await asyncpg.connect(database_url)
    await store(connection, Random(seed).sample(trades, len(trades)))
    await connection.close()
    found = await audit(database_url)
    assert found.differences == []
    assert found.ids == []
    assert (found.trades, found.candles) == (len(trades), len(candles_of(trades)))
    assert found.not_checkable == 0
    assert any(candle.complete for candle in candles_of(trades))


CHANGES = {
    "open": "open + 0.00000001",
    "high": "high + 0.00000001",
    "low": "low - 0.00000001",
    "close": "close * 2",
    "volume": "volume + 0.000000000000001",
    "quote_volume": "quote_volume - 0.000000000000001",
    "taker_buy_volume": "taker_buy_volume + 0.000000000000001",
    "taker_buy_quote_volume": "null",
    "trade_count": "trade_count + 1",
    "first_event_time": "first_event_time + interval '1 microsecond'",
    "first_trade_id": "first_trade_id + 1",
    "last_event_time": "last_event_time - interval '1 microsecond'",
    "last_trade_id": "last_trade_id - 1",
    "closed": "not closed",
    "complete": "not complete",
}


async def test_a_change_in_any_column_of_any_interval_is_found(stored: Any) -> None:
    url, connection, trades = stored
    candles = candles_of(trades)
    planted = {}
    for number, (column, expression) in enumerate(CHANGES.items()):
        interval = list(INTERVALS)[number % len(INTERVALS)]
        of_interval = [candle for candle in candles if candle.interval == interval]
        if column in ("closed", "complete"):  # an open candle has neither
            of_interval = [candle for candle in of_interval if candle.closed]
        candle = of_interval[number // len(INTERVALS) % len(of_interval)]
        open_time = to_datetime(candle.open_time_us)
        for table in ("closed_candles", "open_candle_rows"):
            await connection.execute(
                f'update {table} set {column} = {expression} where "interval" = $1 and open_time = $2',
                interval,
                open_time,
            )
        planted[interval, open_time, column] = "differs"
    found = await audit(url)
    assert {
        (difference.interval, difference.open_time, difference.column): difference.kind
        for difference in found.differences
    } == planted
    assert all(difference.stored != difference.recomputed for difference in found.differences)
    assert found.ids == []


async def test_missing_and_extra_rows_are_found(stored: Any) -> None:
    url, connection, trades = stored
    candles = candles_of(trades)
    gone = [next(candle for candle in candles if candle.interval == interval) for interval in INTERVALS]
    for candle in gone:
        where = candle.interval, to_datetime(candle.open_time_us)
        await connection.execute(
            'delete from closed_candles where "interval" = $1 and open_time = $2', *where
        )
    extra = msgspec.structs.replace(candles[0], open_time_us=candles[0].open_time_us + 30 * DAY_US)
    await connection.copy_records_to_table("closed_candles", records=[candle_row(extra)])
    found = await audit(url)
    assert [
        (difference.interval, to_us(difference.open_time), difference.kind)
        for difference in found.differences
    ] == [
        *((candle.interval, candle.open_time_us, "missing") for candle in gone),
        ("1m", extra.open_time_us, "extra"),
    ]


async def test_a_trade_stored_twice_is_found_as_such_and_in_its_candles(stored: Any) -> None:
    url, connection, trades = stored
    twice = trades[300]
    await connection.copy_records_to_table("trades", records=[trade_row(twice)])
    found = await audit(url)
    assert found.ids == [IdProblem("duplicate", twice.trade_id, twice.trade_id)]
    columns = {"volume", "quote_volume", "trade_count"}
    if twice.side == "buy":
        columns |= {"taker_buy_volume", "taker_buy_quote_volume"}
    assert {difference.interval for difference in found.differences} == set(INTERVALS)
    assert columns <= {difference.column for difference in found.differences} <= columns | {"complete"}


async def test_an_id_repeated_on_another_day_is_a_duplicate(stored: Any) -> None:
    url, connection, trades = stored
    again = msgspec.structs.replace(trades[300], event_time_us=trades[300].event_time_us + 10 * DAY_US)
    await connection.copy_records_to_table("trades", records=[trade_row(again)])
    assert (await audit(url)).ids == [IdProblem("duplicate", again.trade_id, again.trade_id)]


async def test_a_lost_trade_is_found_by_the_ledger_and_in_its_candles(stored: Any) -> None:
    url, connection, trades = stored
    for lost in (trades[0], trades[300], trades[-1]):
        await connection.execute("delete from trades where trade_id = $1", lost.trade_id)
    found = await audit(url)
    assert found.ids == [
        IdProblem("not stored", lost.trade_id, lost.trade_id) for lost in (trades[0], trades[300], trades[-1])
    ]
    assert {difference.interval for difference in found.differences} == set(INTERVALS)


async def test_an_id_that_the_ledger_calls_missing_or_does_not_span_is_found_if_stored(stored: Any) -> None:
    url, connection, trades = stored
    present = trades[300].trade_id
    await connection.execute(
        "update ledger set missing = missing + int8multirange(int8range($1, $1, '[]')),"
        " last_trade_id = last_trade_id - 1",
        present,
    )
    assert (await audit(url)).ids == [
        IdProblem("not in the ledger", present, present),
        IdProblem("not in the ledger", trades[-1].trade_id, trades[-1].trade_id),
    ]


async def test_an_id_that_the_venue_lacks_is_not_missed_but_must_not_be_stored(stored: Any) -> None:
    url, connection, trades = stored
    await connection.execute("update ledger set void = missing, missing = '{}'")
    assert (await audit(url)).ids == []
    present = trades[300].trade_id
    await connection.execute(
        "update ledger set void = void + int8multirange(int8range($1, $1, '[]'))", present
    )
    assert (await audit(url)).ids == [IdProblem("not in the ledger", present, present)]


async def test_trades_without_a_ledger_are_found(stored: Any) -> None:
    url, connection, trades = stored
    await connection.execute("delete from ledger")
    found = await audit(url)
    assert {trade_id.kind for trade_id in found.ids} == {"no ledger"}
    assert found.ids[0].first_trade_id == trades[0].trade_id


async def test_candles_of_a_symbol_without_any_trades_left_do_not_pass(stored: Any) -> None:
    url, connection, _ = stored
    await connection.execute("delete from trades")
    found = await audit(url)
    assert not found.passed
    assert {difference.kind for difference in found.differences} == {"extra"}
