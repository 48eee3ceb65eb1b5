"""TradingView's UDF protocol, as its reference adapter reads it."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from api_plant import BTC, T0, Plant, running_plant, trade
from conftest import on_one_variant

from tickplant.intervals import MINUTE_US
from tickplant.times import to_datetime

pytestmark = on_one_variant

T0_S = T0 // 1_000_000


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=[BTC]) as running:
        prices = ("61837.63000000", "61838.10", "61836.5", "61839")
        minutes = (0, 1, 2, 30)
        made = zip(prices, minutes, strict=True)
        await running.store(
            *(
                trade(n, at_us=T0 + minute * MINUTE_US, price=price)
                for n, (price, minute) in enumerate(made, 1)
            )
        )
        yield running


async def get(plant: Plant, path: str, /, **parameters: Any) -> Any:
    return await plant.get(f"/udf/{path}", **parameters)


async def test_the_datafeed_says_what_it_supports(plant: Plant) -> None:
    config = await get(plant, "config")
    assert config["supports_search"]
    assert config["supports_marks"]
    assert config["supports_timescale_marks"]
    assert {"1", "3", "240", "1D", "3D", "1W", "1M"} < set(config["supported_resolutions"])
    assert (await plant.http.get("/udf/time")).text.isdecimal()


async def test_symbols_are_described_and_found(plant: Plant) -> None:
    symbol = await get(plant, "symbols", symbol="binance:BTCUSDT")
    assert (symbol["name"], symbol["ticker"], symbol["pricescale"]) == ("BTCUSDT", "binance:BTCUSDT", 100)
    assert (symbol["session"], symbol["timezone"], symbol["has_intraday"]) == ("24x7", "Etc/UTC", True)
    (found,) = await get(plant, "search", query="btc", type="", exchange="binance", limit=30)
    assert found["ticker"] == "binance:BTCUSDT"
    assert await get(plant, "search", query="nope", limit=30) == []
    unknown = await get(plant, "symbols", symbol="NOPE")
    assert unknown["s"] == "error"
    assert unknown["errmsg"].startswith("unknown_symbol")


async def history(plant: Plant, start_s: int, end_s: int, **more: Any) -> Any:
    window = {"symbol": "BTCUSDT", "resolution": "1", "from": start_s, "to": end_s}
    return await get(plant, "history", **(window | more))


async def test_history_has_columns_in_seconds_and_all_digits(plant: Plant) -> None:
    response = await plant.http.get(
        f"/udf/history?symbol=BTCUSDT&resolution=1&from={T0_S}&to={T0_S + 120}&countback=2"
    )
    assert '"c":[61837.63000000,61838.10]' in response.text
    found = response.json()
    assert (found["s"], found["t"]) == ("ok", [T0_S, T0_S + 60])
    assert set(found) == {"s", "t", "o", "h", "l", "c", "v"}


async def test_history_has_the_candles_of_a_range_and_two_at_least(plant: Plant) -> None:
    assert (await history(plant, T0_S + 1800, T0_S + 1860))["t"] == [T0_S + 120, T0_S + 1800]
    assert (await history(plant, T0_S, T0_S + 1860))["t"] == [T0_S, T0_S + 60, T0_S + 120, T0_S + 1800]
    assert len((await history(plant, 0, T0_S + 1860, resolution="D"))["t"]) == 2


async def test_history_that_is_counted_back_ignores_its_start(plant: Plant) -> None:
    newest = [T0_S + 60, T0_S + 120, T0_S + 1800]
    for start_s in (T0_S - 600, T0_S + 1800):
        assert (await history(plant, start_s, T0_S + 1860, countback=3))["t"] == newest
    assert (await history(plant, T0_S, T0_S + 1860, countback=1))["t"] == [T0_S + 1800]
    without_candles = T0_S + 600, T0_S + 900
    assert (await history(plant, *without_candles, countback=2))["t"] == [T0_S + 60, T0_S + 120]
    assert (await history(plant, *without_candles, countback=300))["t"] == [T0_S, T0_S + 60, T0_S + 120]
    assert await history(plant, T0_S - 600, T0_S, countback=2) == {"s": "no_data"}


async def test_a_range_without_candles_names_the_next_older_one(plant: Plant) -> None:
    assert await history(plant, T0_S + 600, T0_S + 900) == {"s": "no_data", "nextTime": T0_S + 120}
    assert await history(plant, T0_S - 600, T0_S) == {"s": "no_data"}


@pytest.mark.parametrize(
    "wrong", [{"resolution": "7"}, {"symbol": "NOPE"}, {"from": "x"}, {"countback": "x"}]
)
async def test_errors_have_status_200_and_a_message(plant: Plant, wrong: dict[str, str]) -> None:
    answer = await history(plant, T0_S, T0_S + 60, **wrong)
    assert answer["s"] == "error"
    assert answer["errmsg"]


async def test_quotes(plant: Plant) -> None:
    answer = await get(plant, "quotes", symbols="binance:BTCUSDT,BTCUSDT")
    assert answer["s"] == "ok"
    assert [quote["n"] for quote in answer["d"]] == ["binance:BTCUSDT", "BTCUSDT"]
    assert answer["d"][0]["v"]["lp"] == 61839
    assert answer["d"][0]["v"]["short_name"] == "BTCUSDT"


async def test_marks_are_of_signals_in_the_range(plant: Plant) -> None:
    connection = await asyncpg.connect(plant.database_url)
    await connection.execute(
        "insert into signals (strategy, venue, symbol, number, event_time, trade_id, price, side, strength,"
        " \"values\", entry_id) values ('cross', $1, $2, 1, $3, 1, 61837.63, 'buy', 0.5, '{}', '1-0')",
        *BTC,
        to_datetime(T0),
    )
    await connection.close()
    window = {"symbol": "BTCUSDT", "from": T0_S - 60, "to": T0_S + 60, "resolution": "1"}
    marks = await get(plant, "marks", **window)
    assert (marks["id"], marks["time"], marks["label"]) == (["signal-cross-1"], [T0_S], ["S"])
    (mark,) = await get(plant, "timescale_marks", **window)
    assert mark["tooltip"] == ["cross: buy at 61837.63"]
    assert (await get(plant, "marks", **(window | {"to": T0_S - 30})))["id"] == []
