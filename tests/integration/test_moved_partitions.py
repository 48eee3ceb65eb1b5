"""Partitions on several servers of Redis: where they are, and moves that end in the middle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conftest import OwnRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from tickplant.errors import FatalError
from tickplant.moved_partitions import move_partition
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_servers import RedisServers
from tickplant.redis_shards import ShardUnavailableError
from tickplant.streams import owner_key, prices_key, trades_stream

PARTITIONS = 4
STEPS = 40
"""More exchanges than a move takes."""


@asynccontextmanager
async def opened(*urls: str) -> AsyncIterator[RedisServers]:
    async with open_redis(",".join(urls)) as client:
        assert isinstance(client, RedisServers)
        yield client


def name_of(url: str) -> str:
    return url.rpartition("@")[2].removesuffix("/0")


@pytest.fixture
async def urls(own_redis: OwnRedis) -> list[str]:
    return [(await own_redis()).url for _ in range(2)]


async def fill(client: RedisClient) -> list[Any]:
    await agree_on_partitions(client, PARTITIONS)
    for number in range(PARTITIONS):
        await client.xadd(trades_stream(number), {"t": f"{number}"}, id=f"{number + 1}-7")
        await client.hset(prices_key(number), "v:S", number)
        await client.hset(owner_key("candles", number), "epoch", 3)
    await client.xgroup_create(trades_stream(1), "candles:e3", "0")
    return await contents(client)


async def contents(client: RedisClient) -> list[Any]:
    """Return what the keys of all partitions hold."""
    found: list[Any] = []
    for number in range(PARTITIONS):
        found.append(await client.xrange(trades_stream(number)))
        found.append(await client.hgetall(prices_key(number)))
        found.append(await client.hgetall(owner_key("candles", number)))
    info = await client.xinfo_stream(trades_stream(1))
    return [*found, info["last-generated-id"], await client.xinfo_groups(trades_stream(1))]


async def test_a_new_plant_is_spread_and_where_its_partitions_are_does_not_change(urls: list[str]) -> None:
    async with opened(*urls) as client:
        before = await fill(client)
        places = await client.places(PARTITIONS)
        assert list(places.values()) == [name_of(url) for url in urls] * 2
    async with open_redis(urls[0]) as one, open_redis(urls[1]) as other:
        assert await one.exists(*map(trades_stream, range(PARTITIONS))) == 2
        assert await other.exists(*map(trades_stream, range(PARTITIONS))) == 2
        with pytest.raises(FatalError, match=f"several servers of Redis: name all.*{name_of(urls[1])}"):
            await agree_on_partitions(one, PARTITIONS)
        with pytest.raises(FatalError, match=f"several servers of Redis: name all.*{name_of(urls[0])}"):
            await agree_on_partitions(other, PARTITIONS)
    async with opened(*urls, "redis://127.0.0.1:1") as client:  # which nothing is on
        assert await contents(client) == before
    async with opened(*reversed(urls)) as client:
        with pytest.raises(FatalError, match=f"first address must be that of {name_of(urls[0])}"):
            await contents(client)
    async with opened(urls[0], "redis://127.0.0.1:1") as client:
        with pytest.raises(FatalError, match=f"a partition is on {name_of(urls[1])}, which"):
            await contents(client)


async def test_a_plant_that_had_one_server_stays_there(urls: list[str]) -> None:
    async with open_redis(urls[0]) as client:
        before = await fill(client)
    async with opened(*urls) as client:
        assert set((await client.places(PARTITIONS)).values()) == {name_of(urls[0])}
        assert await contents(client) == before


async def test_a_client_that_does_not_know_of_a_move_is_refused_once(urls: list[str]) -> None:
    async with opened(*urls) as client, opened(*urls) as other:
        before = await fill(client)
        assert await contents(other) == before
        target = name_of(urls[0])
        assert await move_partition(client, 1, target, partitions=PARTITIONS) == name_of(urls[1])
        with pytest.raises(ShardUnavailableError, match="partition 1 is no longer on"):
            await other.xadd(trades_stream(1), {"t": "x"})
        assert await contents(other) == before
        assert await contents(client) == before
        await move_partition(other, 1, name_of(urls[1]), partitions=PARTITIONS)
        with pytest.raises(ShardUnavailableError, match="partition 1 is no longer on"):
            await client.xlen(trades_stream(1))
        assert await contents(client) == before


@pytest.mark.parametrize("back", [False, True])
async def test_a_move_that_was_killed_goes_on_or_back(
    urls: list[str], back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = name_of(urls[1]), name_of(urls[0])
    exchange = RedisClient.exchange
    async with opened(*urls) as client:
        before = await fill(client)
    for step in range(STEPS):
        left = step

        async def dying(self: RedisClient, *commands: Any) -> list[Any]:
            nonlocal left
            if left == 0:
                raise RedisConnectionError("killed")
            left -= 1
            return await exchange(self, *commands)

        async with opened(*urls) as client:
            monkeypatch.setattr(RedisClient, "exchange", dying)
            killed = False
            try:
                await move_partition(client, 1, target, partitions=PARTITIONS)
            except RedisConnectionError:
                killed = True
            monkeypatch.setattr(RedisClient, "exchange", exchange)
        async with opened(*urls) as client:
            await move_partition(client, 1, source if back else target, partitions=PARTITIONS)
            assert await contents(client) == before
            if not back:
                await move_partition(client, 1, source, partitions=PARTITIONS)
                assert await contents(client) == before
        if not killed:
            return
    pytest.fail("a move takes more steps than were tried")


async def test_a_server_that_is_not_named_gets_no_partition(urls: list[str]) -> None:
    async with opened(*urls) as client:
        before = await fill(client)
        with pytest.raises(FatalError, match="which TICKPLANT_REDIS_URL does not name"):
            await move_partition(client, 1, "127.0.0.1:1", partitions=PARTITIONS)
        assert await contents(client) == before
