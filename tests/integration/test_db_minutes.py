"""Candles are stored up to the last minute that has ended; the view `candles` shows them in full, exactly."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from conftest import PARTITIONS, VARIANTS
from correct import SYMBOL, candle_row, candles_of, ledger_of, open_rows_of, random_trades, store_candles
from msgspec.structs import replace
from stored import database_of_migration

from db.migrate import migrate
from tickplant.intervals import INTERVALS, MINUTE_US
from tickplant.market import Trade
from tickplant.times import to_datetime

FORMER = 12
"""The last migration with which each commit wrote candles of all intervals."""
READ = 'select * from {} where symbol = $1 order by "interval", open_time'


@pytest.fixture(params=VARIANTS)
async def former(request: pytest.FixtureRequest, postgres_address: str) -> AsyncIterator[str]:
    """The address of an empty database of the former version."""
    timescaledb = request.param == "timescaledb"
    async with database_of_migration(postgres_address, FORMER, timescaledb=timescaledb) as (url, _):
        yield url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def write(
    connection: asyncpg.Connection, trades: Sequence[Trade], until_us: int, *, former: bool = False
) -> None:
    """Replace the candles and the ledger by those of trades and a watermark."""
    await connection.execute("delete from ledger where symbol = $1", trades[0].symbol)
    if former:
        rows = [candle_row(candle)[:18] for candle in candles_of(trades, until_us)]
        await connection.copy_records_to_table("candles", records=rows)
    else:
        await store_candles(connection, trades, until_us)
    first, last, missing, _ = ledger_of(trades)
    await connection.execute(
        "insert into ledger values ($1, $2, 0, $3, $4, $5, $6)",
        *(trades[0].venue, trades[0].symbol, first, last),
        *([asyncpg.Range(low, high) for low, high in missing], to_datetime(until_us)),
    )


async def read(connection: asyncpg.Connection, relation: str, symbol: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(READ.format(relation), symbol)]


def in_order(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return sorted(map(candle_row, rows), key=lambda row: (row[2], row[3]))


async def compress(connection: asyncpg.Connection, relation: str) -> None:
    if await connection.fetchval("select exists (select from pg_extension where extname = 'timescaledb')"):
        await connection.execute(
            f"select compress_chunk(c, if_not_compressed => true) from show_chunks('{relation}') c"
        )


@pytest.mark.parametrize("seed", range(3))
async def test_the_view_shows_all_trades_at_any_watermark(connection: asyncpg.Connection, seed: int) -> None:
    trades = random_trades(seed)
    for count in (1, 2, 3, 200, 500, 799, 800):
        some = trades[:count]
        last_us = max(trade.event_time_us for trade in some)
        for until_us in (last_us, last_us + MINUTE_US, last_us + 9 * MINUTE_US, last_us + 40_000 * MINUTE_US):
            await write(connection, some, until_us)
            assert await read(connection, "candles", SYMBOL.symbol) == in_order(candles_of(some, until_us))
    await compress(connection, "closed_candles")
    assert await read(connection, "candles", SYMBOL.symbol) == in_order(candles_of(trades, until_us))


async def test_a_database_of_the_former_version_shows_the_same_candles(former: str) -> None:
    connection = await asyncpg.connect(former)
    trades = random_trades(seed=1)
    until_us = {"A": trades[-1].event_time_us, "B": trades[-1].event_time_us + 5 * MINUTE_US, "C": 0}
    until_us["C"] = trades[0].event_time_us
    of = {symbol: [replace(trade, symbol=symbol) for trade in trades] for symbol in ("A", "B")}
    of["C"] = [replace(trades[0], symbol="C")]
    for symbol, members in of.items():
        await write(connection, members, until_us[symbol], former=True)
    await connection.execute("drop role if exists analyst")
    await connection.execute("create role analyst")
    await connection.execute("grant select on candles to analyst")
    if await connection.fetchval("select exists (select from pg_extension where extname = 'timescaledb')"):
        await connection.execute(
            "alter table candles set (timescaledb.enable_columnstore, timescaledb.segmentby ="
            " 'venue, symbol, \"interval\", closed, complete', timescaledb.orderby = 'open_time')"
        )
        await compress(connection, "candles")
    before = {symbol: await read(connection, "candles", symbol) for symbol in of}
    await migrate(former, partitions=PARTITIONS)
    for symbol, members in of.items():
        assert [row[:18] for row in await read(connection, "candles", symbol)] == before[symbol]
        opened = [row[:18] for row in in_order(open_rows_of(members, until_us[symbol]))]
        assert [row[:18] for row in await read(connection, "open_candle_rows", symbol)] == opened
    assert await connection.fetchval("select has_table_privilege('analyst', 'candles', 'select')")
    with pytest.raises(asyncpg.PostgresError, match="view"):
        await connection.execute("insert into candles select * from candles on conflict do nothing")
    await connection.execute("drop owned by analyst; drop role analyst")
    await connection.close()


async def test_a_range_of_one_symbol_is_read_by_the_key(connection: asyncpg.Connection) -> None:
    trades = random_trades(seed=1)
    await write(connection, trades, trades[-1].event_time_us)
    for table in ("closed_candles", "open_candle_rows", "ledger"):
        await connection.execute(f"create temporary table copied as select * from {table}")
        for number in range(50):
            await connection.execute(f"update copied set symbol = 'S{number}'")
            await connection.execute(f"insert into {table} select * from copied")
        await connection.execute("drop table copied")
    await connection.execute("analyze")
    for interval in INTERVALS:
        plan = await connection.fetchval(
            "explain (analyze, format json) select * from candles where venue = 'binance' and symbol = 'S7'"
            f" and \"interval\" = '{interval}' and open_time >= '2024-08-04' and open_time < '2030-01-01'"
            " order by open_time desc limit 10"
        )
        (only,) = json.loads(plan)
        assert closed_rows_read(only["Plan"]) <= 11, plan


def closed_rows_read(node: dict[str, Any]) -> float:
    """Return how many rows of the closed candles a plan has read."""
    inner = sum(map(closed_rows_read, node.get("Plans", ())))
    own: float = node["Actual Rows"] if "candles_pkey" in node.get("Index Name", "") else 0.0
    return inner + own
