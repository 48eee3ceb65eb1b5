"""Who owns a partition, and that a former owner can neither commit, nor read, nor publish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
import stored
from conftest import PARTITIONS
from working import START_US, publishing, stored_count, trade, until, working

from db.commit import CommitBatch, commit
from db.leases import Lease, heartbeat, read_leases, release_lease, take_lease
from db.pool import open_pool
from tickplant import wire
from tickplant.errors import LeaseLostError
from tickplant.market import Gap
from tickplant.redis_client import open_redis
from tickplant.sharing import fair_shares
from tickplant.streams import gaps_key, trades_stream
from tickplant.wire import LiveUpdate
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams
from workers.roles.partition import PartitionRoles
from workers.runtime import Runtime

UNFENCED = """
create or replace function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text,
    p_version integer
) returns void language sql as $$
    update lease set entry_id = p_next where role = p_role and partition = p_partition
$$
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url, size=4, application="test") as opened:
        yield opened


async def take(pool: asyncpg.Pool, owner: str, ttl_s: float = 60) -> Lease:
    lease = await take_lease(pool, "candles", 0, owner, ttl_s)
    assert lease is not None
    return lease


def batch_of_one(entry_id: str) -> CommitBatch:
    state = PartitionState(0, 1, [], [], PartitionRoles(0))
    state.absorb(entry_id, {wire.TRADES: wire.encode_trades([trade(1, at_us=START_US)])}, published="0-0")
    return state.take_batch()


async def test_a_lease_has_one_owner_until_it_expires_or_is_released(pool: asyncpg.Pool) -> None:
    first = await take(pool, "a")
    assert await take_lease(pool, "candles", 0, "b", 60) is None
    await release_lease(pool, first)
    second = await take(pool, "b", ttl_s=0.05)
    assert second.epoch == first.epoch + 1
    await asyncio.sleep(0.1)
    third = await take(pool, "c")
    assert third.epoch == second.epoch + 1


async def test_a_heartbeat_keeps_leases_and_tells_who_is_alive(pool: asyncpg.Pool) -> None:
    await take(pool, "a", ttl_s=0.05)
    alive, held = await heartbeat(pool, "candles", "a", 60)
    assert (alive, held) == (["a"], {0: 1})
    await asyncio.sleep(0.1)
    assert await take_lease(pool, "candles", 0, "b", 60) is None
    alive, held = await heartbeat(pool, "candles", "b", 60)
    assert (alive, held) == (["a", "b"], {})


async def test_a_worker_is_alive_to_itself_however_long_it_was_paused(pool: asyncpg.Pool) -> None:
    alive, _ = await heartbeat(pool, "candles", "a", 0.0)
    assert alive == ["a"]


async def paused_owner_commits_after_another(pool: asyncpg.Pool) -> None:
    """Two owners compute the same entry; the later one commits first."""
    paused = await take(pool, "paused", ttl_s=0.01)
    await asyncio.sleep(0.05)
    other = await take(pool, "other")
    await commit(pool, other, other.entry_id, batch_of_one("1-0"))
    await commit(pool, paused, paused.entry_id, batch_of_one("1-0"))


async def test_a_paused_former_owner_cannot_commit(pool: asyncpg.Pool, database_url: str) -> None:
    with pytest.raises(LeaseLostError):
        await paused_owner_commits_after_another(pool)
    assert await stored_count(database_url) == 1
    assert await stored.fetch_value(database_url, "select max(trade_count) from candles") == 1


async def test_without_the_fence_a_paused_former_owner_duplicates_trades(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await pool.execute(UNFENCED)
    await paused_owner_commits_after_another(pool)
    assert await stored_count(database_url) == 2
    assert await stored.fetch_value(database_url, "select max(trade_count) from candles") == 2


async def test_an_entry_is_committed_once_even_by_its_owner(pool: asyncpg.Pool, database_url: str) -> None:
    lease = await take(pool, "a")
    await commit(pool, lease, lease.entry_id, batch_of_one("1-0"))
    with pytest.raises(LeaseLostError):
        await commit(pool, lease, lease.entry_id, batch_of_one("1-0"))
    assert await stored_count(database_url) == 1


async def test_a_former_owner_can_neither_read_nor_publish(redis_url: str) -> None:
    redis = open_redis(redis_url)
    former = PartitionStreams(redis, Lease("candles", 0, "former", 1, "0-0"))
    await former.take()
    await redis.xadd(trades_stream(0), {"t": b"1"})
    later = PartitionStreams(redis, Lease("candles", 0, "later", 2, "0-0"))
    await later.take()
    with pytest.raises(LeaseLostError):
        await former.publish_and_read(None, "0-0", count=1, block_ms=10)
    with pytest.raises(LeaseLostError):
        await former.publish(LiveUpdate(), "1-0")
    with pytest.raises(LeaseLostError):
        await former.take()
    assert len(await later.publish_and_read(None, "0-0", count=10, block_ms=10)) == 1
    await redis.aclose()


async def test_a_former_owner_tells_ingest_of_no_gaps(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    former = PartitionStreams(redis, Lease("candles", 0, "former", 1, "0-0"))
    later = PartitionStreams(redis, Lease("candles", 0, "later", 2, "0-0"))
    key = ("binance", "AAAUSDT")
    gap = Gap(*key, 5, 6, START_US, START_US, "open", "ours", None, 2)
    await former.take()
    await former.write_open_gaps({key: [gap]})
    await later.take()
    await later.write_open_gaps({key: [], ("binance", "BBBUSDT"): [gap]})
    with pytest.raises(LeaseLostError):
        await former.write_open_gaps({key: [gap], ("binance", "BBBUSDT"): []})
    assert await redis.hkeys(gaps_key(0)) == [b"binance:BBBUSDT"]
    await redis.aclose()


async def test_a_former_owner_waiting_for_entries_is_woken_and_refused(redis_url: str) -> None:
    redis = open_redis(redis_url)
    former = PartitionStreams(redis, Lease("candles", 0, "former", 1, "0-0"))
    await former.take()
    waiting = asyncio.create_task(former.publish_and_read(None, "0-0", count=1, block_ms=8_000))
    await asyncio.sleep(0.05)
    await PartitionStreams(redis, Lease("candles", 0, "later", 2, "0-0")).take()
    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(waiting, 6)
    await redis.aclose()


async def test_entries_get_greater_ids_than_committed_ones_where_redis_lost_them(redis_url: str) -> None:
    redis = open_redis(redis_url)
    committed = "99999999999999-5"
    streams = PartitionStreams(redis, Lease("candles", 0, "a", 1, committed))
    await streams.take()
    entry_id = await redis.xadd(trades_stream(0), {"t": b"1"})
    assert entry_id == b"99999999999999-6"
    assert len(await streams.publish_and_read(None, "0-0", count=10, block_ms=10)) == 1
    await redis.aclose()


async def owners(database_url: str) -> dict[int, str | None]:
    async with open_pool(database_url, size=1, application="test") as pool:
        return {row.partition: row.owner for row in await read_leases(pool) if row.alive}


async def test_two_workers_share_partitions_and_one_that_stops_releases_them_at_once(
    redis_url: str, database_url: str
) -> None:
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(publishing(redis_url))
        await stack.enter_async_context(working(redis_url, database_url, lease_s=20))

        async def all_owned() -> bool:
            return len(await owners(database_url)) == PARTITIONS

        await until(all_owned, "one worker owns all")
        async with working(redis_url, database_url, lease_s=20):

            async def shared() -> bool:
                held = list((await owners(database_url)).values())
                return sorted(held.count(name) for name in set(held)) == [PARTITIONS // 2] * 2

            await until(shared, "two workers share")
            await publisher.publish([trade(i, at_us=START_US + i) for i in range(1, 100)])
        # The second has ended; far within its lease the first has all again.

        async def one_again() -> bool:
            return len(set((await owners(database_url)).values())) == 1 and await all_owned()

        await until(one_again, "handed over", timeout_s=15)
        await publisher.publish([trade(i, at_us=START_US + i) for i in range(100, 200)])

        async def done() -> bool:
            return await stored_count(database_url) == 199

        await until(done, "all trades stored")


def test_a_worker_that_leaves_moves_few_partitions_of_the_others() -> None:
    before = {p: name for name in "abcd" for p in fair_shares("abcd", range(64))[name]}
    after = {p: name for name in "abc" for p in fair_shares("abc", range(64))[name]}
    moved = [p for p in before if before[p] != "d" and before[p] != after[p]]
    assert len(moved) <= 16


class FailingAtTheEnd:
    """Work whose last commit fails, as where the database refuses a statement for the moment."""

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()
        raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")


async def test_a_partition_whose_work_failed_can_be_taken_by_others(
    pool: asyncpg.Pool, redis_url: str
) -> None:
    redis = open_redis(redis_url)

    def runtime(owner: str) -> Runtime:
        return Runtime(
            role="candles",
            owner=owner,
            partitions=PARTITIONS,
            lease_s=1.0,
            pool=pool,
            redis=redis,
            make=lambda lease: FailingAtTheEnd(),
        )

    async def owners() -> list[str | None]:
        return [lease.owner for lease in await read_leases(pool)]

    async def first_has_all() -> bool:
        return await owners() == ["a"] * PARTITIONS

    async def each_has_its_share() -> bool:
        shares = fair_shares("ab", range(PARTITIONS))
        return await owners() == ["a" if number in shares["a"] else "b" for number in range(PARTITIONS)]

    stop = asyncio.Event()
    tasks = [asyncio.create_task(runtime("a").run(stop))]
    await until(first_has_all, "the first worker has all partitions")
    tasks.append(asyncio.create_task(runtime("b").run(stop)))
    await until(each_has_its_share, "the second worker has its share")
    stop.set()
    await asyncio.gather(*tasks)
    await redis.aclose()
