"""The audit passes on what the merge rule makes of random trades, and finds everything planted in it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest

from db.audit import IdProblem, SymbolAudit, audit_symbol, read_audit_symbols, snapshot
from db.export import open_reader
from tickplant.intervals import DAY_US, HOUR_US, INTERVALS, MINUTE_US
from tickplant.market import Candle, SymbolId, Trade, fold

SYMBOL = SymbolId("binance", "BTCUSDT")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SUNDAY_US = 1_722_729_600_000_000  # 2024-08-04: a week ends with that day
FIRST_ID = 3_735_683_259


def random_trades(seed: int, count: int = 800) -> list[Trade]:
    """Trades with holes between the ids and times that repeat and at times go back, over three days."""
    random = Random(seed)
    trades = []
    trade_id, time_us = FIRST_ID, SUNDAY_US + random.randrange(DAY_US // 2)
    for _ in range(count):
        price = Decimal(random.randrange(1, 10_000_000)).scaleb(-random.randrange(9))
        size = Decimal(random.randrange(1, 10_000)).scaleb(-random.randrange(9))
        moment_us = time_us - random.choice((0, 0, 0, 1, MINUTE_US))
        trades.append(Trade(*SYMBOL, trade_id, f"{price:f}", f"{size:f}", "buy", moment_us, moment_us + 7))
        trade_id += random.choice((1, 1, 1, 1, 1, 1, 1, 3))
        time_us += random.choice((0, 0, 0, 1_000, 20_000_000, 90_000_000, HOUR_US // 3))
    return trades


def ledger_of(trades: Sequence[Trade]) -> tuple[int, int, list[tuple[int, int]], int]:
    """First id, last id, missing ranges, watermark of stored trades."""
    ids = sorted(trade.trade_id for trade in trades)
    missing = [(low + 1, high) for low, high in pairwise(ids) if high > low + 1]
    return ids[0], ids[-1], missing, max(trade.event_time_us for trade in trades)


def candles_of(trades: Sequence[Trade]) -> list[Candle]:
    """Candles of all intervals, straight from the trades, with their flags."""
    first, last, missing, watermark_us = ledger_of(trades)
    absent = {trade_id for low, high in missing for trade_id in range(low, high)}
    candles = []
    for interval, length_us in INTERVALS.items():
        for candle in fold(trades, interval, length_us):
            closed = candle.open_time_us + length_us <= watermark_us
            complete = (
                closed
                and candle.trade_count == candle.last_trade_id - candle.first_trade_id + 1
                and candle.first_trade_id > first
                and candle.first_trade_id - 1 not in absent
                and candle.last_trade_id < last
                and candle.last_trade_id + 1 not in absent
            )
            candles.append(msgspec.structs.replace(candle, closed=closed, complete=complete))
    return candles


async def store(connection: asyncpg.Connection, trades: Sequence[Trade]) -> None:
    """Write trades, their candles and their ledger."""
    await connection.copy_records_to_table("trades", records=[_trade_row(trade) for trade in trades])
    await connection.copy_records_to_table("candles", records=[_candle_row(it) for it in candles_of(trades)])
    first, last, missing, watermark_us = ledger_of(trades)
    await connection.execute(
        "insert into ledger values ($1, $2, 0, $3, $4, $5, $6)",
        *SYMBOL,
        first,
        last,
        [asyncpg.Range(low, high) for low, high in missing],
        _time(watermark_us),
    )


async def audit(url: str) -> SymbolAudit:
    async with open_reader(url, application="test") as connection, snapshot(connection):
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
        candle = of_interval[number // len(INTERVALS) % len(of_interval)]
        open_time = _time(candle.open_time_us)
        await connection.execute(
            f'update candles set {column} = {expression} where "interval" = $1 and open_time = $2',
            interval,
            open_time,
        )
        planted[interval, open_time, column] = "differs"
    found = await audit(url)
    assert {(it.interval, it.open_time, it.column): it.kind for it in found.differences} == planted
    assert all(it.stored != it.recomputed for it in found.differences)
    assert found.ids == []


async def test_missing_and_extra_rows_are_found(stored: Any) -> None:
    url, connection, trades = stored
    candles = candles_of(trades)
    gone = [next(candle for candle in candles if candle.interval == interval) for interval in INTERVALS]
    for candle in gone:
        where = candle.interval, _time(candle.open_time_us)
        await connection.execute('delete from candles where "interval" = $1 and open_time = $2', *where)
    extra = msgspec.structs.replace(candles[0], open_time_us=candles[0].open_time_us + 30 * DAY_US)
    await connection.copy_records_to_table("candles", records=[_candle_row(extra)])
    found = await audit(url)
    assert [(it.interval, _us(it.open_time), it.kind) for it in found.differences] == [
        *((candle.interval, candle.open_time_us, "missing") for candle in gone),
        ("1m", extra.open_time_us, "extra"),
    ]


async def test_a_trade_stored_twice_is_found_as_such_and_in_its_candles(stored: Any) -> None:
    url, connection, trades = stored
    twice = trades[300]
    await connection.copy_records_to_table("trades", records=[_trade_row(twice)])
    found = await audit(url)
    assert found.ids == [IdProblem("duplicate", twice.trade_id, twice.trade_id)]
    columns = {"volume", "quote_volume", "trade_count"}
    assert {it.interval for it in found.differences} == set(INTERVALS)
    assert columns <= {it.column for it in found.differences} <= columns | {"complete"}


async def test_an_id_that_comes_back_on_another_day_is_a_duplicate(stored: Any) -> None:
    url, connection, trades = stored
    again = msgspec.structs.replace(trades[300], event_time_us=trades[300].event_time_us + 10 * DAY_US)
    await connection.copy_records_to_table("trades", records=[_trade_row(again)])
    assert (await audit(url)).ids == [IdProblem("duplicate", again.trade_id, again.trade_id)]


async def test_a_lost_trade_is_found_by_the_ledger_and_in_its_candles(stored: Any) -> None:
    url, connection, trades = stored
    for lost in (trades[0], trades[300], trades[-1]):
        await connection.execute("delete from trades where trade_id = $1", lost.trade_id)
    found = await audit(url)
    assert found.ids == [
        IdProblem("not stored", lost.trade_id, lost.trade_id) for lost in (trades[0], trades[300], trades[-1])
    ]
    assert {it.interval for it in found.differences} == set(INTERVALS)


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


async def test_trades_without_a_ledger_are_found(stored: Any) -> None:
    url, connection, trades = stored
    await connection.execute("delete from ledger")
    found = await audit(url)
    assert {it.kind for it in found.ids} == {"no ledger"}
    assert found.ids[0].first_trade_id == trades[0].trade_id


async def test_candles_whose_trades_were_removed_by_age_are_not_checkable(stored: Any) -> None:
    url, connection, trades = stored
    horizon_us = SUNDAY_US + 2 * DAY_US
    assert any(trade.event_time_us > horizon_us for trade in trades)
    await connection.execute("delete from trades where event_time < $1", _time(horizon_us))
    found = await audit(url)
    assert found.passed
    assert found.not_checkable == sum(candle.open_time_us < horizon_us for candle in candles_of(trades))
    assert found.candles + found.not_checkable == len(candles_of(trades))


async def test_candles_of_a_symbol_without_any_trades_left_do_not_pass(stored: Any) -> None:
    url, connection, _ = stored
    await connection.execute("delete from trades")
    found = await audit(url)
    assert not found.passed
    assert {it.kind for it in found.differences} == {"extra"}


def _trade_row(trade: Trade) -> tuple[Any, ...]:
    return (
        *(trade.venue, trade.symbol, trade.trade_id, Decimal(trade.price), Decimal(trade.size), trade.side),
        *(_time(trade.event_time_us), _time(trade.ingest_time_us)),
    )


def _candle_row(candle: Candle) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(candle)
    return tuple(_time(value) if name.endswith("_us") else value for name, value in values.items())


def _time(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


def _us(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)
