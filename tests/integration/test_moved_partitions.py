"""Partitions on several servers of Redis: where they are, and moves that end in the middle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conftest import OwnRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from working import until

from tickplant import wire
from tickplant.errors import FatalError
from tickplant.former_keys import FORMER_COUNT
from tickplant.moved_partitions import move_partition
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_servers import MOVED, MOVING, RedisServers
from tickplant.redis_shards import ShardUnavailableError
from tickplant.streams import (
    MIRROR_RESULTS,
    SERVERS,
    live_stream,
    owner_key,
    partition_hashes,
    partition_streams,
    prices_key,
    results_stream,
    trades_stream,
)

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


async def test_a_new_server_does_not_come_first(urls: list[str], own_redis: OwnRedis) -> None:
    async with opened(*urls) as client:
        await fill(client)
    async with opened((await own_redis()).url, *urls) as client:
        with pytest.raises(FatalError, match=f"first address must be that of {name_of(urls[0])}"):
            await contents(client)


async def test_a_plant_that_had_one_server_stays_there(urls: list[str]) -> None:
    async with open_redis(urls[0]) as client:
        before = await fill(client)
    async with opened(*urls) as client:
        assert set((await client.places(PARTITIONS)).values()) == {name_of(urls[0])}
        assert await contents(client) == before


@pytest.mark.parametrize("former", [False, True])
async def test_a_server_that_has_a_plant_comes_first(
    urls: list[str], former: bool, own_redis: OwnRedis
) -> None:
    old, second = urls
    new = (await own_redis()).url
    async with open_redis(old) as client:
        if former:
            await client.set(FORMER_COUNT, PARTITIONS)
            await client.xadd("trades:1", {"t": "x"}, id="1-0")
        else:
            before = await fill(client)
    async with opened(new, second, old) as client:
        for _ in range(2):
            with pytest.raises(FatalError, match=f"{name_of(old)} has a plant of its own.*must be the first"):
                await agree_on_partitions(client, PARTITIONS)
    for url in (new, second):
        async with open_redis(url) as client:
            assert await client.dbsize() == 0
    async with open_redis(old) as client:
        await agree_on_partitions(client, PARTITIONS)
        if former:
            before = await fill(client)
    async with opened(old, second, new) as client:
        await agree_on_partitions(client, PARTITIONS)
        assert await contents(client) == before


async def test_a_server_of_another_plant_gets_no_partition(urls: list[str], own_redis: OwnRedis) -> None:
    other = (await own_redis()).url
    async with open_redis(other) as client:
        before = await fill(client)
    async with opened(*urls) as client:
        await fill(client)
    async with opened(*urls, other) as client:
        with pytest.raises(
            FatalError, match=f"{name_of(other)} has a plant of its own.*if it is no longer used"
        ):
            await move_partition(client, 1, name_of(other), partitions=PARTITIONS)
    async with open_redis(other) as client:
        await agree_on_partitions(client, PARTITIONS)
        assert await contents(client) == before


async def test_a_server_that_was_away_learns_which_is_the_first(urls: list[str], own_redis: OwnRedis) -> None:
    async with opened(*urls) as client:
        await fill(client)
    late = await own_redis()
    await late.kill()
    async with opened(*urls, late.url) as client:
        await contents(client)
        await late.start()
        client.forget(1)
        await contents(client)
    async with opened(late.url, *urls) as client:
        with pytest.raises(FatalError, match=f"first address must be that of {name_of(urls[0])}"):
            await contents(client)
    async with open_redis(late.url) as client:
        assert await client.hgetall(SERVERS) == {b"first": name_of(urls[0]).encode()}


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
    try_exchange = RedisClient.try_exchange
    async with opened(*urls) as client:
        before = await fill(client)
    for step in range(STEPS):
        left = step

        async def dying(self: RedisClient, *commands: Any) -> list[Any]:
            nonlocal left
            if left == 0:
                raise RedisConnectionError("killed")
            left -= 1
            return await try_exchange(self, *commands)

        async with opened(*urls) as client:
            monkeypatch.setattr(RedisClient, "try_exchange", dying)
            killed = False
            try:
                await move_partition(client, 1, target, partitions=PARTITIONS)
            except (RedisConnectionError, FatalError):
                killed = True
            monkeypatch.setattr(RedisClient, "try_exchange", try_exchange)
        async with opened(*urls) as client:
            place = source if back else target
            await move_partition(client, 1, place, partitions=PARTITIONS)
            assert await contents(client) == before
            assert await strays(urls, place) == []
            if not back:
                await move_partition(client, 1, source, partitions=PARTITIONS)
                assert await contents(client) == before
        if not killed:
            return
    pytest.fail("a move takes more steps than were tried")


@pytest.mark.parametrize("back", [False, True])
async def test_a_command_that_another_one_has_overtaken_changes_nothing_more(
    urls: list[str], back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = name_of(urls[1]), name_of(urls[0])
    try_exchange = RedisClient.try_exchange
    async with opened(*urls) as client:
        await fill(client)
    for step in range(STEPS):
        left = step
        paused, resumed = asyncio.Event(), asyncio.Event()
        slow: asyncio.Task[Any]

        async def pausing(self: RedisClient, *commands: Any) -> list[Any]:
            nonlocal left
            if asyncio.current_task() is slow:  # noqa: B023
                if left == 0:
                    paused.set()  # noqa: B023
                    await resumed.wait()  # noqa: B023
                left -= 1
            return await try_exchange(self, *commands)

        async with opened(*urls) as client, opened(*urls) as other:
            monkeypatch.setattr(RedisClient, "try_exchange", pausing)
            slow = asyncio.create_task(move_partition(client, 1, target, partitions=PARTITIONS))
            waiting = asyncio.create_task(paused.wait())
            await asyncio.wait([slow, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            done = slow.done()
            await move_partition(other, 1, source if back else target, partitions=PARTITIONS)
            await other.xadd(trades_stream(1), {"t": "later"})
            before = await contents(other)
            resumed.set()
            outcomes = await asyncio.gather(slow, return_exceptions=True)
            monkeypatch.setattr(RedisClient, "try_exchange", try_exchange)
            place = (await other.places(PARTITIONS))[1]
        async with opened(*urls) as client:
            assert await contents(client) == before
            if place != source:
                await move_partition(client, 1, source, partitions=PARTITIONS)
                assert await contents(client) == before
            assert isinstance(outcomes[0], str) or "another command moves" in str(outcomes[0])
            assert await strays(urls, source) == []
        if done:
            return
    pytest.fail("a move takes more steps than were tried")


async def remains(urls: list[str]) -> list[bytes]:
    """Return the keys that a move has left."""
    found = []
    for url in urls:
        async with open_redis(url) as client:
            found += [key async for key in client.scan_iter("mov*")]
    return found


async def strays(urls: list[str], place: str) -> list[str | bytes]:
    """Return what moves of partition 1 have left, except a claim on its own server."""
    found: list[str | bytes] = [*await remains(urls)]
    for url in urls:
        async with open_redis(url) as client:
            if name_of(url) == place:
                if await client.exists("moving:{1}"):
                    found.remove(b"moving:{1}")
            else:
                keys = partition_streams(1) + partition_hashes(1)
                found += [key for key in keys if not await is_gone(client, key)]
    return found


async def is_gone(server: RedisClient, key: str) -> bool:
    return await server.type(key) == b"none" or await server.get(key) == MOVED


async def test_whoever_only_reads_learns_of_a_move(urls: list[str]) -> None:
    async with opened(*urls) as client, opened(*urls) as other:
        await fill(client)
        await client.xadd(live_stream(1), {"u": "x"}, id="1-1")
        read = ("XREAD", "BLOCK", 60_000, "STREAMS", live_stream(1))
        for target in (urls[0], urls[1]):
            await other.exchange(("XREAD", "STREAMS", live_stream(1), "1-0"))
            waiting = asyncio.create_task(other.exchange((*read, "$")))
            async with open_redis(urls[0] if target is urls[1] else urls[1]) as server:
                await until(lambda: waits_for_update(server), "the reader waits")
            await move_partition(client, 1, name_of(target), partitions=PARTITIONS)
            (((_, [(woken, [_, update])]),),) = await waiting
            assert wire.decode_update(update) == wire.LiveUpdate()
            mirror = ("HSET", owner_key(MIRROR_RESULTS, 1), "confirmed", "1-0")
            mirrored = ("XREAD", "STREAMS", results_stream(1), "0")
            kind = ("TYPE", live_stream(1))
            for command in ((*read, woken), kind, ("HGET", prices_key(1), "v:S"), mirror, mirrored):
                other._places[1] = name_of(urls[0] if target is urls[1] else urls[1])  # as before
                with pytest.raises(ShardUnavailableError, match="partition 1 is no longer on"):
                    await other.exchange(command)
            assert await other.hget(prices_key(1), "v:S") == b"1"


async def waits_for_update(server: RedisClient) -> bool:
    return bool((await server.info("clients"))["blocked_clients"])


async def test_a_first_server_that_lost_its_data_learns_where_partitions_are(urls: list[str]) -> None:
    async with opened(*urls) as client:
        await fill(client)
        await move_partition(client, 0, name_of(urls[1]), partitions=PARTITIONS)
        await move_partition(client, 1, name_of(urls[0]), partitions=PARTITIONS)
    async with open_redis(urls[0]) as first:
        await first.flushall()
    async with opened(urls[0], "redis://127.0.0.1:1") as client:
        with pytest.raises(ShardUnavailableError, match="written when all servers are there"):
            await client.places(PARTITIONS)
    async with opened(*urls) as client:
        first_name, second_name = map(name_of, urls)
        places = await client.places(PARTITIONS)
        assert list(places.values()) == [second_name, first_name, first_name, second_name]


async def test_a_former_version_had_one_server(urls: list[str]) -> None:
    async with open_redis(urls[0]) as first:
        await first.set(FORMER_COUNT, PARTITIONS)
        await first.xadd("trades:1", {"t": "x"})
    async with opened(*urls) as client:
        with pytest.raises(FatalError, match=r"a former version.*with its address alone"):
            await agree_on_partitions(client, PARTITIONS)
    async with open_redis(urls[0]) as first:
        await agree_on_partitions(first, PARTITIONS)
    async with opened(*urls) as client:
        await agree_on_partitions(client, PARTITIONS)
        assert set((await client.places(PARTITIONS)).values()) == {name_of(urls[0])}
        assert await client.xlen(trades_stream(1)) == 1


async def test_odd_values_of_where_partitions_are(urls: list[str]) -> None:
    async with opened(*urls) as client:
        await fill(client)
    async with open_redis(urls[0]) as first:
        await first.hset(SERVERS, "1", b"\xff\xfe")
    async with opened(*urls) as client:
        with pytest.raises(FatalError, match=r"a partition is on .*, which TICKPLANT"):
            await contents(client)
    async with open_redis(urls[0]) as first:
        await first.delete(SERVERS)
        await first.set(SERVERS, "x")
        await agree_on_partitions(first, PARTITIONS)
    async with opened(*urls) as client:
        with pytest.raises(FatalError, match=r"the key partition_servers on .* holds what another program"):
            await contents(client)
    async with open_redis(urls[0]) as first:
        await first.delete(SERVERS)
        await first.hset(SERVERS, "x", "y")
        await agree_on_partitions(first, PARTITIONS)
    async with opened(*urls) as client:
        with pytest.raises(FatalError, match=r"holds what another program has written"):
            await contents(client)


async def test_a_server_under_two_names_is_no_target(urls: list[str]) -> None:
    other_name = urls[1].replace("127.0.0.1", "localhost")
    async with opened(*urls) as client:
        before = await fill(client)
    async with opened(*urls, other_name) as client:
        with pytest.raises(FatalError, match="are the same server"):
            await move_partition(client, 1, name_of(other_name), partitions=PARTITIONS)
        assert await contents(client) == before
    assert await remains(urls) == []


async def test_a_partition_is_not_moved_to_a_server_that_is_away_and_comes_back_from_one(
    urls: list[str],
) -> None:
    async with opened(*urls) as client:
        before = await fill(client)
    async with opened(*urls, "redis://127.0.0.1:1") as client:
        with pytest.raises(FatalError, match="a server of Redis is unavailable"):
            await move_partition(client, 1, "127.0.0.1:1", partitions=PARTITIONS)
        assert await contents(client) == before
        async with open_redis(urls[0]) as first:
            await first.hset(SERVERS, "1", f"{name_of(urls[1])}{MOVING}127.0.0.1:1")
        await move_partition(client, 1, name_of(urls[1]), partitions=PARTITIONS)
        assert await contents(client) == before


async def test_a_server_that_is_not_named_gets_no_partition(urls: list[str]) -> None:
    async with opened(*urls) as client:
        before = await fill(client)
        with pytest.raises(FatalError, match=r"does not name 127\.0\.0\.1:1: name it there"):
            await move_partition(client, 1, "127.0.0.1:1", partitions=PARTITIONS)
        assert await contents(client) == before
