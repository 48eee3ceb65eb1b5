"""Time limits of Redis: that of one of several servers, and what has to be shorter."""

import pytest

from api.live import follower
from tickplant import redis_client
from tickplant.redis_client import SHARD_TIMEOUT_S, RedisClient, open_redis
from workers import commit_schedule
from workers.mirror import partition as mirror


async def limits(client: RedisClient) -> set[float | None]:
    async with client:
        return {
            server.connection_pool.connection_kwargs["socket_timeout"]
            for server in (await client.servers()).values()
        }


async def test_one_of_several_servers_has_less_time_than_a_server_alone() -> None:
    assert await limits(open_redis("redis://a")) == {10.0}
    assert await limits(open_redis("redis://a,redis://b")) == {SHARD_TIMEOUT_S}
    assert await limits(open_redis("redis://a,redis://b", timeout_s=1.0)) == {1.0}
    assert await limits(open_redis("redis+sentinel://a/plant")) == {SHARD_TIMEOUT_S}  # the next master


@pytest.mark.parametrize(
    "wait_s",
    [
        follower._READ_S,
        commit_schedule._IDLE_READ_S,
        mirror._IDLE_READ_S,
        redis_client._WAIT_MS / 1_000,
    ],
)
def test_an_answer_that_waits_comes_within_the_limit(wait_s: float) -> None:
    assert wait_s <= SHARD_TIMEOUT_S - 1
