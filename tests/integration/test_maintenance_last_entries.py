"""Which entries a command waits for before everything sent so far counts as committed."""

import pytest

from maintenance.last_entries import read_last_entry_ids
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import trades_stream
from tickplant.wire import CHANGE, CLOCK, HISTORICAL, TRADES, UNNUMBERED, VERDICT


async def add_entries(redis: RedisClient, partition: int, field: bytes, first: int, count: int = 1) -> None:
    for number in range(first, first + count):
        await redis.xadd(trades_stream(partition), {field: b""}, id=f"{number}-0")


@pytest.mark.parametrize("field", [TRADES, UNNUMBERED, HISTORICAL, VERDICT, CHANGE])
async def test_it_is_the_newest_that_is_not_a_clock(redis_url: str, field: bytes) -> None:
    redis = open_redis(redis_url)
    await add_entries(redis, 1, field, 5)
    await add_entries(redis, 1, field, 6)
    await add_entries(redis, 1, CLOCK, 7, count=20)
    await add_entries(redis, 3, CLOCK, 1)
    await add_entries(redis, 3, field, 2)
    assert await read_last_entry_ids(redis, range(4)) == {1: "6-0", 3: "2-0"}
    assert await read_last_entry_ids(redis, [3]) == {3: "2-0"}
    await redis.aclose()


async def test_behind_many_clocks_it_is_one_of_these(redis_url: str) -> None:
    """Whatever lies before the clock is committed with it."""
    redis = open_redis(redis_url)
    await add_entries(redis, 0, UNNUMBERED, 5)
    await add_entries(redis, 0, CLOCK, 6, count=200)
    ((partition, entry_id),) = (await read_last_entry_ids(redis, [0])).items()
    assert (partition, entry_id) == (0, "142-0")
    await redis.aclose()
