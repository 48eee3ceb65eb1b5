"""Averages, the last 24 hours and statistics over REST, and the last 24 hours over websockets."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from api_plant import BTC, ETH, T0, Plant, all_pages, live, running_plant, trade
from conftest import on_one_variant
from msgspec.structs import replace

from tickplant.averages import AverageSpec, average
from tickplant.intervals import MINUTE_US
from tickplant.market import Trade
from tickplant.times import format_time, to_datetime

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        yield running


def minutes(count: int) -> list[Trade]:
    """A trade a minute from T0 on, but for every seventh; its price is 100 and its number."""
    numbers = [number for number in range(count) if number % 7 != 6]
    return [trade(number, at_us=T0 + number * MINUTE_US, price=str(100 + number)) for number in numbers]


async def test_means_of_the_last_trades(plant: Plant) -> None:
    await plant.store(
        trade(1, at_us=T0, price="1000", size="5"),
        trade(2, at_us=T0 + 1, price="10", size="3"),
        trade(3, at_us=T0 + 60_000_000, price="10.5", size="1"),
        trade(4, at_us=T0 + 60_000_000, price="11.5", size="0"),
        closed_until_us=T0 + 300_000_000,
    )
    found = await plant.get("/api/v1/moving-average/BTCUSDT")
    assert found == {
        "symbol": str(BTC),
        "period": "5m",
        "after": "2024-08-08T23:54:00.000000Z",
        "until": "2024-08-08T23:59:00.000000Z",
        "trade_count": 3,
        "first_event_time": "2024-08-08T23:54:00.000001Z",
        "last_event_time": "2024-08-08T23:55:00.000000Z",
        "mean": "10.6666666666666667",
        "weighted_mean": "10.125",
        "volume": "4",
        "quote_volume": "40.5",
    }
    assert await plant.get("/api/v1/moving-average/BTCUSDT", period="300s") == {**found, "period": "300s"}
    assert (await plant.get("/api/v1/moving-average/BTCUSDT", period="1d"))["trade_count"] == 4
    none = await plant.get("/api/v1/moving-average/BTCUSDT", period="1m")
    assert (none["trade_count"], none["mean"], none["weighted_mean"], none["volume"]) == (0, None, None, "0")


@pytest.mark.parametrize("kind", ["sma", "ema", "wma"])
async def test_pages_of_an_average_hold_every_value_once(plant: Plant, kind: Any) -> None:
    trades = minutes(60)
    await plant.store(*trades)
    closes = [float(trade.price) for trade in trades[:-1]]  # the last minute is still open
    spec = AverageSpec(kind, 4)
    expected = [
        {
            "open_time": format_time(trades[index].event_time_us),
            "close_time": format_time(trades[index].event_time_us + MINUTE_US),
            "value": average(spec, closes[: index + 1]),
        }
        for index in range(3, len(closes))
    ]
    requested = {"interval": "1m", "kind": kind, "length": 4}
    path = "/api/v1/moving-average/BTCUSDT"
    whole = await plant.get(path, **requested)
    assert whole["averages"] == expected
    assert (whole["symbol"], whole["interval"], whole["kind"], whole["length"]) == (str(BTC), "1m", kind, 4)
    back = await all_pages(plant, path, "averages", **requested, limit=7)
    assert [row for page in reversed(back) for row in page] == expected
    start, end = expected[5]["open_time"], expected[20]["open_time"]
    pages = await all_pages(plant, path, "averages", **requested, start=start, end=end, limit=4)
    assert [len(page) for page in pages] == [4, 4, 4, 3]
    assert [row for page in pages for row in page] == expected[5:20]


async def test_an_average_of_candles_that_are_not_there_is_empty(plant: Plant) -> None:
    path = "/api/v1/moving-average/BTCUSDT"
    assert (await plant.get(path, kind="sma"))["averages"] == []
    await plant.store(*minutes(10))
    assert (await plant.get(path, length=20))["averages"] == []
    assert len((await plant.get(path, length=1, interval="5m"))["averages"]) == 2


WRONG: dict[str, tuple[dict[str, Any], ...]] = {
    "period": ({"period": "5 minutes"}, {"period": "0m"}, {"period": "25h"}, {"period": ""}),
    "interval": ({"interval": "1s"}, {"interval": "2m", "kind": "sma"}),
    "kind": ({"kind": "tma"},),
    "length": ({"length": 0}, {"length": 501}),
}


async def test_wrong_parameters_of_averages_are_named(plant: Plant) -> None:
    for parameter, cases in WRONG.items():
        for parameters in cases:
            problem = await plant.get("/api/v1/moving-average/BTCUSDT", 400, **parameters)
            assert problem["parameter"] == parameter, parameters


async def test_what_has_not_traded_has_no_means_and_no_change(plant: Plant) -> None:
    for path in ("moving-average", "24h-change"):
        assert (await plant.get(f"/api/v1/{path}/ETHUSDT", 404))["code"] == "no_price"
        assert (await plant.get(f"/api/v1/{path}/NOSUCH", 404))["code"] == "unknown_symbol"
    assert await plant.get("/api/v1/24h-change") == {"symbols": []}


async def test_the_last_24_hours_of_a_symbol(plant: Plant) -> None:
    begin_us = T0 + 10 * MINUTE_US  # the window of the last trade, which is of the minute after 24 hours
    prices = {begin_us - 1: "1", begin_us: "80", T0 + 60 * MINUTE_US: "40", T0 + 1449 * MINUTE_US + 7: "90.5"}
    await plant.store(
        *(
            trade(number, at_us=at_us, price=price, size="2")
            for number, (at_us, price) in enumerate(prices.items())
        )
    )
    assert await plant.get("/api/v1/24h-change/BTCUSDT") == {
        "symbol": str(BTC),
        "start": "2024-08-09T00:04:00.000000Z",
        "until": "2024-08-10T00:03:00.000007Z",
        "covers_from": "2024-08-09T00:04:00.000000Z",
        "covers_s": 86340,
        "partial": False,
        "open": "80",
        "last": "90.5",
        "high": "90.5",
        "low": "40",
        "change": "10.5",
        "percent": "13.125000",
        "volume": "6",
        "quote_volume": "421.0",
        "trade_count": 3,
    }


@pytest.mark.parametrize("first_minute", [1, 600, 1438])
async def test_statistics_of_less_than_24_hours_state_what_they_cover(
    plant: Plant, first_minute: int
) -> None:
    """The window is of whole days apart from the first and the last, of which the first trade may be any."""
    until_us, first_us = T0 + 1440 * MINUTE_US, T0 + first_minute * MINUTE_US + 30_000_001
    await plant.store(trade(1, at_us=first_us, price="10"), trade(2, at_us=until_us, price="11"))
    for found in (
        await plant.get("/api/v1/24h-change/BTCUSDT"),
        (await plant.get("/api/v1/24h-change"))["symbols"][0],
    ):
        assert (found["covers_from"], found["partial"]) == (format_time(first_us), True)
        assert found["covers_s"] == (until_us - first_us) // 1_000_000
        assert (found["change"], found["percent"]) == ("1", "10.000000")


async def test_the_last_24_hours_of_all_symbols_in_any_order(plant: Plant) -> None:
    sol = replace(trade(1), symbol="SOLUSDT")
    await plant.store(trade(1, price="10", size="1"), trade(2, price="5", size="1"))
    await plant.store(trade(1, price="10", size="9", symbol=ETH), trade(2, price="11", size="1", symbol=ETH))
    await plant.store(sol, closed_until_us=T0 + 3_000 * MINUTE_US)

    async def order(**parameters: Any) -> list[str]:
        found = await plant.get("/api/v1/24h-change", **parameters)
        return [symbol["symbol"].removeprefix("binance:")[:3] for symbol in found["symbols"]]

    assert await order() == await order(sort="volume") == ["ETH", "BTC", "SOL"]
    assert await order(sort="quote_volume", order="asc") == ["SOL", "BTC", "ETH"]
    assert await order(sort="percent") == ["ETH", "BTC", "SOL"]
    assert await order(sort="percent", order="asc") == ["BTC", "ETH", "SOL"]  # unknown is last
    assert await order(sort="symbol", order="asc", limit=2) == ["BTC", "ETH"]
    whole = (await plant.get("/api/v1/24h-change", sort="symbol"))["symbols"]
    assert whole[-1] == await plant.get("/api/v1/24h-change/BTCUSDT")
    assert (whole[0]["open"], whole[0]["percent"], whole[0]["trade_count"]) == (None, None, 0)
    assert (await plant.get("/api/v1/24h-change", 400, sort="price"))["parameter"] == "sort"


async def test_pages_of_statistics(plant: Plant) -> None:
    rows = [
        (BTC.venue, BTC.symbol, to_datetime(T0 + number * MINUTE_US), number, 0.25, *(None,) * 5)
        for number in range(5)
    ]
    connection = await asyncpg.connect(plant.database_url)
    await connection.copy_records_to_table("statistics", records=rows)
    await connection.close()
    path = "/api/v1/statistics/BTCUSDT"
    assert (await plant.get(path))["statistics"][0] == {
        "open_time": "2024-08-08T23:54:00.000000Z",
        "close_time": "2024-08-08T23:55:00.000000Z",
        "points": 0,
        "return": 0.25,
        "mean": None,
        "stddev": None,
        "zscore": None,
        "q1": None,
        "q3": None,
    }
    header, *lines = (await plant.http.get(path, params={"format": "csv"})).text.split()
    assert header == "open_time,close_time,points,return,mean,stddev,zscore,q1,q3"
    assert lines[0] == "2024-08-08T23:54:00.000000Z,2024-08-08T23:55:00.000000Z,0,0.25,,,,,"
    assert len(lines) == len(rows)
    for parameters, expected in (
        ({}, [[3, 4], [1, 2], [0]]),
        ({"start": "2024-08-08T23:55:00.000000Z"}, [[1, 2], [3, 4]]),
    ):
        pages = await all_pages(plant, path, "statistics", limit=2, **parameters)
        assert [[row["points"] for row in page] for page in pages] == expected


async def test_percents_are_rounded_only_once(plant: Plant) -> None:
    await plant.store(trade(1, price="3"), trade(2, price="1"))
    assert (await plant.get("/api/v1/24h-change/BTCUSDT"))["percent"] == "-66.666667"


async def test_a_client_is_sent_24_hour_statistics_when_they_change(plant: Plant) -> None:
    await live(plant)
    await plant.store(trade(1, price="10"))
    async with plant.socket() as socket:
        channels = ["stats:binance:BTCUSDT", "stats:binance:ETHUSDT"]
        assert (await socket.subscribe("stats"))["channels"] == channels
        first = await plant.get("/api/v1/24h-change/BTCUSDT")
        assert await socket.receive() == {"type": "snapshot", "channel": channels[0], "data": first}
        assert await socket.receive() == {"type": "snapshot", "channel": channels[1], "data": None}
        await plant.store(trade(2, price="9", symbol=ETH))
        await plant.store(trade(2, price="11"))
        received = {(message := await socket.receive())["channel"]: message for _ in channels}
        assert [received[channel]["type"] for channel in channels] == ["stats", "stats"]
        assert received[channels[0]]["data"] == await plant.get("/api/v1/24h-change/BTCUSDT")
        assert received[channels[1]]["data"] == await plant.get("/api/v1/24h-change/ETHUSDT")
        async with plant.socket() as other:
            await other.subscribe("stats:BTCUSDT", since="3.1-0")
            assert (await other.receive())["data"] == received[channels[0]]["data"]
        await socket.ask(op="unsubscribe", id=2, channels=["stats:BTCUSDT"])
        assert (await socket.receive())["channels"] == channels[:1]
