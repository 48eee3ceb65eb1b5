"""The market overview, and the completeness of days."""

from collections.abc import AsyncIterator

import pytest
from api_plant import BTC, ETH, T0, Plant, gap, running_plant, trade
from conftest import on_one_variant

from tickplant.intervals import HOUR_US, MINUTE_US
from tickplant.market import SymbolId

pytestmark = on_one_variant
UNKNOWN = SymbolId("finnhub", "OANDA:XAU")


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        yield running


async def test_the_overview_has_all_symbols_in_one_answer(plant: Plant) -> None:
    hours = [trade(number, at_us=T0 + number * HOUR_US, price=f"{100 + number}.50") for number in range(3)]
    await plant.store(*hours, trade(5, at_us=T0 + 2 * HOUR_US + 1, price="90"))
    await plant.store(trade(1, symbol=ETH))
    await plant.store(trade(1, symbol=UNKNOWN), numbered=False)
    await plant.store_gaps(gap(3, 4), gap(1, 1, state="healed"))
    rows = (await plant.get("/api/v1/overview"))["symbols"]
    assert [row["symbol"] for row in rows] == [str(BTC), str(ETH), str(UNKNOWN)]
    changes = {row["symbol"]: row for row in (await plant.get("/api/v1/24h-change"))["symbols"]}
    for row in rows:
        change = changes[row["symbol"]]
        assert {name: row[name] for name in change} == change
    assert [(row["quote"], row["gaps"], row["missing_trades"]) for row in rows] == [
        ("USDT", 1, 2),
        ("USDT", 0, 0),
        (None, 0, None),
    ]


async def test_closes_are_those_of_the_hours_in_the_window(plant: Plant) -> None:
    hours = [trade(number, at_us=T0 + number * HOUR_US, price=f"{number}.50") for number in range(30)]
    await plant.store(*hours, closed_until_us=T0 + 30 * HOUR_US)
    (row,) = (await plant.get("/api/v1/overview"))["symbols"]
    shown = (await plant.get("/api/v1/ohlcv/BTCUSDT", interval="1h", start=row["start"][:13] + ":00:00Z"))[
        "candles"
    ]
    assert row["closes"] == [candle["close"] for candle in shown]
    assert 24 <= len(row["closes"]) <= 25


async def test_an_empty_plant_has_an_empty_overview(plant: Plant) -> None:
    assert await plant.get("/api/v1/overview") == {"symbols": []}


async def test_completeness_of_the_last_days(plant: Plant) -> None:
    minutes = [trade(number, at_us=T0 + number * MINUTE_US) for number in range(10)]
    await plant.store(*minutes, closed_until_us=T0 + 9 * MINUTE_US + 1)
    days = (await plant.get("/api/v1/completeness/BTCUSDT", days=7))["days"]
    assert [(day["day"], day["minutes"], day["incomplete"], day["late"]) for day in days] == [
        ("2024-08-09", 4, 1, 0),
        ("2024-08-08", 6, 0, 0),
    ]
    today = await plant.get("/api/v1/completeness/BTCUSDT")
    assert today == {"symbol": str(BTC), "days": days[:1]}
    assert (await plant.get("/api/v1/completeness/ETHUSDT"))["days"] == []
    await plant.get("/api/v1/completeness/nosuch", 404)
    await plant.get("/api/v1/completeness/BTCUSDT", 400, days=0)
