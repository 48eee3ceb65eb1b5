"""Taker-buy sums of candles that a former version stored: filled exactly where the trades are stored."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from conftest import PARTITIONS, VARIANTS
from correct import SYMBOL, candles_of, ledger_of, random_trades, store, store_candles, trade_row
from msgspec.structs import replace
from stored import database_of_migration
from working import until

from db.audit import SymbolAudit, audit_symbol, snapshot_on
from db.candle_rows import merge_candles
from db.migrate import migrate
from db.schema import read_migrations
from tickplant.market import Trade, fold
from tickplant.times import to_datetime

FORMER = 13
"""The last migration before candles had these sums."""
TRADES = random_trades(seed=1)
UNSIDED = [replace(trade, symbol="UNSIDED", side=None) for trade in TRADES[:50]]


@pytest.fixture(params=VARIANTS)
async def former(request: pytest.FixtureRequest, postgres_address: str) -> AsyncIterator[str]:
    """The address of a database of the former version, which holds two symbols' trades and their candles."""
    timescaledb = request.param == "timescaledb"
    async with database_of_migration(postgres_address, FORMER, timescaledb=timescaledb) as (url, connection):
        for trades in (TRADES, UNSIDED):
            await store_former(connection, trades)
        yield url


async def store_former(connection: asyncpg.Connection, trades: list[Trade]) -> None:
    await connection.copy_records_to_table("trades", records=map(trade_row, trades))
    await store_candles(connection, trades, columns=18)
    first, last, missing, watermark_us = ledger_of(trades)
    await connection.execute(
        "insert into ledger values ($1, $2, 0, $3, $4, $5, $6)",
        *(trades[0].venue, trades[0].symbol, first, last),
        *([asyncpg.Range(low, high) for low, high in missing], to_datetime(watermark_us)),
    )


@pytest.fixture
async def connection(former: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(former)
    yield connection
    await connection.close()


async def audit(connection: asyncpg.Connection) -> SymbolAudit:
    async with snapshot_on(connection):
        return await audit_symbol(connection, SYMBOL, lambda done, total: None)


async def known(connection: asyncpg.Connection, symbol: str = SYMBOL.symbol) -> set[bool]:
    rows = await connection.fetch(
        "select distinct (taker_buy_volume is null)::int + (taker_buy_quote_volume is null)::int as nulls"
        " from candles where symbol = $1",
        symbol,
    )
    return {{0: True, 2: False}[row["nulls"]] for row in rows}


async def test_candles_of_the_former_version_are_filled_from_their_trades(
    former: str, connection: asyncpg.Connection
) -> None:
    if await connection.fetchval("select exists (select from pg_extension where extname = 'timescaledb')"):
        for relation in ("trades", "closed_candles"):
            await connection.execute(f"alter table {relation} set (timescaledb.enable_columnstore)")
            await connection.execute(f"select compress_chunk(c) from show_chunks('{relation}') c")
    await migrate(former, partitions=PARTITIONS)
    assert (await audit(connection)).differences == []
    assert await known(connection) == {True}
    assert await known(connection, "UNSIDED") == {False}
    assert await connection.fetchval("select count(*) from unfilled_candles") == 0


async def test_candles_whose_trades_were_removed_stay_without(
    former: str, connection: asyncpg.Connection
) -> None:
    horizon_us = TRADES[400].event_time_us
    await connection.execute("delete from trades where event_time < $1", to_datetime(horizon_us))
    await migrate(former, partitions=PARTITIONS)
    rows = await connection.fetch(
        'select "interval", open_time, taker_buy_volume from candles where symbol = $1', SYMBOL.symbol
    )
    expected = {
        (candle.interval, to_datetime(candle.open_time_us)): (
            candle.taker_buy_volume if candle.first_event_time_us >= horizon_us else None
        )
        for candle in candles_of(TRADES)
    }
    assert {(row[0], row[1]): row[2] for row in rows} == expected
    assert {None} < {*expected.values()}


async def test_an_interrupted_fill_continues_with_the_next_migration(
    former: str, connection: asyncpg.Connection
) -> None:
    path = read_migrations()[FORMER + 1]
    await connection.execute(path.read_text(encoding="utf-8"))
    await connection.execute("insert into migration values ($1, $2)", FORMER + 1, path.name)
    await connection.execute(
        "create function fail() returns trigger language plpgsql as $$ begin"
        " raise exception 'interrupted'; end $$; create trigger fail before update on unfilled_candles"
        f" for each row when (new.filled_until > '{to_datetime(TRADES[-1].event_time_us)}')"
        " execute function fail()"
    )
    with pytest.raises(asyncpg.RaiseError, match="interrupted"):
        await connection.execute("call fill_taker_buy()")
    assert await known(connection) == {True, False}
    await connection.execute("drop function fail cascade")
    await migrate(former, partitions=PARTITIONS)
    assert (await audit(connection)).differences == []


async def test_the_fill_waits_for_a_commit_that_has_begun(
    former: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(read_migrations()[FORMER + 1].read_text(encoding="utf-8"))
    trade = replace(TRADES[-1], trade_id=TRADES[-1].trade_id + 1, side="buy")
    trade_key = trade.trade_id, trade.symbol
    committing = await asyncpg.connect(former)
    async with committing.transaction():
        await committing.copy_records_to_table("trades", records=[trade_row(trade)])
        await committing.execute("update ledger set last_trade_id = $1 where symbol = $2", *trade_key)
        (minute,) = fold([trade])
        watermarks_us = {(trade.venue, trade.symbol): ledger_of(TRADES)[3]}
        await merge_candles(committing, [minute], watermarks_us, [])
        filling = asyncio.create_task(connection.execute("call fill_taker_buy()"))

        async def waits() -> bool:
            query = "select exists (select from pg_locks where not granted)"
            return bool(await committing.fetchval(query))

        await until(waits, "the fill waits")
    await filling
    await committing.close()
    differences = (await audit(connection)).differences
    assert {difference.column for difference in differences} <= {"closed", "complete"}


async def test_commits_of_a_former_version_are_refused_those_of_mirrors_are_not(
    database_url: str,
) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, TRADES)
    for role in ("candles", "mirror"):
        await connection.execute("insert into lease values ($1, 0, 'a', 1, 'infinity', '1-0')", role)
    advance = "select advance($1, 0, 'a', 1, '1-0', '2-0')"
    with pytest.raises(asyncpg.PostgresError, match="former version") as refused:
        await connection.execute(advance, "candles")
    assert refused.value.sqlstate == "TP001"
    await connection.execute(advance, "mirror")
    rows = await connection.fetch("select role, entry_id from lease order by role")
    assert [tuple(row) for row in rows] == [("candles", "1-0"), ("mirror", "2-0")]
    await connection.close()
