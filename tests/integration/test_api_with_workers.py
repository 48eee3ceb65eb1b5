"""The API over real workers: what clients see is what was traded, once, whenever they come."""

import asyncio
from decimal import Decimal
from typing import Any

from api_plant import Plant, live, running_plant
from conftest import on_one_variant
from working import MINUTE_US, START_US, publishing, stored_count, trade, until, working

from tickplant.market import SymbolId, Trade, fold

pytestmark = on_one_variant

AAA = SymbolId("binance", "AAAUSDT")
TRADES = "trades:binance:AAAUSDT"
CANDLES = "candles:binance:AAAUSDT:1m"
COUNT = 1500
STEP_US = MINUTE_US // 500


def traded(number: int) -> Trade:
    return trade(number, at_us=START_US + number * STEP_US, price=f"{100 + number % 37}.5", size="0.25")


async def follow(plant: Plant, last: int) -> tuple[list[int], dict[str, Any]]:
    """Come, and note trades and candles until the last trade and its candle's."""
    ids: list[int] = []
    candles: dict[str, Any] = {}
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, CANDLES)
        while not ids or ids[-1] < last or max(view["last_trade_id"] for view in candles.values()) < last:
            message = await socket.receive()
            if message.get("channel") == TRADES:
                ids += [view["trade_id"] for view in message["data"]]
            elif message.get("channel") == CANDLES:
                views = message["data"] if message["type"] == "snapshot" else [message["data"]]
                candles |= {view["open_time"]: view for view in views}
    return ids, candles


async def join_history(plant: Plant, last: int) -> list[int]:
    """Read history, and go on with what is live where it ends."""
    page = await plant.get("/api/v1/trades/AAAUSDT", limit=1000)
    ids = [view["trade_id"] for view in page["trades"]]
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, since=page["cursor"])
        assert (await socket.receive())["type"] == "resumed"
        while not ids or ids[-1] < last:
            ids += [view["trade_id"] for view in (await socket.receive_until("trades"))["data"]]
    return ids


async def test_clients_that_come_at_any_time_see_every_trade_once(redis_url: str, database_url: str) -> None:
    trades = [traded(number) for number in range(1, COUNT + 1)]
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        publishing(redis_url) as publisher,
    ):
        await live(plant)
        followers = [asyncio.create_task(follow(plant, COUNT))]
        joiners = []
        for start in range(0, COUNT, 10):
            await publisher.publish(trades[start : start + 10])
            if start % 200 == 100:
                await until(lambda: stored_count(database_url), "a commit")
                followers.append(asyncio.create_task(follow(plant, COUNT)))
                joiners.append(asyncio.create_task(join_history(plant, COUNT)))
            await asyncio.sleep(0.005)
        expected = {candle.open_time_us: candle for candle in fold(trades)}
        for ids, candles in await asyncio.gather(*followers):
            assert ids == list(range(ids[0], COUNT + 1))
            for view in candles.values():
                if view["trade_count"] == 500:
                    (candle,) = [
                        candle
                        for candle in expected.values()
                        if candle.first_trade_id == view["first_trade_id"]
                    ]
                    assert Decimal(view["volume"]) == candle.volume
                    assert Decimal(view["quote_volume"]) == candle.quote_volume
                    assert Decimal(view["taker_buy_volume"]) == candle.taker_buy_volume
        for ids in await asyncio.gather(*joiners):
            assert ids == list(range(1 if ids[0] == 1 else ids[0], COUNT + 1))
            assert len(set(ids)) == len(ids)


async def test_a_closed_candle_is_sent_once_and_as_stored(redis_url: str, database_url: str) -> None:
    trades = [traded(number) for number in range(1, 1100)]
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await socket.subscribe(CANDLES)
        for start in range(0, len(trades), 50):
            await publisher.publish(trades[start : start + 50])
            await asyncio.sleep(0.01)
        closed: list[Any] = []
        while len(closed) < 2:
            message = await socket.receive_until("candle")
            if message["data"]["closed"]:
                closed.append(message["data"])
        stored = (await plant.get("/api/v1/ohlcv/AAAUSDT"))["candles"]
        assert closed == stored[:2]
        assert [view["closed"] for view in stored] == [True, True, False]


async def test_a_gap_is_sent_when_it_opens_and_when_it_heals(redis_url: str, database_url: str) -> None:
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await socket.subscribe("gaps")
        assert (await socket.receive_until("snapshot"))["data"] == []
        await publisher.publish([traded(number) for number in (*range(1, 51), *range(61, 101))])
        opened = (await socket.receive_until("gap"))["data"]
        assert (opened["first_id"], opened["last_id"], opened["missing"]) == (51, 60, 10)
        assert opened["state"] == "open"
        assert (await plant.get("/api/v1/gaps"))["gaps"] == [opened]
        metrics = (await plant.http.get("/metrics")).text
        assert 'tickplant_worker_missing_trades{symbol="AAAUSDT",venue="binance"} 10.0' in metrics
        await publisher.publish([traded(number) for number in range(51, 61)])
        healed = (await socket.receive_until("gap"))["data"]
        assert healed == opened | {"state": "healed", "missing": 0}
        assert (await plant.get("/api/v1/gaps"))["gaps"] == [healed]
        metrics = (await plant.http.get("/metrics")).text
        assert 'tickplant_worker_missing_trades{symbol="AAAUSDT",venue="binance"} 0.0' in metrics


async def test_stopping_at_any_moment_takes_no_time(redis_url: str, database_url: str) -> None:
    """Also while the hub is in the middle of asking Redis for more."""
    async with working(redis_url, database_url), publishing(redis_url) as publisher:

        async def publish() -> None:
            for number in range(1, 100_000):
                await publisher.publish([traded(number)])

        publishing_on = asyncio.create_task(publish())
        try:
            for number in range(10):
                async with (
                    asyncio.timeout(10),
                    running_plant(redis_url, database_url, symbols=[AAA]) as plant,
                ):
                    await live(plant)
                    await asyncio.sleep(number / 300)
        finally:
            publishing_on.cancel()
            await asyncio.wait([publishing_on])
