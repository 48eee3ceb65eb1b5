"""Ids of our own, for a venue that numbers nothing: they rise, whatever the clock does."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import PARTITIONS
from ingesting import finnhub_frame, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from working import until

from tickplant.market import SymbolId, Trade
from tickplant.redis_client import open_redis
from tickplant.streams import OWN_IDS, partition_of, prices_key
from tickplant.wire import encode_trade

SYMBOLS = [SymbolId("finnhub", "AAPL"), SymbolId("finnhub", "MSFT")]
START_MS = 1_700_000_040_000
TWO_MINUTES_US = 120_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def receive(redis_url: str, redis: Any, count: int) -> list[Trade]:
    """Run an ingest process until it has written so many trades more; return all of them in order."""
    before = len(await written(redis))

    async def script(client: ServerConnection) -> None:
        for number in range(count):
            symbol = ("AAPL", "MSFT")[number % 2]
            await client.send(finnhub_frame((symbol, "1.5", START_MS + number, "1")))
        await client.wait_closed()

    async with scripted_venue(script) as url, ingesting(redis_url, url, SYMBOLS):

        async def done() -> bool:
            return len(await written(redis)) == before + count

        await until(done, "the trades written")
    return (await written(redis))[before:] if not before else await written(redis)


async def test_ids_continue_after_a_clock_that_went_back(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_us = time.time_ns() // 1000
    monkeypatch.setattr("ingest.connection.now_us", lambda: now_us + TWO_MINUTES_US)
    ahead = await receive(redis_url, redis, 50)
    monkeypatch.setattr("ingest.connection.now_us", lambda: now_us)
    both = await receive(redis_url, redis, 50)
    last = max(trade.trade_id for trade in ahead)
    assert last >= now_us + TWO_MINUTES_US
    later = {trade.trade_id for trade in both} - {trade.trade_id for trade in ahead}
    assert len(later) == 50
    assert min(later) == last + 1


async def test_ids_continue_after_the_last_stored_trade_where_none_were_reserved(
    redis_url: str, redis: Any
) -> None:
    last_id = time.time_ns() // 1000 + TWO_MINUTES_US
    last = Trade("finnhub", "MSFT", last_id, "1.5", "1", None, START_MS * 1000, START_MS * 1000)
    await redis.hset(
        prices_key(partition_of("finnhub", "MSFT", PARTITIONS)), "finnhub:MSFT", encode_trade(last)
    )
    trades = await receive(redis_url, redis, 10)
    assert sorted(trade.trade_id for trade in trades) == list(range(last_id + 1, last_id + 11))
    assert int(await redis.hget(OWN_IDS, "finnhub")) == last_id + 10
