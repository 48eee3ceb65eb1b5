"""Signals over REST: in order of time, page by page, of a symbol or of all."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from api_plant import BTC, ETH, T0, Plant, all_pages, running_plant, trade
from conftest import on_one_variant

from db.signals import SignalRows
from tickplant.derived import Signal
from tickplant.intervals import SECOND_US
from tickplant.market import SymbolId

pytestmark = on_one_variant

Name = tuple[str, str, int]


def signal(strategy: str, number: int, at_s: int, symbol: SymbolId = BTC) -> Signal:
    values = {"price": 61837.63, "mean": 62500.5}
    return Signal(
        strategy, *symbol, number, T0 + at_s * SECOND_US, number * 10, "61837.63000000", "buy", 0.75, values
    )


SIGNALS = [
    signal("cross", 1, 0),
    signal("dip", 1, 1),
    signal("hop", 1, 1),
    signal("dip", 1, 1, ETH),
    signal("dip", 2, 3),
    signal("cross", 1, 4, ETH),
    signal("dip", 3, 5),
]


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await running.store(trade(1), trade(2, symbol=ETH))
        connection = await asyncpg.connect(database_url)
        async with connection.transaction():
            await SignalRows(0, SIGNALS[::-1], []).write(connection, "1-0")
        await connection.close()
        yield running


def name(signal: Signal) -> Name:
    return f"{signal.venue}:{signal.symbol}", signal.strategy, signal.number


def names(views: list[dict[str, Any]]) -> list[Name]:
    return [(view["symbol"], view["strategy"], view["number"]) for view in views]


async def test_a_signal_with_all_its_fields(plant: Plant) -> None:
    (found,) = (await plant.get("/api/v1/signals/BTCUSDT", strategy="hop"))["signals"]
    assert found == {
        "strategy": "hop",
        "symbol": "binance:BTCUSDT",
        "number": 1,
        "side": "buy",
        "strength": 0.75,
        "price": "61837.63000000",
        "trade_id": 10,
        "event_time": "2024-08-08T23:54:01.000000Z",
        "values": {"price": 61837.63, "mean": 62500.5},
    }


@pytest.mark.parametrize("symbol", [None, BTC])
async def test_pages_hold_every_signal_once_forward_and_backward(
    plant: Plant, symbol: SymbolId | None
) -> None:
    path = f"/api/v1/signals/{symbol}" if symbol else "/api/v1/signals"
    expected = [name(signal) for signal in SIGNALS if symbol in (None, (signal.venue, signal.symbol))]
    for limit in (1, 2, 3, 1000):
        forward = await all_pages(plant, path, "signals", limit=limit, start="2024-08-08T23:54:01.000000Z")
        assert [each for page in forward for each in names(page)] == expected[1:]
        backward = await all_pages(plant, path, "signals", limit=limit)
        assert [each for page in backward[::-1] for each in names(page)] == expected


async def test_of_a_strategy_and_a_stretch_of_time(plant: Plant) -> None:
    dips = [signal for signal in SIGNALS if signal.strategy == "dip"]
    middle = {"start": str((T0 + SECOND_US) // 1000), "end": "2024-08-08T23:54:05.000000Z"}
    for parameters, expected in (
        ({"strategy": "dip"}, dips),
        ({"strategy": "dip"} | middle, dips[:3]),
        ({"end": "2024-08-08T23:54:00.000000Z"}, []),
        ({"strategy": "mine"}, []),
    ):
        assert names((await plant.get("/api/v1/signals", **parameters))["signals"]) == [
            name(candle) for candle in expected
        ]


async def test_wrong_parameters_are_named(plant: Plant) -> None:
    after = (await plant.get("/api/v1/signals", limit=1))["next"]
    for path, parameters, parameter in (
        ("", {"strategy": "No such"}, "strategy"),
        ("", {"start": "yesterday"}, "start"),
        ("/BTCUSDT", {"side": "buy"}, "side"),
    ):
        answer = await plant.get(f"/api/v1/signals{path}", 400, **parameters)
        assert (answer["code"], answer["parameter"]) == ("bad_parameter", parameter)
    await plant.get("/api/v1/signals", 409, start="2000", end="1000")
    await plant.get("/api/v1/signals", 404, after=after, strategy="dip")
    await plant.get("/api/v1/signals/BTCUSDT", 404, after=after)
    assert (await plant.get("/api/v1/signals/BTCUSD", 404))["code"] == "unknown_symbol"
