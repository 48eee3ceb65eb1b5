"""Partitions whose keys another program has taken, while a server of several is away."""

import pytest
from conftest import OwnRedis
from redis.exceptions import ResponseError
from working import until

from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import open_redis
from tickplant.streams import CANDLES_ROLE, trades_stream
from workers.blocked_partitions import BlockedPartitions

REFUSAL = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")


async def test_a_partition_stays_blocked_while_its_server_of_several_is_away(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.blocked_partitions._PAUSE_S", 0.0)
    servers = [await own_redis() for _ in range(2)]
    async with open_redis(",".join(server.url for server in servers)) as redis:
        await agree_on_partitions(redis, 2)
        await redis.set(trades_stream(1), "theirs")
        blocked = BlockedPartitions(CANDLES_ROLE, redis)
        await servers[1].kill()
        await blocked.add(1, REFUSAL)
        assert await blocked.check([0, 1]) == {1}
        await servers[1].start()

        async def is_known() -> bool:
            return await redis.get(trades_stream(1)) == b"theirs"

        await until(is_known, "the server is back")
        assert await blocked.check([0, 1]) == {1}
        await redis.delete(trades_stream(1))
        assert await blocked.check([0, 1]) == set()
