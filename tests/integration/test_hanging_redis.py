"""A server of several hangs: that costs one time limit, and not one for each exchange."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_plant import PARTITIONS, live, running_plant
from conftest import OwnRedis, on_one_variant
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError
from servers import REDIS, cluster, running
from working import until

from tickplant.local import RedisServer
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_servers import RedisServers
from tickplant.redis_shards import ShardUnavailableError
from tickplant.redis_slots import SLOTS, slot_of
from tickplant.streams import trades_stream

TIMEOUT_S = 1.5


@contextmanager
def hanging(server: RedisServer) -> Iterator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def lengths(client: RedisClient, streams: Sequence[str]) -> list[object]:
    return await client.try_exchange(*[("XLEN", stream) for stream in streams])


async def check_hanging(client: RedisClient, server: RedisServer, streams: Sequence[str], away: int) -> None:
    """Have a server hang; only the first exchange may wait for it."""
    assert await lengths(client, streams) == [0, 0]
    with hanging(server):
        answers = await lengths(client, streams)
        assert answers[1 - away] == 0
        assert isinstance(answers[away], RedisTimeoutError)
        for _ in range(3):
            answers = await lengths(client, streams)
            assert answers[1 - away] == 0
            assert isinstance(answers[away], ShardUnavailableError)
            assert "it hangs" in str(answers[away])

    async def is_back() -> bool:
        return await lengths(client, streams) == [0, 0]

    await until(is_back, "it is asked again")


@pytest.mark.parametrize("away", [0, 1])
async def test_only_the_first_exchange_waits_for_a_server_that_hangs(own_redis: OwnRedis, away: int) -> None:
    servers = [await own_redis() for _ in range(2)]
    async with open_redis(",".join(server.url for server in servers), timeout_s=TIMEOUT_S) as client:
        assert isinstance(client, RedisServers)
        await agree_on_partitions(client, 2)
        await check_hanging(client, servers[away], [trades_stream(0), trades_stream(1)], away)


async def test_who_looks_up_a_partition_does_not_wait_for_a_first_server_that_is_known_to_hang(
    own_redis: OwnRedis,
) -> None:
    servers = [await own_redis() for _ in range(2)]
    async with open_redis(",".join(server.url for server in servers), timeout_s=TIMEOUT_S) as client:
        assert isinstance(client, RedisServers)
        await agree_on_partitions(client, 2)
        with hanging(servers[0]):
            with pytest.raises(RedisTimeoutError):
                await client.get("anything")
            client.forget(1)
            with pytest.raises(ShardUnavailableError, match="it hangs"):
                await lengths(client, [trades_stream(1)])


@on_one_variant
@pytest.mark.parametrize("away", [0, 1])
async def test_the_api_and_grpc_are_ready_while_one_of_several_servers_hangs(
    own_redis: OwnRedis, database_url: str, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    monkeypatch.setattr("api.health.TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr("api.live.follower._READ_S", TIMEOUT_S)
    monkeypatch.setattr("api.open_services._REDIS_TIMEOUT_S", 4 * TIMEOUT_S)
    servers = [await own_redis() for _ in range(2)]
    urls = ",".join(server.url for server in servers)
    async with open_redis(urls) as client:
        await agree_on_partitions(client, PARTITIONS)
    async with running_plant(urls, database_url) as plant:
        await live(plant)
        assert await plant.services.health.can_serve()
        with hanging(servers[away]):
            for _ in range(3):
                assert await plant.services.health.can_serve()
                assert (await plant.get("/health/ready"))["redis"]["status"] == "up"


@pytest.mark.parametrize("away", [0, 1])
async def test_only_the_first_exchange_waits_for_a_node_that_hangs(server_folder: Path, away: int) -> None:
    version = next((version for version in REDIS if version >= "Redis 7"), None)
    if version is None:
        pytest.skip("a cluster of several nodes needs Redis 7 or Valkey")
    lines = ("cluster-require-full-coverage no", "user plant on >secret ~* &* +@all")
    nodes = [cluster(server_folder / f"node {away} {number}", REDIS[version], *lines) for number in range(2)]
    async with running(nodes[0]) as url, running(nodes[1]) as other_url:
        await join([url, other_url])
        at = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with open_redis(f"redis+cluster://plant:secret@{at}", timeout_s=TIMEOUT_S) as client:
            await check_hanging(client, nodes[away], [trades_stream(1), trades_stream(0)], away)


async def join(urls: Sequence[str]) -> None:
    """Make a cluster of two nodes, of which the second one has partition 0, and the first one partition 1."""
    first = slot_of(trades_stream(0))
    async with Redis.from_url(urls[0]) as one, Redis.from_url(urls[1]) as other:
        clients: tuple[Any, Any] = one, other
        for client, slots in zip(clients, (range(first), range(first, SLOTS)), strict=True):
            await client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        config = await clients[1].config_get("*port")
        ports = config["port"], config["cluster-port"]
        await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", *ports)

        async def know_each_other() -> bool:
            return all([await knows_all(client) for client in clients])

        await until(know_each_other, "the nodes know each other")


async def knows_all(client: Any) -> bool:
    info = await client.execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}".encode() in info
