"""A database whose watermark one wrong time has moved into the future is repaired when a worker takes it."""

import asyncpg
import stored
from working import MINUTE_US, START_US, publishing, stored_count, trade, until, working

AHEAD = """
insert into closed_candles select * from open_candles;
delete from open_candle_rows;
update ledger set watermark = '2099-01-01', missing = '{}', last_trade_id = 31;
insert into trades values ('binance', 'AAAUSDT', 31, 10.5, 1, 'buy', '2099-01-01', now());
update closed_candles set closed = true, revision = revision + 3;
insert into open_candle_rows
    select venue, symbol, "interval", '2099-01-01', open, high, low, close, 1, 10.5, 1,
    '2099-01-01', 31, '2099-01-01', 31, 0, false, false, 1, 10.5
    from closed_candles where "interval" = '1m' order by open_time desc limit 1;
"""


async def test_a_watermark_in_the_future_is_brought_back(redis_url: str, database_url: str) -> None:
    trades = [trade(i, at_us=START_US + i * 10_000_000) for i in range(1, 61)]  # six a minute
    async with publishing(redis_url) as publisher:
        async with working(redis_url, database_url):
            await publisher.publish(trades[:30])

            async def begun() -> bool:
                return await stored_count(database_url) == 30

            await until(begun, "stored")
        connection = await asyncpg.connect(database_url)
        await connection.execute(AHEAD)
        await connection.close()
        async with working(redis_url, database_url):
            await publisher.publish(trades[31:])

            async def done() -> bool:
                return await stored_count(database_url) == 59

            await until(done, "stored, without the trade of the future")
    flags = await stored.read_flags(database_url, "AAAUSDT")
    opened = [START_US // 1_000_000 + 60 * minute for minute in range(11)]
    assert [flag[0] for flag in flags] == opened
    assert [flag[1] for flag in flags] == [True] * 10 + [False]
    assert [flag[3] for flag in flags[5:]] == [0] * 6
    days = await stored.read_flags(database_url, "AAAUSDT", "1d")
    assert [(closed, revision) for _, closed, _, revision in days] == [(False, 0)]
    assert await stored.fetch_value(database_url, "select missing::text from ledger") == "{[31,32)}"
    assert [row[:3] for row in await stored.read_gaps(database_url)] == [(31, 31, "unrecoverable")]
    assert (
        await stored.fetch_value(
            database_url, "select count(*) from statistics where open_time > '2090-01-01'"
        )
        == 0
    )
    watermark = await stored.fetch_value(
        database_url, "select (extract(epoch from watermark) * 1000000)::int8 from ledger"
    )
    assert watermark == START_US + 10 * MINUTE_US
