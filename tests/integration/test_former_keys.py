"""What a former version has in Redis is moved to this version's names: nothing is read twice or lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from conftest import PARTITIONS, on_one_variant
from stored import fetch_value
from working import START_US, publishing, stored_count, trade, until, working

from tickplant import wire
from tickplant.errors import FatalError
from tickplant.former_keys import FORMER_COUNT, REFUSED_COUNT
from tickplant.redis_agreement import agree_on_partitions, parse_partitions
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_exchange import Command
from tickplant.redis_slots import keys_of, slot_of
from tickplant.streams import PARTITIONS as PARTITIONS_KEY
from tickplant.streams import gaps_key, partition_of, prices_key, trades_stream, unified_key

SYMBOLS = [f"S{number}USDT" for number in range(40)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with open_redis(redis_url) as client:
        yield client


async def rename_as_formerly(redis: Any) -> None:
    """Give all keys the names that the former version had for them."""
    for key in await redis.keys("*{*}"):
        name, _, number = key.decode().rpartition(":")
        shared = {"prices": "prices", "gaps": "gaps", "unified_states": "unified"}.get(name)
        if shared:
            await redis.hset(shared, mapping=await redis.hgetall(key))
            await redis.delete(key)
        else:
            await redis.rename(key, f"{name}:{number.strip('{}')}")
    await redis.delete(PARTITIONS_KEY)
    await redis.set(FORMER_COUNT, PARTITIONS)


@on_one_variant
async def test_a_plant_continues_where_the_former_version_has_stopped(
    redis_url: str, database_url: str, redis: Any
) -> None:
    first = [trade(i, at_us=START_US + i, symbol=name) for name in SYMBOLS for i in range(1, 11)]
    second = [trade(i, at_us=START_US + i, symbol=name) for name in SYMBOLS for i in range(11, 21)]
    async with publishing(redis_url) as publisher:
        async with working(redis_url, database_url):
            await publisher.publish(first)
            await until(lambda: has_stored(database_url, len(first)), "the first trades are stored")
        await publisher.publish(second)  # uncommitted while the new version starts
        prices = [await redis.hgetall(prices_key(number)) for number in range(PARTITIONS)]
        unified = [await redis.hgetall(unified_key(number)) for number in range(PARTITIONS)]
        await redis.hset(gaps_key(0), "another:SYMBOL", b"\x90")
        await rename_as_formerly(redis)
        await asyncio.gather(*[agree_on_partitions(redis, PARTITIONS) for _ in range(3)])
        assert [await redis.hgetall(prices_key(number)) for number in range(PARTITIONS)] == prices
        assert [await redis.hgetall(unified_key(number)) for number in range(PARTITIONS)] == unified
        assert await redis.hkeys(gaps_key(partition_of("another", "SYMBOL", PARTITIONS))) == [
            b"another:SYMBOL"
        ]
        assert await redis.keys("*:[0-9]") == []
        assert await redis.exists("prices", "gaps", "unified") == 0
        async with working(redis_url, database_url):
            await until(lambda: has_stored(database_url, 20 * len(SYMBOLS)), "all trades are stored")
    distinct = await fetch_value(database_url, "select count(distinct (symbol, trade_id)) from trades")
    assert distinct == 20 * len(SYMBOLS)
    assert await fetch_value(database_url, "select count(*) from gaps") == 0


async def has_stored(database_url: str, count: int) -> bool:
    stored = await stored_count(database_url)
    assert stored <= count
    return stored == count


@on_one_variant
async def test_what_a_running_process_of_the_former_version_writes_is_moved_and_logged(
    redis_url: str, database_url: str, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.publish([trade(1, at_us=START_US)])
        await until(lambda: has_stored(database_url, 1), "the first trade is stored")
        stream = trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS))
        former = stream.translate({ord("{"): None, ord("}"): None})
        await redis.xadd(former, {wire.TRADES: wire.encode_trades([trade(2, at_us=START_US + 1)])})
        await until(lambda: has_stored(database_url, 2), "the other trade is stored, too")
    assert "a former version that is still running: stop it" in caplog.text
    assert await redis.exists(former) == 0


async def test_processes_of_the_former_version_end(redis: RedisClient) -> None:
    """They compare the number in the former key with theirs."""
    await agree_on_partitions(redis, PARTITIONS)
    held: Any = await redis.get(FORMER_COUNT)
    assert parse_partitions(held) == REFUSED_COUNT


async def test_each_agreement_after_the_first_is_one_exchange(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats of workers repeat it."""
    await agree_on_partitions(redis, PARTITIONS)
    exchange, sent = redis._exchanges.exchange, []

    async def counted(commands: Sequence[Command]) -> list[Any]:
        sent.append(commands)
        return await exchange(commands)

    monkeypatch.setattr(redis._exchanges, "exchange", counted)
    await agree_on_partitions(redis, PARTITIONS)
    assert len(sent) == 1


async def test_the_former_number_of_partitions_counts(redis: Any) -> None:
    await redis.set(FORMER_COUNT, PARTITIONS + 1)
    await redis.xadd("trades:0", {"t": b"1"})
    with pytest.raises(FatalError, match=f"written with {PARTITIONS + 1}"):
        await agree_on_partitions(redis, PARTITIONS)
    assert await redis.xlen("trades:0") == 1


async def test_keys_of_other_programs_are_left_alone(redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await redis.set("prices", "12")
    await redis.set("trades:1", "theirs")
    await redis.lpush(FORMER_COUNT, "theirs")
    await agree_on_partitions(redis, PARTITIONS)
    assert (await redis.get("prices"), await redis.get("trades:1")) == (b"12", b"theirs")
    assert await redis.lrange(FORMER_COUNT, 0, -1) == [b"theirs"]
    assert await redis.keys("trades:{*}") == []


async def test_an_entry_of_another_program_does_not_end_the_move(redis: Any) -> None:
    await redis.xadd(trades_stream(0), {"t": "new"})
    await redis.xadd("trades:0", {"t": "first"})
    await redis.xadd("trades:0", {f"f{number}": "x" for number in range(5_000)})
    await redis.xadd("trades:0", {"t": "last"})
    for _ in range(2):
        await agree_on_partitions(redis, PARTITIONS)
        entries = await redis.xrange(trades_stream(0))
        assert [fields for _, fields in entries] == [{b"t": b"new"}, {b"t": b"first"}, {b"t": b"last"}]
        assert await redis.exists("trades:0") == 0


@on_one_variant
async def test_the_keys_of_each_command_are_in_one_slot(
    redis_url: str, database_url: str, redis: Any
) -> None:
    """Reads of all live streams aside, which a cluster gets one by one."""
    commands: list[list[str]] = []
    async with redis.monitor() as monitor:

        async def listen() -> None:
            async for heard in monitor.listen():
                commands.append(heard["command"].split(" "))  # noqa: PERF401 - it never ends

        listening = asyncio.create_task(listen())
        async with publishing(redis_url) as publisher, working(redis_url, database_url):
            sent = [trade(i, at_us=START_US + i, symbol=name) for name in SYMBOLS for i in (1, 3)]
            await publisher.publish(sent)
            await until(lambda: has_stored(database_url, 2 * len(SYMBOLS)), "trades are stored")
            await until(lambda: has_gaps(redis), "gaps are published")
        listening.cancel()
    scripts = [command for command in commands if command[0].upper() in ("EVAL", "EVALSHA")]
    assert len(scripts) > 10
    for command in commands:
        if command[0].upper() == "EXISTS":  # of former names, on one server only
            continue
        if command[0].upper() == "EVAL":  # with the script's text, after EVALSHA with the same keys
            continue
        slots = {slot_of(key) for key in keys_of([command[0].upper(), *command[1:]])}
        assert len(slots) <= 1, command


async def has_gaps(redis: Any) -> bool:
    found: list[int] = [await redis.hlen(gaps_key(number)) for number in range(PARTITIONS)]
    return sum(found) == len(SYMBOLS)
