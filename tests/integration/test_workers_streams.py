"""What an owner publishes, however much it is."""

import asyncio
from typing import Any

from working import START_US, trade, until

from db.leases import Lease
from tickplant.derived import Unified
from tickplant.redis_client import open_redis
from tickplant.streams import live_stream, prices_key, unified_key, unified_stream
from tickplant.wire import LiveUpdate
from workers.partition_streams import PartitionStreams

MANY = 9_000


async def test_any_number_of_symbols_may_trade_at_once(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    streams = PartitionStreams(redis, Lease("candles", 0, "me", 1, "0-0"))
    await streams.take()
    prices = tuple(trade(1, at_us=START_US, symbol=f"S{number}USDT") for number in range(MANY))
    unified = tuple(Unified(f"binance:{price.symbol}", price.price, 1, "", {}, {}) for price in prices)
    await streams.publish(LiveUpdate(prices=prices), "1-0")
    await streams.publish_results(LiveUpdate(unified=unified), "1-0")
    assert await redis.hlen(prices_key(0)) == await redis.hlen(unified_key(0)) == MANY
    assert sum(len(fields) for _, fields in await redis.xrange(unified_stream(0))) == MANY
    await redis.aclose()


async def test_an_update_is_published_before_the_wait_also_by_a_server_that_has_just_started(
    redis_url: str,
) -> None:
    redis: Any = open_redis(redis_url)
    await redis.script_flush()
    streams = PartitionStreams(redis, Lease("candles", 0, "me", 1, "0-0"))
    await streams.take()
    update = LiveUpdate(prices=(trade(1, at_us=START_US),))
    waiting = asyncio.create_task(streams.publish_and_read(update, "1-0", count=1, block_ms=8_000))

    async def published() -> bool:
        return bool(await redis.xlen(live_stream(0)))

    await until(published, "it is published", timeout_s=5)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await redis.aclose()
