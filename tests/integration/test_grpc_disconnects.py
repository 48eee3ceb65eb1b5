"""Streams over gRPC that are cut off again and again: the same closed candles and trades as without."""

import asyncio
import itertools
from typing import Any, NamedTuple

import grpc
import pytest
from api_plant import Plant, live, running_plant
from conftest import on_one_variant
from cutting import cutting
from grpc_plant import serving_grpc
from working import MINUTE_US, START_US, publishing, stored_count, trade, until, working

from tickplant.api.v1.market_data_pb2 import (
    CANDLE_FILTER_CLOSED,
    GetTradesRequest,
    StreamCandlesRequest,
    StreamTradesRequest,
)
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.market import SymbolId, Trade
from tickplant.time_parsing import parse_time_us

pytestmark = on_one_variant

AAA = SymbolId("binance", "AAAUSDT")
PER_MINUTE = 50
FAST = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 100)]


class Followed(NamedTuple):
    """What a client has got: ids of trades in order, and the last states of closed candles."""

    ids: list[int]
    candles: dict[int, tuple[str, int, bool]]


def traded(number: int) -> Trade:
    at_us = START_US + number * (MINUTE_US // PER_MINUTE)
    return trade(number, at_us=at_us, price=f"{100 + number % 37}.5", size="0.25")


async def follow(address: str, cursor: str, last_us: int) -> Followed:
    """Follow trades and closed candles until the candle that opens at a time."""
    followed = Followed([], {})
    options = [*FAST, ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        market: Any = MarketDataStub(channel)

        async def trades() -> None:
            since = cursor
            while True:
                call = market.StreamTrades(
                    StreamTradesRequest(symbols=[str(AAA)], cursor=since), wait_for_ready=True
                )
                try:
                    async for response in call:
                        assert not response.lost
                        followed.ids.extend(each.trade_id for each in response.trades)
                        since = response.cursor or since
                        if response.trades and response.trades[-1].event_time_us >= last_us + MINUTE_US:
                            return
                except grpc.aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise

        async def candles() -> None:
            since = cursor
            while last_us not in followed.candles:
                request = StreamCandlesRequest(symbols=[str(AAA)], filter=CANDLE_FILTER_CLOSED, cursor=since)
                try:
                    async for response in market.StreamCandles(request, wait_for_ready=True):
                        assert not response.lost
                        for each in response.candles:
                            state = each.volume, each.trade_count, each.complete
                            followed.candles[each.open_time_us] = state
                        since = response.cursor or since
                        if followed.candles.get(last_us, ("", 0, False))[2]:
                            return
                except grpc.aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise

        await asyncio.gather(trades(), candles())
    return followed


async def follow_websocket(plant: Plant, cursor: str, last_us: int) -> dict[int, tuple[str, int, bool]]:
    """Closed candles over the websocket, uninterrupted."""
    found: dict[int, tuple[str, int, bool]] = {}
    async with plant.socket() as socket:
        await socket.subscribe(f"candles:{AAA}:1m", since=cursor)
        while not found.get(last_us, ("", 0, False))[2]:
            view = (await socket.receive_until("candle"))["data"]
            if view["closed"]:
                opened = parse_time_us(view["open_time"])
                found[opened] = view["volume"], view["trade_count"], view["complete"]
    return found


@pytest.mark.parametrize("cuts", [5, pytest.param(50, marks=pytest.mark.slow)])
async def test_a_client_that_is_cut_off_gets_what_the_websocket_gets(
    redis_url: str, database_url: str, cuts: int
) -> None:
    count = cuts * 40 + 4 * PER_MINUTE
    last_us = START_US + (count // PER_MINUTE - 2) * MINUTE_US
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
        serving_grpc(plant) as served,
        publishing(redis_url) as publisher,
        cutting(f"http://{served.address}", cuts=cuts, most_bytes=4000) as proxy,
        asyncio.timeout(240),
    ):
        await live(plant)
        await publisher.publish([traded(1)])
        await until(lambda: stored_count(database_url), "a commit")
        await plant.caught_up(AAA)
        cursor = (await served.market.GetTrades(GetTradesRequest(symbol=str(AAA)))).cursor
        assert cursor
        followers = [
            asyncio.ensure_future(follow(proxy.address.removeprefix("http://"), cursor, last_us)),
            asyncio.ensure_future(follow(served.address, cursor, last_us)),
        ]
        websocket = asyncio.ensure_future(follow_websocket(plant, cursor, last_us))
        for first in range(2, count, 5):
            await publisher.publish([traded(number) for number in range(first, min(first + 5, count))])
            await asyncio.sleep(0.02 if proxy.cuts < cuts else 0)
        numbers = itertools.count(count)
        while proxy.cuts < cuts and not followers[0].done():
            await publisher.publish([traded(next(numbers))])
            await asyncio.sleep(0.02)
        cut_off, uninterrupted = await asyncio.gather(*followers)
        expected = await websocket
        assert proxy.cuts >= cuts
        for found in (cut_off, uninterrupted):
            assert found.ids == list(range(2, found.ids[-1] + 1))
            assert {opened: found.candles[opened] for opened in expected} == expected
        assert len(expected) >= count // PER_MINUTE - 2
