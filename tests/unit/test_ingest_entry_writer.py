"""Entries of all connections go to Redis in one exchange, in order; a lone one waits for nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from redis.exceptions import NoPermissionError, OutOfMemoryError

from ingest import entry_writer
from ingest.entry_writer import EntryWriter
from ingest.stream_entry import StreamEntry
from tickplant.redis_client import RedisClient

NEVER_S = 3600.0


class FakeRedis:
    """Answers exchanges as a test says, and records them."""

    sharded = False

    def __init__(self, *answers: dict[bytes, Exception]) -> None:
        self.exchanges: list[list[bytes]] = []
        self.acknowledged: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self._refusals = list(answers)

    async def try_write(self, *commands: Any) -> list[Any]:
        payloads = [command[-1] for command in commands]
        self.exchanges.append(payloads)
        await self.open.wait()
        refusals = self._refusals.pop(0) if self._refusals else {}
        self.acknowledged += [payload for payload in payloads if payload not in refusals]
        return [refusals.get(payload, b"1-0") for payload in payloads]


async def retry(attempt: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await attempt()
        except OutOfMemoryError:
            await asyncio.sleep(0)


def writer_to(redis: FakeRedis) -> EntryWriter:
    return EntryWriter(cast(RedisClient, redis), retry_until_available=retry)


def entry(payload: bytes, partition: int = 0) -> StreamEntry:
    return StreamEntry(partition, b"t", payload)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lone_entry_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_writer, "_INTERVAL_S", NEVER_S)
    redis = FakeRedis()
    async with asyncio.timeout(10):
        await writer_to(redis).write([entry(b"a")])
    assert redis.exchanges == [[b"a"]]


async def test_an_entry_soon_after_another_waits_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_writer, "_INTERVAL_S", NEVER_S)
    redis = FakeRedis()
    writer = writer_to(redis)
    await writer.write([entry(b"a")])
    large = b"d" * entry_writer._LARGE_BYTES
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.write([entry(b"b"), entry(b"c", 1)]))
        await turns()
        assert redis.exchanges == [[b"a"]]
        group.create_task(writer.write([entry(large)]))
    assert redis.exchanges == [[b"a"], [b"b", b"c", large]]


async def test_the_wait_ends() -> None:
    redis = FakeRedis()
    writer = writer_to(redis)
    async with asyncio.timeout(10):
        for payload in (b"a", b"b", b"c"):
            await writer.write([entry(payload)])
    assert redis.exchanges == [[b"a"], [b"b"], [b"c"]]


async def test_what_comes_during_an_exchange_goes_with_the_next() -> None:
    redis = FakeRedis()
    redis.open.clear()
    writer = writer_to(redis)
    async with asyncio.TaskGroup() as group:
        for payload in (b"a", b"b", b"c"):
            group.create_task(writer.write([entry(payload)]))
            await turns()
        redis.open.set()
    assert redis.exchanges == [[b"a"], [b"b", b"c"]]


async def test_after_a_refusal_the_entries_of_a_partition_stay_in_order() -> None:
    full = OutOfMemoryError("OOM")
    redis = FakeRedis({b"b": full, b"d": full}, {b"d": full})
    writer = writer_to(redis)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.write([entry(b"a"), entry(b"b"), entry(b"c", 1)]))
        group.create_task(writer.write([entry(b"d", 2), entry(b"e"), entry(b"f", 1), entry(b"g", 2)]))
    for partition in (b"abe", b"cf", b"dg"):
        order = [payload for payload in redis.acknowledged if payload in partition]
        last = {payload: index for index, payload in enumerate(order)}
        assert sorted(last, key=lambda payload: last[payload]) == [bytes([byte]) for byte in partition]
    assert redis.exchanges[1] == [b"b", b"d", b"e", b"g"]  # not those that are written and in order


async def test_an_error_that_waiting_does_not_resolve_is_raised_by_every_call() -> None:
    redis = FakeRedis({b"a": NoPermissionError("NOPERM")})
    writer = writer_to(redis)
    results = await asyncio.gather(
        writer.write([entry(b"a")]), writer.write([entry(b"b")]), return_exceptions=True
    )
    assert [type(result) for result in results] == [NoPermissionError, NoPermissionError]
    await writer.write([entry(b"c")])
    assert redis.exchanges == [[b"a", b"b"], [b"c"]]


async def test_entries_that_nobody_waits_for_are_not_repeated() -> None:
    redis = FakeRedis({b"a": OutOfMemoryError("OOM"), b"b": OutOfMemoryError("OOM")})
    redis.open.clear()
    writer = writer_to(redis)
    cancelled = asyncio.create_task(writer.write([entry(b"a")]))
    waiting = asyncio.create_task(writer.write([entry(b"b")]))
    await turns()
    cancelled.cancel()
    await turns()
    redis.open.set()
    await waiting
    assert redis.exchanges == [[b"a", b"b"], [b"b"]]
    assert cancelled.cancelled()


async def test_with_nothing_to_write_nothing_is_sent() -> None:
    redis = FakeRedis()
    await writer_to(redis).write([])
    assert redis.exchanges == []
