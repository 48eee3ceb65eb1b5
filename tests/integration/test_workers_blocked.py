"""A key that another program has taken blocks its partition, which is taken again once the key is free."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stored
from conftest import PARTITIONS, on_one_variant
from working import START_US, publishing, stored_count, trade, until, working

from tickplant import metrics
from tickplant.redis_client import open_redis
from tickplant.streams import live_stream, owner_key, partition_of, trades_stream

pytestmark = on_one_variant
SYMBOLS = {partition_of("binance", name, PARTITIONS): name for name in map("S{}USDT".format, range(50))}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def blocked() -> float:
    return float(metrics.WORKER_BLOCKED.labels("candles")._value.get())


@pytest.mark.parametrize("key", [trades_stream(0), live_stream(0), owner_key("candles", 0)])
async def test_a_blocked_partition_is_logged_once_and_taken_again_when_its_key_is_free(
    redis: Any, redis_url: str, database_url: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await redis.set(key, "taken")
    others = f"select count(*) from trades where symbol <> '{SYMBOLS[0]}'"
    async with working(redis_url, database_url), publishing(redis_url) as publisher:
        for turn in range(1, 6):
            await publisher.publish([trade(turn, at_us=START_US, symbol=name) for name in SYMBOLS.values()])

            async def others_stored(count: int = turn * (PARTITIONS - 1)) -> bool:
                return bool(await stored.fetch_value(database_url, others) == count)

            await until(others_stored, "trades of the other partitions are stored")

        async def noticed() -> bool:
            return blocked() == 1

        await until(noticed, "the partition is blocked")
        await redis.delete(key)

        async def all_stored() -> bool:
            return await stored_count(database_url) == 5 * PARTITIONS

        await until(all_stored, "all trades are stored")
        assert blocked() == 0
        epoch = await stored.fetch_value(database_url, "select max(epoch) from lease where partition = 0")
    assert caplog.text.count("partition 0 is not processed") == 1
    assert f"partition 0 is not processed (role candles): {key} in Redis" in caplog.text
    assert caplog.text.count("partition 0: its keys are free again") == 1
    assert epoch == 2
