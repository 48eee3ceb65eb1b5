"""A key of Redis that another program has taken concerns its partition only, and loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stored
from conftest import PARTITIONS
from working import START_US, publishing, stored_count, trade, until, working

from ingest import refused_entries
from ingest.entry_writer import EntryWriter
from ingest.stream_budget import StreamBudget
from ingest.stream_entry import StreamEntry
from tickplant.redis_client import open_redis
from tickplant.redis_errors import retry_until_available
from tickplant.streams import partition_of, trades_stream

TAKEN = trades_stream(0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with open_redis(redis_url) as client:
        yield client


async def payloads(redis: Any, partition: int) -> list[bytes]:
    return [fields[b"t"] for _, fields in await redis.xrange(trades_stream(partition))]


async def test_entries_of_a_taken_stream_are_kept_in_order_and_all_others_are_written(
    redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    writer = EntryWriter(redis, retry_until_available=retry_until_available)
    await redis.set(TAKEN, "taken")
    sent = [b"%d" % number for number in range(200)]
    for payload in sent:
        async with asyncio.TaskGroup() as group:  # connections, whose entries share an exchange
            group.create_task(writer.write([StreamEntry(0, b"t", payload), StreamEntry(1, b"t", payload)]))
            group.create_task(writer.write([StreamEntry(2, b"t", payload)]))
    assert await payloads(redis, 1) == await payloads(redis, 2) == sent
    assert caplog.text.count(f"{TAKEN}: Redis refuses trades") == 1
    await redis.delete(TAKEN)
    await writer.write([StreamEntry(0, b"t", b"last")])

    async def written() -> bool:
        return int(await redis.xlen(TAKEN)) == len(sent) + 1

    await until(written, "what was kept is written")
    await writer.write([StreamEntry(0, b"t", b"later")])
    assert await payloads(redis, 0) == [*sent, b"last", b"later"]


async def test_beyond_what_is_kept_only_that_stream_waits(
    redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_entries, "_MOST_BYTES", 10)
    writer = EntryWriter(redis, retry_until_available=retry_until_available)
    await redis.set(TAKEN, "taken")
    await writer.write([StreamEntry(0, b"t", b"x" * 10)])
    waiting = asyncio.create_task(writer.write([StreamEntry(0, b"t", b"y")]))
    await writer.write([StreamEntry(1, b"t", b"z")])
    assert not waiting.done()
    await redis.delete(TAKEN)
    await waiting
    assert await payloads(redis, 0) == [b"x" * 10, b"y"]


async def test_a_taken_stream_has_no_length_that_ingest_waits_for(redis: Any) -> None:
    budget = StreamBudget(redis, partitions=2, budget_trades=1, retry_until_available=retry_until_available)
    for partition in (0, 1):
        budget.note_written(partition, trades=1, entries=1)
    await redis.set(TAKEN, "taken")
    await asyncio.wait_for(budget.wait(), 10)


async def test_workers_process_the_other_partitions_and_that_one_once_its_key_is_free(
    redis: Any, redis_url: str, database_url: str
) -> None:
    symbols = {partition_of("binance", name, PARTITIONS): name for name in map("S{}USDT".format, range(50))}
    await redis.set(TAKEN, "taken")
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        await publisher.publish([trade(1, at_us=START_US, symbol=name) for name in symbols.values()])

        async def others_stored() -> bool:
            return await stored_count(database_url) == PARTITIONS - 1

        await until(others_stored, "trades of the other partitions are stored")
        assert await stored.fetch_value(database_url, "select count(*) from ledger") == PARTITIONS - 1
        await redis.delete(TAKEN)

        async def all_stored() -> bool:
            return await stored_count(database_url) == PARTITIONS

        await until(all_stored, "all trades are stored")
