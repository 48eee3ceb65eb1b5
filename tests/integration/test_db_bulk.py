"""Large batches go into the columnstore where there is one, and are as exact there as anywhere."""

from decimal import Decimal

import asyncpg
from conftest import PARTITIONS
from working import MINUTE_US, START_US, publishing, stored_count, trade, until, working

from db.bulk import LARGE
from db.pool import open_pool
from db.repair import forget
from tickplant.market import SymbolId
from tickplant.streams import partition_of

SYMBOL = SymbolId("binance", "AAAUSDT")


async def compressed_chunks(connection: asyncpg.Connection) -> int | None:
    if not await connection.fetchval("select count(*) from pg_extension where extname = 'timescaledb'"):
        return None
    return int(
        await connection.fetchval("select count(*) from timescaledb_information.chunks where is_compressed")
    )


async def test_large_batches_go_into_the_columnstore_and_small_ones_do_not(
    redis_url: str, database_url: str
) -> None:
    few = [trade(i, at_us=START_US + i) for i in range(1, 101)]
    many = [trade(i, at_us=START_US + i * 10, price=f"{i}.5") for i in range(101, 101 + 8 * LARGE)]
    connection = await asyncpg.connect(database_url)
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        for trades, expected in ((few, 0), (many, 1)):
            before = await stored_count(database_url)
            await publisher.publish(trades)

            async def all_stored(count: int = before + len(trades)) -> bool:
                return await stored_count(database_url) == count

            await until(all_stored, "all stored")
            assert await compressed_chunks(connection) in (None, expected)
    rows = await connection.fetch("select trade_id, price from trades order by event_time, trade_id")
    assert [tuple(row) for row in rows] == [(t.trade_id, Decimal(t.price)) for t in [*few, *many]]
    await connection.close()


async def test_more_can_be_forgotten_than_timescaledb_changes_unasked(
    redis_url: str, database_url: str
) -> None:
    count = 120_000  # the limit is 100,000
    partition = partition_of(*SYMBOL, PARTITIONS)
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        await publisher.publish([trade(i, at_us=START_US + i * 1_000) for i in range(1, count + 1)])

        async def all_stored() -> bool:
            return await stored_count(database_url) == count

        await until(all_stored, "all stored")
    end_us = START_US + 3 * MINUTE_US
    async with open_pool(database_url, size=1, application="test") as pool:
        gaps = await forget(pool, partition, SYMBOL, START_US, end_us, (1, count))
        assert [(gap.first_id, gap.last_id, gap.missing) for gap in gaps] == [(1, count, count)]
        assert await pool.fetchval("select count(*) from candles") == 0
    assert await stored_count(database_url) == 0
