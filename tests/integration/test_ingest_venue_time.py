"""The clock that a connection writes into the streams, while some of its messages have wrong times."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ingesting import clocks, coinbase_match, dead_letters, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from working import until

from tickplant.market import SymbolId
from tickplant.redis_client import open_redis

SYMBOLS = [SymbolId("coinbase", "BTC-USD"), SymbolId("coinbase", "ETH-USD")]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def heartbeat(product: str, moment: datetime) -> str:
    return json.dumps(
        {"type": "heartbeat", "sequence": 1, "last_trade_id": 1, "product_id": product, "time": iso(moment)}
    )


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=900)], ids=["live", "replay"])
async def test_wrong_times_of_one_product_move_no_clock(redis_url: str, redis: Any, age: timedelta) -> None:
    async def script(client: ServerConnection) -> None:
        products = ["BTC-USD", "ETH-USD"]
        names = [{"name": name, "product_ids": products} for name in ("matches", "heartbeat")]
        await client.send(json.dumps({"type": "subscriptions", "channels": names}))
        for number in range(1, 10_000):
            venue_now = datetime.now(UTC) - age
            await client.send(coinbase_match("ETH-USD", number, iso(venue_now)))
            await client.send(coinbase_match("BTC-USD", number, iso(venue_now + timedelta(days=300))))
            await client.send(heartbeat("BTC-USD", datetime(2099, 1, 1, tzinfo=UTC)))
            await asyncio.sleep(0.05)

    async with scripted_venue(script) as url, ingesting(redis_url, url, SYMBOLS):

        async def three_clocks() -> bool:
            return len({clock.time_us for clock in await clocks(redis)}) >= 3

        await until(three_clocks, "clocks written")
        now_us = int((datetime.now(UTC) - age).timestamp() * 1e6)
        times_us = [clock.time_us for clock in await clocks(redis)]
        letters = await dead_letters(redis)
        trades = await written(redis)
    assert max(times_us) <= now_us
    assert min(times_us) > now_us - 60_000_000
    assert {trade.symbol for trade in trades} == {"BTC-USD", "ETH-USD"}  # each stored, whatever its time
    assert letters
    assert all(
        "the venue clock ignores" in letter["reason"] and "BTC-USD" in letter["payload"] for letter in letters
    )
