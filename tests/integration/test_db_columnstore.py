"""TimescaleDB's columnstore: rows that lie in it are corrected as all others, and cheaply."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import offline
import pytest
import stored
from correct import SYMBOL, random_trades, store
from msgspec.structs import replace
from working import START_US, payload, publishing, stored_count, trade, until, working

from db.audit import audit_symbol, snapshot_on
from db.corrections import CandleKey
from db.migrate import migrate
from db.policies import COLUMNSTORES, RETAINED
from db.pool import open_pool
from db.repair import delete_minutes
from db.stale_averages import FIND_AVERAGES, delete_averages
from tickplant.intervals import MINUTE_US, floor
from tickplant.times import to_us

pytestmark = pytest.mark.parametrize("database_url", ["timescaledb"], indirect=True)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def compress(connection: asyncpg.Connection) -> None:
    """Move all chunks to the columnstore, as the policy does with old ones."""
    for relation in ("trades", "closed_candles"):
        await connection.execute(f"select compress_chunk(c) from show_chunks('{relation}') c")


async def unpacked(connection: asyncpg.Connection, relation: str) -> dict[str, int]:
    """Return how many rows of each symbol lie in the row store."""
    chunks = await connection.fetch("select show_chunks($1::text::regclass)::text", relation)
    found: Counter[str] = Counter()
    for (chunk,) in chunks:
        rows = await connection.fetch(f"select symbol, count(*) from only {chunk} group by symbol")
        found.update({row["symbol"]: row["count"] for row in rows})
    return found


async def test_a_late_trade_gives_the_exact_candle_and_unpacks_no_others(
    redis_url: str, database_url: str, connection: asyncpg.Connection
) -> None:
    trades = [
        trade(i, at_us=START_US + i * 10_000_000, price=f"{100 + i}.25", symbol=symbol)
        for symbol in ("AAAUSDT", "BBBUSDT")
        for i in range(1, 31)
    ]
    late = trades.pop(8)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):

        async def all_stored() -> bool:
            return await stored_count(database_url) == len(trades)

        await publisher.publish(trades)
        await until(all_stored, "trades stored")
        await compress(connection)
        assert await unpacked(connection, "closed_candles") == {}
        trades.append(late)
        await publisher.publish([late])
        await until(all_stored, "late trade stored")
    assert await stored.read_candles(database_url) == offline.candles(map(payload, trades))
    flags = await stored.read_flags(database_url, "AAAUSDT")
    assert [complete for _, _, complete, _ in flags] == [False, True, True, True, True, False]
    assert [revision for *_, revision in flags] == [0, 1, 0, 0, 0, 0]
    assert (await unpacked(connection, "closed_candles")).keys() == {"AAAUSDT"}
    assert await unpacked(connection, "trades") == {"AAAUSDT": 1}


async def test_candles_that_may_still_change_are_found_without_reading_the_others(
    connection: asyncpg.Connection,
) -> None:
    await store(connection, random_trades(seed=1))
    await compress(connection)
    plan = await connection.fetch(
        "explain (costs off) select * from closed_candles"
        " where venue = 'binance' and symbol = 'BTCUSDT' and (not closed or not complete)"
    )
    text = "\n".join(row[0] for row in plan)
    columnstore = text[text.index("ColumnarScan") :].partition("Scan on _hyper")[0]
    assert "(NOT closed) OR (NOT complete)" in columnstore.partition("compress")[2]


async def test_minutes_can_be_deleted_for_a_repair(database_url: str, connection: asyncpg.Connection) -> None:
    trades = random_trades(seed=1)
    await store(connection, trades)
    await store(connection, [replace(trade, symbol="OTHER") for trade in trades])
    await compress(connection)
    start_us = floor(trades[300].event_time_us, MINUTE_US)
    doomed = [trade for trade in trades if start_us <= trade.event_time_us < start_us + MINUTE_US]
    ids = [trade.trade_id for trade in doomed]
    async with open_pool(database_url, size=1, application="test") as pool:
        await delete_minutes(
            pool, 0, SYMBOL, start_us, start_us + MINUTE_US, (min(ids), max(ids)), specs=None
        )
    async with snapshot_on(connection):
        found = await audit_symbol(connection, SYMBOL, lambda done, total: None)
    assert found.passed
    assert found.trades <= len(trades) - len(doomed)
    assert (await unpacked(connection, "closed_candles")).keys() == {SYMBOL.symbol}


async def test_every_hypertable_has_a_policy_and_a_second_migration_changes_nothing(
    database_url: str, connection: asyncpg.Connection
) -> None:
    policies = (
        "select job_id, hypertable_name, config from timescaledb_information.jobs where job_id >= 1000"
        " order by job_id"
    )
    before = await connection.fetch(policies)
    await migrate(database_url, partitions=4)
    assert await connection.fetch(policies) == before
    hypertables = await connection.fetch("select hypertable_name from timescaledb_information.hypertables")
    names = {name for (name,) in hypertables}
    assert (
        {row["hypertable_name"] for row in before}
        == names
        == {columnstore.relation for columnstore in COLUMNSTORES}
    )
    assert names == RETAINED.keys()


async def test_a_policy_of_another_age_is_replaced(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute("call remove_columnstore_policy('trades')")
    await connection.execute("call add_columnstore_policy('trades', after => interval '99 days')")
    await migrate(database_url, partitions=4)
    rows = await connection.fetch(
        "select config ->> 'compress_after' as age from timescaledb_information.jobs"
        " where hypertable_name = 'trades'"
    )
    assert [row["age"] for row in rows] == ["2 days"]


async def test_averages_that_no_longer_exist_are_deleted_without_unpacking_or_reading_others(
    connection: asyncpg.Connection,
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    await connection.execute(
        "insert into averages select 'binance', symbol, '1h', $1::timestamptz + number * interval '1 hour',"
        " name, number from generate_series(0, 40 * 24 - 1) number, unnest('{sma_7,sma_25}'::text[]) name,"
        " unnest('{AAAUSDT,BBBUSDT}'::text[]) symbol",
        start,
    )
    await connection.execute("select compress_chunk(c) from show_chunks('averages') c")

    def candle(hours: int) -> CandleKey:
        return CandleKey("binance", "AAAUSDT", "1h", to_us(start) + hours * 3_600_000_000)

    await delete_averages(connection, [(candle(hour), "sma_99") for hour in range(99)])
    assert await unpacked(connection, "averages") == {}
    last = 40 * 24 - 1
    await delete_averages(connection, [(candle(last), "sma_7"), (candle(last - 1), None)])
    found = await unpacked(connection, "averages")
    assert found.keys() == {"AAAUSDT"}
    rows = await connection.fetch(
        "select open_time, name from averages where symbol = 'AAAUSDT' order by open_time desc, name limit 3"
    )
    at = [start + timedelta(hours=last - before) for before in (0, 2, 2)]
    assert list(map(tuple, rows)) == list(zip(at, ("sma_25", "sma_25", "sma_7"), strict=True))
    chunks = await connection.fetchval("select count(*) from show_chunks('averages')")
    plan = await connection.fetch(
        f"explain (costs off) {FIND_AVERAGES}",
        "1h",
        ["binance"],
        ["AAAUSDT"],
        start,
        start + timedelta(hours=99),
    )
    assert chunks > 1
    scans = [row[0] for row in plan if "(ColumnarScan)" in row[0]]
    assert len(scans) == 1, "\n".join(row[0] for row in plan)
