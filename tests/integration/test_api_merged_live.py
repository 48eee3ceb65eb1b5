"""Candles of intervals that are not stored, live: whole states, as history has them."""

from collections.abc import AsyncIterator

import pytest
from api_plant import T0, Plant, live, running_plant, trade
from conftest import on_one_variant

from tickplant.intervals import MERGED, MINUTE_US

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


async def test_they_start_with_the_newest_two_and_follow_what_is_stored(plant: Plant) -> None:
    channels = [f"candles:binance:BTCUSDT:{interval}" for interval in MERGED]
    await plant.store(trade(1, at_us=T0), trade(2, at_us=T0 + 4 * MINUTE_US))
    async with plant.socket() as socket:
        await socket.subscribe(*channels)
        for channel, interval in zip(channels, MERGED, strict=True):
            snapshot = await socket.receive_until("snapshot", channel)
            page = await plant.get("/api/v1/ohlcv/BTCUSDT", interval=interval, limit=2)
            assert snapshot["data"] == page["candles"]
            assert "recovered" not in snapshot
        await plant.store(trade(3, at_us=T0 + 9 * MINUTE_US))
        changes = [await socket.receive_until("candle", channels[0]) for _ in range(2)]
        page = await plant.get("/api/v1/ohlcv/BTCUSDT", interval=MERGED[0], limit=2)
        assert [change["data"] for change in changes] == page["candles"]
        assert [view["closed"] for view in page["candles"]] == [True, False]


async def test_a_client_with_a_cursor_is_told_that_it_may_have_missed_some(plant: Plant) -> None:
    await plant.store(trade(1, at_us=T0))
    cursor = (await plant.get("/api/v1/ohlcv/BTCUSDT", interval="3m"))["cursor"]
    async with plant.socket() as socket:
        await socket.subscribe("candles:BTCUSDT:3m", since=cursor)
        snapshot = await socket.receive_until("snapshot")
        assert snapshot["recovered"] is False
        assert len(snapshot["data"]) == 1


async def test_an_interval_that_nobody_knows_is_refused(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=["candles:BTCUSDT:7m"])
        error = await socket.receive_until("error")
        assert error["code"] == "unknown_interval"
        assert "30m" in error["message"]
