"""The clients over a live plant: after any disconnects they have exactly what an uninterrupted one has."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from api_plant import Plant as Server
from api_plant import live, running_plant
from conftest import on_one_variant
from cutting import CuttingProxy, cutting
from events import streaming
from typescript_client import run_typescript
from working import MINUTE_US, START_US, publishing, stored_count, trade, until, working

from ingest.publisher import Publisher
from tickplant.client import Candle, Plant, PlantError
from tickplant.market import SymbolId, Trade
from tickplant.streams import live_stream, partition_of

pytestmark = on_one_variant

SYMBOL = "binance:AAAUSDT"
AAA = SymbolId("binance", "AAAUSDT")
CUTS = 200
"""Of both iterators of a client, which have a connection each."""
PER_MINUTE = 100
LAST_SIZE = "5000.25"

Followed = tuple[list[int], dict[str, Any]]
"""Ids of trades in order, and the last states of closed candles."""


def traded(number: int, size: str = "0.25") -> Trade:
    at_us = START_US + number * (MINUTE_US // PER_MINUTE)
    return trade(number, at_us=at_us, price=f"{100 + number % 37}.5", size=size)


async def follow_python(address: str, cursor: str) -> Followed:
    async with Plant(address) as plant:

        async def trades() -> list[int]:
            found: list[int] = []
            async for each in plant.trades(SYMBOL, since=cursor):
                found.append(each.trade_id)
                if each.size == Decimal(LAST_SIZE):
                    break
            return found

        async def candles() -> dict[str, Any]:
            found: dict[str, Any] = {}
            async for each in plant.candles(SYMBOL, "1m", since=cursor, closed=True):
                found[text(each)["open_time"]] = text(each)
                if each.complete and each.volume > Decimal(LAST_SIZE):
                    break
            return found

        ids, closed = await asyncio.gather(trades(), candles())
        return ids, closed


async def follow_typescript(address: str, cursor: str) -> Followed:
    found = await run_typescript("follow.mjs", address, SYMBOL, cursor, LAST_SIZE)
    return found["trades"], found["candles"]


def text(candle: Candle) -> dict[str, Any]:
    """A candle as the API sends it."""

    def field(value: object) -> object:
        if isinstance(value, Decimal):
            return format(value, "f")
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if hasattr(value, "strftime") else value

    return {name: field(getattr(candle, name)) for name in candle.__struct_fields__}


async def follow_events(address: str, cursor: str) -> Followed:
    """Follow server-sent events as a browser does."""
    trades: list[dict[str, Any]] = []
    closed: dict[str, Any] = {}
    last_id: str | None = None
    channels = f"trades:{SYMBOL}", f"candles:{SYMBOL}:1m"
    async with httpx.AsyncClient(base_url=address, timeout=30) as http:
        while True:
            try:
                async with streaming(http, *channels, since=cursor, last_id=last_id) as events:
                    while event := await events.next():
                        assert event.message.get("recovered", True)
                        if event.message["type"] == "trades":
                            trades += event.message["data"]
                        view: dict[str, Any] = event.message.get("data") or {}
                        if event.message["type"] == "candle" and view["closed"]:
                            closed[view["open_time"]] = view
                            if view["complete"] and Decimal(view["volume"]) > Decimal(LAST_SIZE):
                                return up_to_last(trades), closed
                        last_id = event.id
            except httpx.TransportError:
                pass


def up_to_last(trades: list[dict[str, Any]]) -> list[int]:
    (last,) = [number for number, view in enumerate(trades) if view["size"] == LAST_SIZE]
    return [view["trade_id"] for view in trades[: last + 1]]


FOLLOWERS = [
    pytest.param(follow_python, id="python"),
    pytest.param(follow_typescript, id="typescript"),
]
EVENTS = pytest.param(follow_events, id="events")


@asynccontextmanager
async def started(redis_url: str, database_url: str) -> AsyncIterator[tuple[Server, Publisher, str]]:
    """A plant with one trade, and the cursor after it."""
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as server,
        publishing(redis_url) as publisher,
    ):
        await live(server)
        await publisher.publish([traded(1)])
        await until(lambda: stored_count(database_url), "a commit")
        await server.caught_up(AAA)
        yield server, publisher, (await server.get(f"/api/v1/trades/{SYMBOL}"))["cursor"]


async def publish_last(publisher: Publisher, number: int) -> None:
    """Publish the last trade that followers wait for, and what closes its candle."""
    await publisher.publish([traded(number, LAST_SIZE)])
    await publisher.publish([traded(number + each) for each in range(1, 2 * PER_MINUTE)])


@pytest.mark.parametrize("follow", [*FOLLOWERS, EVENTS])
async def test_a_client_cut_off_a_hundred_times_gets_what_an_uninterrupted_one_gets(
    redis_url: str, database_url: str, follow: Callable[[str, str], Awaitable[Followed]]
) -> None:
    async with (
        started(redis_url, database_url) as (server, publisher, cursor),
        cutting(server.address, cuts=CUTS) as proxy,
        asyncio.timeout(180),
    ):
        interrupted = asyncio.ensure_future(follow(proxy.address, cursor))
        uninterrupted = asyncio.ensure_future(follow_python(server.address, cursor))
        numbers = itertools.count(2)
        while proxy.cuts < CUTS and not interrupted.done():
            await publisher.publish([traded(next(numbers)) for _ in range(5)])
            await asyncio.sleep(0.02)
        last = next(numbers)
        await publish_last(publisher, last)
        ids, candles = await interrupted
        assert proxy.cuts >= CUTS
        assert ids == list(range(2, last + 1))
        assert (ids, candles) == await uninterrupted
        pages = [page async for page in stored_candles(server)]
        assert candles == {candle["open_time"]: candle for candle in pages if candle["open_time"] in candles}
        assert len(candles) >= last // PER_MINUTE


async def stored_candles(server: Server) -> AsyncIterator[dict[str, Any]]:
    async with Plant(server.address) as plant:
        async for candle in plant.candles(SYMBOL, "1m", closed=True).history():
            yield text(candle)


@pytest.mark.parametrize("follow", FOLLOWERS)
async def test_what_the_live_stream_no_longer_has_is_read_from_history(
    redis_url: str, database_url: str, follow: Callable[[str, str], Awaitable[Followed]]
) -> None:
    async with (
        started(redis_url, database_url) as (server, publisher, cursor),
        cutting(server.address) as proxy,
        asyncio.timeout(120),
    ):
        task = asyncio.ensure_future(follow(proxy.address, cursor))
        await connected(server, 2)
        await publisher.publish([traded(number) for number in range(2, 500)])
        await until(lambda: _stored(database_url, 499), "commits")
        await sent_to_clients(proxy)
        proxy.cut_all()
        await publisher.publish([traded(number) for number in range(500, 3500)])
        await until(lambda: _stored(database_url, 3499), "commits")
        await server.caught_up(AAA)
        newest = (await server.get(f"/api/v1/trades/{SYMBOL}"))["cursor"].split(".")[1]
        await server.redis.xtrim(live_stream(partition_of(*AAA, 4)), minid=newest, approximate=False)
        proxy.passing.set()
        await connected(server, 2)
        await publish_last(publisher, 3500)
        ids, candles = await task
        assert ids == list(range(2, 3501))
        assert candles == {
            candle["open_time"]: candle
            async for candle in stored_candles(server)
            if candle["open_time"] in candles
        }
        assert len(candles) == 36


async def _stored(url: str, count: int) -> bool:
    return await stored_count(url) >= count


async def connected(server: Server, count: int) -> None:
    """Wait until so many websockets are subscribed."""

    async def enough() -> bool:
        return sum(len(client.channels) for client in server.services.hub.clients) >= count

    await until(enough, "subscriptions")


async def sent_to_clients(proxy: CuttingProxy) -> None:
    """Wait until nothing more is sent to the clients."""
    before = -1
    while before != proxy.forwarded_bytes:
        before = proxy.forwarded_bytes
        await asyncio.sleep(0.3)


async def test_a_refusal_is_raised_with_similar_names(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url) as server, Plant(server.address) as plant:
        await live(server)
        with pytest.raises(PlantError) as refused:
            await anext(aiter(plant.trades("binance:BTCUSD")))
        assert (refused.value.code, refused.value.near[0]) == ("unknown_symbol", "binance:BTCUSDT")
        with pytest.raises(PlantError, match="did you mean"):
            await plant.get("price/binance:BTCUSD")
        with pytest.raises(PlantError) as lost:
            await anext(aiter(plant.trades("binance:BTCUSDT", since="3.1-1")))
        assert lost.value.code == "not_recoverable"
