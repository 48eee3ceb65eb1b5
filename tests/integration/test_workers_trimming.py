"""What is trimmed, what is held for a mirror to Kafka, and that the latter slows nobody."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ResponseError
from working import publishing

from db.leases import Lease
from ingest.stream_budget import StreamBudget
from tickplant.redis_client import open_redis
from tickplant.redis_errors import retry_until_available
from tickplant.streams import HELD_ENTRIES, MIRROR_TRADES, owner_key, trades_stream
from workers.partition_streams import PartitionStreams
from workers.trimming import Trimmer

STREAM = trades_stream(0)
MIRROR = owner_key(MIRROR_TRADES, 0)
OWNER = owner_key("candles", 0)
LEASE = Lease("candles", 0, "a", 1, "0-0")
PAYLOAD = b"x" * 100


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def trimmer(redis: Any) -> Trimmer:
    await redis.hset(OWNER, "epoch", 1)
    return Trimmer(redis, LEASE)


async def add(redis: Any, trimmer: Trimmer, first: int, last: int) -> None:
    """Write entries and let the trimmer know of them, as their owner's reads do."""
    for ms in range(first, last + 1):
        await redis.xadd(STREAM, {"t": PAYLOAD}, id=f"{ms}-0")
    trimmer.note_read([(f"{ms}-0", {b"t": PAYLOAD}) for ms in range(first, last + 1)])


async def kept(redis: Any) -> list[int]:
    return [int(entry_id.split(b"-")[0]) for entry_id, _ in await redis.xrange(STREAM)]


async def test_without_a_mirror_all_that_is_committed_goes(redis: Any, trimmer: Trimmer) -> None:
    await add(redis, trimmer, 1, 1000)
    await trimmer.trim("1000-0", "1000-0")
    assert len(await kept(redis)) <= 100  # whole nodes only
    assert not await redis.exists(MIRROR)


async def test_what_the_mirror_has_not_confirmed_is_held_and_counted(redis: Any, trimmer: Trimmer) -> None:
    await redis.hset(MIRROR, mapping={"confirmed": "200-0", "budget_bytes": 10**6})
    await add(redis, trimmer, 1, 500)
    await add(redis, trimmer, 501, 600)
    await trimmer.trim("500-0", "500-0")
    first = (await kept(redis))[0]
    assert 100 <= first <= 200
    # 1 to 500 are committed, and what was trimmed of them isn't there any more.
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 501 - first
    await redis.hset(MIRROR, "confirmed", "500-0")
    await trimmer.trim("500-0", "500-0")
    assert not await redis.hexists(MIRROR, HELD_ENTRIES)
    assert (await kept(redis))[0] > 400


async def test_over_the_budget_the_older_half_goes_and_nothing_uncommitted(
    redis: Any, trimmer: Trimmer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await redis.hset(MIRROR, mapping={"confirmed": "1-0", "budget_bytes": 300 * len(PAYLOAD)})
    await add(redis, trimmer, 1, 300)
    await trimmer.trim("300-0", "300-0")
    assert len(await kept(redis)) == 300
    await add(redis, trimmer, 301, 400)
    await add(redis, trimmer, 401, 500)
    await trimmer.trim("400-0", "400-0")
    assert await kept(redis) == list(range(200, 501))
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 201
    assert caplog.text.count("being trimmed before they are mirrored") == 1
    await redis.hset(MIRROR, "confirmed", "500-0")
    await trimmer.trim("500-0", "500-0")
    assert "199 entries were not mirrored" in caplog.text


async def test_a_budget_smaller_than_one_moment_gives_all_up_that_is_committed(
    redis: Any, trimmer: Trimmer
) -> None:
    await redis.hset(MIRROR, mapping={"confirmed": "0-0", "budget_bytes": 1})
    for sequence in range(1, 11):
        await redis.xadd(STREAM, {"t": PAYLOAD}, id=f"7-{sequence}")
    trimmer.note_read([(f"7-{sequence}", {b"t": PAYLOAD}) for sequence in range(1, 11)])
    await trimmer.trim("7-8", "7-8")
    assert len(await kept(redis)) == 10  # the read is not all committed yet, so nothing is known to be held
    await trimmer.trim("7-10", "7-10")
    assert len(await kept(redis)) == 1


async def test_committed_entries_are_kept_for_some_seconds_and_counted(redis: Any, trimmer: Trimmer) -> None:
    trimmer = Trimmer(redis, LEASE, keep_s=0.3)
    await add(redis, trimmer, 1, 1000)
    await add(redis, trimmer, 1001, 1010)
    await trimmer.trim("1000-0", "1005-0")
    first = (await kept(redis))[0]
    assert 600 <= first <= 700  # whole nodes only
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 1001 - first
    assert await redis.hmget(OWNER, "committed", "published") == [b"1000-0", b"1005-0"]
    await trimmer.trim("1010-0", "1000-0")
    assert await redis.hmget(OWNER, "committed", "published") == [b"1010-0", b"1005-0"]


async def test_what_is_kept_of_a_former_owner_is_counted_once_all_has_been_read(
    redis: Any, trimmer: Trimmer
) -> None:
    await add(redis, trimmer, 1, 50)  # whose owner has ended before it counted them
    later = Trimmer(redis, LEASE, keep_s=60)
    await add(redis, later, 51, 60)
    await redis.xadd(STREAM, {"t": PAYLOAD}, id="61-0")
    await later.trim("60-0", "60-0")
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 10
    later.note_read([("61-0", {b"t": PAYLOAD})])
    await later.trim("60-0", "60-0")
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 60


async def test_what_is_kept_is_bounded(redis: Any, trimmer: Trimmer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.trimming._KEPT_BYTES", 300 * len(PAYLOAD))
    trimmer = Trimmer(redis, LEASE, keep_s=3600)
    await add(redis, trimmer, 1, 400)
    await add(redis, trimmer, 401, 500)
    await trimmer.trim("400-0", "400-0")
    assert await kept(redis) == list(range(200, 501))
    assert int(await redis.hget(MIRROR, HELD_ENTRIES)) == 201


async def test_a_former_owner_trims_nothing(redis: Any, trimmer: Trimmer) -> None:
    await add(redis, trimmer, 1, 1000)
    await PartitionStreams(redis, LEASE._replace(epoch=2)).take()
    with pytest.raises(ResponseError, match="FENCED"):
        await trimmer.trim("1000-0", "1000-0")
    assert len(await kept(redis)) == 1000


async def test_what_is_held_for_the_mirror_does_not_slow_ingest(redis: Any, redis_url: str) -> None:
    async with publishing(redis_url) as opened:
        await opened.agree_on_partitions()
    budget = StreamBudget(redis, partitions=1, budget_trades=100, retry_until_available=retry_until_available)
    budget.note_written(0, trades=1, entries=1)
    for ms in range(1, 150):
        await redis.xadd(STREAM, {"t": PAYLOAD}, id=f"{ms}-0")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.wait(), 0.2)
    await redis.hset(MIRROR, HELD_ENTRIES, 50)
    await asyncio.wait_for(budget.wait(), 5)


async def test_what_is_held_for_the_mirror_is_no_lag_of_workers(redis: Any) -> None:
    for ms in range(1, 21):
        await redis.xadd(STREAM, {"t": PAYLOAD}, id=f"{ms}-0")
    await redis.hset(MIRROR, HELD_ENTRIES, 15)
    streams = PartitionStreams(redis, Lease("candles", 0, "a", 1, "15-0"))
    await streams.take()
    assert await streams.lag() == 5
    while await streams.publish_and_read(None, "", count=2, block_ms=1):
        pass
    assert await streams.lag() == 0
