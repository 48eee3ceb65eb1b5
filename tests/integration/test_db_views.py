"""Views for people, and comments on everything."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest
from correct import SYMBOL, candles_of, ledger_of, random_trades, store
from msgspec.structs import replace

from tickplant.intervals import DAY_US, MINUTE_US, floor
from tickplant.times import to_datetime

TRADES = random_trades(seed=3)
NEWEST = max(TRADES, key=lambda trade: (trade.event_time_us, trade.trade_id))
WATERMARK = to_datetime(ledger_of(TRADES)[3])


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "Pacific/Auckland"})
    await store(connection, TRADES)
    await store(connection, [replace(trade, symbol="OTHER") for trade in TRADES[:10]])
    yield connection
    await connection.close()


async def one(connection: asyncpg.Connection, view: str) -> asyncpg.Record:
    (row,) = await connection.fetch(f"select * from {view} where venue = $1 and symbol = $2", *SYMBOL)
    return row


async def test_the_latest_price_is_the_newest_trades(connection: asyncpg.Connection) -> None:
    row = await one(connection, "latest_price")
    assert row["price"] == Decimal(NEWEST.price)
    assert (row["trade_id"], row["event_time"]) == (NEWEST.trade_id, to_datetime(NEWEST.event_time_us))
    assert await connection.fetchval("select count(*) from latest_price") == 2


async def test_the_overview_is_of_the_last_24_hours_of_the_venues_time(
    connection: asyncpg.Connection,
) -> None:
    begin_us = floor(ledger_of(TRADES)[3], MINUTE_US) - DAY_US + MINUTE_US
    minutes = [
        candle
        for candle in sorted(candles_of(TRADES), key=lambda candle: candle.open_time_us)
        if candle.interval == "1m" and candle.open_time_us >= begin_us
    ]
    row = await one(connection, "overview_24h")
    assert (row["open"], row["last"]) == (minutes[0].open, minutes[-1].close)
    assert row["change"] == minutes[-1].close - minutes[0].open
    assert (row["high"], row["low"]) == (
        max(minute.high for minute in minutes),
        min(minute.low for minute in minutes),
    )
    assert row["volume"] == sum(minute.volume for minute in minutes)
    assert row["quote_volume"] == sum(minute.quote_volume for minute in minutes)
    assert row["trade_count"] == sum(minute.trade_count for minute in minutes)
    assert (row["start"], row["until"]) == (to_datetime(begin_us), WATERMARK)


async def test_completeness_counts_minutes_by_utc_day(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select * from completeness where symbol = $1 order by day", SYMBOL.symbol)
    minutes = [candle for candle in candles_of(TRADES) if candle.interval == "1m"]
    days = [candle for candle in candles_of(TRADES) if candle.interval == "1d"]
    assert len(rows) == len(days)
    for row, day in zip(rows, sorted(days, key=lambda day: day.open_time_us), strict=True):
        assert row["day"] == to_datetime(day.open_time_us).date()
        within = [minute for minute in minutes if floor(minute.open_time_us, DAY_US) == day.open_time_us]
        assert row["minutes"] == len(within)
        assert row["incomplete"] == sum(not candle.complete for candle in within)
        assert (row["trade_count"], row["complete"]) == (day.trade_count, day.complete)


async def test_freshness_lists_watermarks_and_owners(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "insert into lease (role, partition, owner, epoch, expires_at)"
        " values ('candles', 0, 'somebody', 1, now() + interval '1 hour')"
    )
    await connection.execute("update ledger set watermark = now() - interval '5 s' where symbol = 'BTCUSDT'")
    row = await one(connection, "freshness")
    assert 5 <= row["behind_s"] < 60
    assert row["missing"] == sum(high - low for low, high in ledger_of(TRADES)[2])
    assert (row["partition"], row["owner"]) == (0, "somebody")
    assert row["last_trade_at"] == to_datetime(NEWEST.event_time_us)
    await connection.execute("update lease set expires_at = now() - interval '1 s'")
    assert (await one(connection, "freshness"))["owner"] is None


async def test_candles_stand_beside_their_averages(connection: asyncpg.Connection) -> None:
    opened = to_datetime(floor(TRADES[100].event_time_us, MINUTE_US))
    for name, value in (("sma_7", 10.5), ("ema_12", 11.25)):
        await connection.execute(
            "insert into averages values ($1, $2, '1m', $3, $4, $5)", *SYMBOL, opened, name, value
        )
    query = (
        "select open_time, averages ->> 'sma_7', averages ->> 'ema_12' from candles_with_averages"
        " where venue = $1 and symbol = $2 and \"interval\" = '1m' and open_time >= $3 and open_time < $4"
        " order by open_time"
    )
    rows = await connection.fetch(query, *SYMBOL, opened, opened + timedelta(days=1))
    assert tuple(rows[0]) == (opened, "10.5", "11.25")
    assert len(rows) > 1
    assert {tuple(row)[1:] for row in rows[1:]} == {(None, None)}


async def test_everything_has_a_comment(connection: asyncpg.Connection) -> None:
    """Tables, views, their columns and functions; what belongs to an extension is not ours."""
    bare = await connection.fetch(
        """
        select c.relname, a.attname
        from pg_class c left join lateral (
            select null as attname, 0 as attnum
            union all
            select attname, attnum from pg_attribute
            where attrelid = c.oid and attnum > 0 and not attisdropped
        ) a on true
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
            and not exists (select from pg_depend where objid = c.oid and deptype = 'e')
            and col_description(c.oid, a.attnum) is null
            and (a.attnum > 0 or obj_description(c.oid, 'pg_class') is null)
        union all
        select proname, '()' from pg_proc p
        where pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
            and not exists (select from pg_depend where objid = p.oid and deptype = 'e')
        """
    )
    assert [tuple(row) for row in bare] == []
