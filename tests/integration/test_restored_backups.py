"""pg_dump and pg_restore into another server, as docs/operating.md has it: the plant goes on from there."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import offline
import pytest
import stored
from conftest import PARTITIONS, VARIANTS, OwnPostgres, OwnRedis
from working import START_US, payload, publishing, stored_count, trade, until, working

from db.migrate import migrate
from tickplant.local import PostgresServer
from tickplant.market import Trade

TRADES = [trade(number, at_us=START_US + number * 700_000) for number in range(1, 151)]
OTHERS = [trade(number, at_us=START_US + number * 900_000, symbol="BBBUSDT") for number in range(1, 151)]


def part(first: int, last: int) -> list[Trade]:
    return TRADES[first - 1 : last] + OTHERS[first - 1 : last]


async def run(server: PostgresServer, program: str, *arguments: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        server.binaries.bin / program, *arguments, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def restore(server: PostgresServer, dump: Path, variant: str) -> None:
    """Restore a dump into the empty database of another server."""
    connection = await asyncpg.connect(server.url)
    if variant == "timescaledb":
        await connection.execute("create extension timescaledb")
        await connection.execute("select timescaledb_pre_restore()")
    await run(server, "pg_restore", "--no-owner", "--no-privileges", "-d", server.url, dump)
    if variant == "timescaledb":
        await connection.execute("select timescaledb_post_restore()")
    await connection.close()
    await migrate(server.url, partitions=PARTITIONS)


def has(url: str, trades: int) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return await stored_count(url) == trades

    return enough


async def is_whole(url: str, last: int) -> None:
    trades = part(1, last)
    assert [(symbol, number) for symbol, number, *_ in await stored.read_trades(url)] == sorted(
        (each.symbol, each.trade_id) for each in trades
    )
    assert await stored.read_candles(url) == offline.candles(map(payload, trades))
    query = "select count(*) from ledger where missing = '{}' and last_trade_id = $1"
    assert await stored.fetch_value(url, query, last) == 2


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("redis_is_kept", [True, False])
async def test_a_plant_goes_on_from_a_restored_backup(
    own_postgres: OwnPostgres, own_redis: OwnRedis, tmp_path: Path, variant: str, *, redis_is_kept: bool
) -> None:
    former, redis = await own_postgres(), await own_redis()
    await migrate(former.url, partitions=PARTITIONS, extension="on" if variant == "timescaledb" else "off")
    async with working(redis.url, former.url), publishing(redis.url) as publisher:
        await publisher.publish(part(1, 50))
        await until(has(former.url, 100), "the first trades are stored")
        await run(former, "pg_dump", "-Fc", "-f", tmp_path / "dump", former.url)
        await publisher.publish(part(51, 100))
        await until(has(former.url, 200), "trades that the backup lacks are stored")
    await former.kill()

    server = await own_postgres()
    await restore(server, tmp_path / "dump", variant)
    if not redis_is_kept:
        redis = await own_redis()
    async with working(redis.url, server.url), publishing(redis.url) as publisher:
        await publisher.publish(part(101, 150))
        if redis_is_kept:  # it still has what was committed after the backup
            await until(has(server.url, 300), "everything is stored")
        else:
            await until(has(server.url, 200), "the later trades are stored")
            gaps = await stored.read_gaps(server.url)
            assert [gap[:3] for gap in gaps] == [(51, 100, "open")] * 2
            await publisher.publish(part(51, 100))  # as from the venue's history
            await until(has(server.url, 300), "everything is stored")
    await is_whole(server.url, 150)
    assert {gap[2] for gap in await stored.read_gaps(server.url)} <= {"healed"}
