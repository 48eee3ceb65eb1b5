"""Prices and the live update that they go with, as a worker has published them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from working import START_US, trade

from api.live.cursor import STREAM_START
from api.queries.history import StoredHistory
from api.queries.prices import Prices
from db.leases import Lease
from db.pool import open_pool
from tickplant.derived import Unified
from tickplant.market import SymbolId
from tickplant.redis_client import open_redis
from tickplant.streams import CANDLES_ROLE, entry_order, live_stream, owner_key
from tickplant.wire import LiveUpdate
from workers.partition_streams import PartitionStreams

SYMBOL = SymbolId("binance", "BTCUSDT")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    redis = open_redis(redis_url)
    yield redis
    await redis.aclose()


async def publish(redis: Any) -> str:
    """Publish a price and results, and return the id of the last update."""
    streams = PartitionStreams(redis, Lease(CANDLES_ROLE, 0, "me", 1, "0-0"))
    await streams.take()
    price = trade(1, at_us=START_US, symbol=SYMBOL.symbol)
    await streams.publish(LiveUpdate(prices=(price,)), "1-0")
    unified = Unified(str(SYMBOL), price.price, 1, "", {}, {})
    await streams.publish_results(LiveUpdate(unified=(unified,)), "1-0")
    ((last, _),) = await redis.xrevrange(live_stream(0), count=1)
    return str(last.decode())


async def test_a_price_names_the_last_update_without_reading_it(redis: Any, database_url: str) -> None:
    last = await publish(redis)
    await redis.config_resetstat()
    async with open_pool(database_url, size=1, application="test") as pool:
        prices = Prices(redis, StoredHistory(pool, partitions=1))
        price, update = await prices.read(SYMBOL)
        assert (price.trade_id if price else None, update) == (1, entry_order(last))
        unified, update = await prices.read_unified(SYMBOL)
        assert (unified.trade_id if unified else None, update) == (1, entry_order(last))
    assert "cmdstat_xrevrange" not in await redis.info("commandstats")


async def test_the_update_of_a_former_worker_or_of_a_deleted_stream(redis: Any, database_url: str) -> None:
    last = await publish(redis)
    async with open_pool(database_url, size=1, application="test") as pool:
        prices = Prices(redis, StoredHistory(pool, partitions=1))
        await redis.hdel(owner_key(CANDLES_ROLE, 0), "live")
        assert (await prices.read(SYMBOL))[1] == entry_order(last)
        await publish(redis)
        await redis.delete(live_stream(0))
        assert (await prices.read(SYMBOL))[1] == STREAM_START
