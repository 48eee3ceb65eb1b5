"""Binance's routes and streams, as its documentation describes them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from api_plant import BTC, T0, Plant, candle, live, running_plant, trade, update
from conftest import on_one_variant
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tickplant.intervals import CANDLE_INTERVALS, MINUTE_US
from tickplant.market import SymbolId

pytestmark = on_one_variant

KRAKEN = SymbolId("kraken", "BTC/USD")


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=(BTC, KRAKEN)) as running:
        await live(running)
        yield running


async def get(plant: Plant, path: str, status: int = 200, /, **parameters: Any) -> Any:
    return await plant.get(f"/binance/api/v3/{path}", status, **parameters)


@asynccontextmanager
async def streams(plant: Plant, path: str) -> AsyncIterator[ClientConnection]:
    async with connect(plant.address.replace("http://", "ws://") + f"/binance/{path}") as connection:
        yield connection


async def receive(connection: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await connection.recv())


async def test_the_venue_answers_and_tells_the_time(plant: Plant) -> None:
    assert await get(plant, "ping") == {}
    assert list(await get(plant, "time")) == ["serverTime"]


async def test_symbols_have_assets_and_the_steps_of_what_is_stored(plant: Plant) -> None:
    await plant.store(trade(1, price="61837.63000000", size="0.02100000"))
    await plant.store(trade(1, price="61837.6", size="3", symbol=KRAKEN))
    (symbol,) = (await get(plant, "exchangeInfo"))["symbols"]
    filters = {found["filterType"]: found for found in symbol["filters"]}
    assert (symbol["symbol"], symbol["baseAsset"], symbol["quoteAsset"]) == ("BTCUSDT", "BTC", "USDT")
    assert symbol["status"] == "TRADING"
    assert "contractType" not in symbol
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00100000"
    (symbol,) = (await plant.get("/binance/kraken/api/v3/exchangeInfo"))["symbols"]
    assert (symbol["symbol"], symbol["baseAsset"], symbol["quoteAsset"]) == ("BTC/USD", "BTC", "USD")
    assert [
        found["symbol"] for found in (await get(plant, "exchangeInfo", symbols='["BTCUSDT"]'))["symbols"]
    ] == ["BTCUSDT"]
    for contracts in ("fapi", "dapi"):
        assert (await plant.get(f"/binance/{contracts}/v1/exchangeInfo"))["symbols"] == []


async def test_candles_have_twelve_columns_and_repeat_the_close_where_nothing_was_traded(
    plant: Plant,
) -> None:
    await plant.store(
        trade(1, at_us=T0, price="5.0", size="2"),
        trade(2, at_us=T0 + 1, price="6.50", size="0.10"),
        trade(3, at_us=T0 + 2 * MINUTE_US, price="7"),
    )
    opened_ms = T0 // 1000
    first = [
        opened_ms,
        "5.0",
        "6.50",
        "5.0",
        "6.50",
        "2.10",
        opened_ms + 59_999,
        "10.6500",
        2,
        "2",
        "10.0",
        "0",
    ]
    rows = await get(plant, "klines", symbol="BTCUSDT", interval="1m")
    assert rows[0] == first
    assert rows[1][1:6] == ["6.50", "6.50", "6.50", "6.50", "0"]
    assert rows[1][8] == 0
    assert [row[0] for row in rows] == [opened_ms, opened_ms + 60_000, opened_ms + 120_000]
    assert await get(plant, "klines", symbol="BTCUSDT", interval="1m", startTime=0, limit=1) == [first]
    assert await get(plant, "uiKlines", symbol="BTCUSDT", interval="1m", limit=5000) == rows
    one = {"startTime": opened_ms + 60_000, "endTime": opened_ms + 60_000}
    assert await get(plant, "klines", symbol="BTCUSDT", interval="1m", **one) == [rows[1]]
    assert await get(plant, "klines", symbol="BTCUSDT", interval="1m", endTime=opened_ms, timeZone="0") == [
        first
    ]


async def test_every_interval_is_served(plant: Plant) -> None:
    await plant.store(trade(1))
    for name, interval in CANDLE_INTERVALS.items():
        (row,) = await get(plant, "klines", symbol="BTCUSDT", interval=name)
        opened_us = interval.floor(T0 + 1_000_000)
        assert (row[0], row[6]) == (opened_us // 1000, interval.after(opened_us) // 1000 - 1)


async def test_trades_are_found_by_time_and_id(plant: Plant) -> None:
    await plant.store(*(trade(number, price="61837.63", size="0.5") for number in range(1, 8)))
    rows = await get(plant, "trades", symbol="BTCUSDT", limit=2)
    assert rows == [
        {
            "id": number,
            "price": "61837.63",
            "qty": "0.5",
            "quoteQty": "30918.815",
            "time": T0 // 1000 + number * 1000,
            "isBuyerMaker": number % 2 == 0,
            "isBestMatch": True,
        }
        for number in (6, 7)
    ]
    found = await get(plant, "historicalTrades", symbol="BTCUSDT", fromId=3, limit=2)
    assert [row["id"] for row in found] == [3, 4]
    found = await get(
        plant, "aggTrades", symbol="BTCUSDT", startTime=T0 // 1000 + 2000, endTime=T0 // 1000 + 4000
    )
    assert [(row["a"], row["f"], row["l"], row["T"]) for row in found] == [
        (number, number, number, T0 // 1000 + number * 1000) for number in (2, 3, 4)
    ]
    assert await get(plant, "aggTrades", symbol="BTCUSDT", fromId=8) == []


async def test_tickers(plant: Plant) -> None:
    await plant.store(
        trade(1, price="4", size="1"), trade(2, price="5.0", size="2"), trade(3, price="4.5", size="3")
    )
    full = await get(plant, "ticker/24hr", symbol="BTCUSDT")
    assert (full["openPrice"], full["highPrice"], full["lowPrice"], full["lastPrice"]) == (
        "4",
        "5.0",
        "4",
        "4.5",
    )
    assert (full["firstId"], full["lastId"], full["count"], full["lastQty"]) == (1, 3, 3, "3")
    assert (full["priceChange"], full["priceChangePercent"]) == ("0.5", "12.500000")
    assert (full["volume"], full["quoteVolume"], full["bidQty"]) == ("6", "27.5", "0.00000000")
    assert await get(plant, "ticker/24hr") == [full]
    mini = await get(plant, "ticker/24hr", symbols='["BTCUSDT"]', type="MINI")
    assert "bidQty" not in mini[0]
    assert await get(plant, "ticker/price", symbol="BTCUSDT") == {"symbol": "BTCUSDT", "price": "4.5"}
    average = await get(plant, "avgPrice", symbol="BTCUSDT")
    assert average["mins"] == 5
    assert Decimal(average["price"]) == (Decimal("27.5") / 6).quantize(Decimal(10) ** -18)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("klines?symbol=NOPE&interval=1m", -1121),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("klines?symbol=BTCUSDT", -1102),
        ("klines?symbol=BTCUSDT&interval=1m&limit=x", -1102),
        ("klines?symbol=BTCUSDT&interval=1m&limit=0", -1100),
        ("klines?symbol=BTCUSDT&interval=1m&start=4", -1104),
        ("klines?symbol=BTCUSDT&symbol=BTCUSDT&interval=1m", -1102),
        ("klines?symbol=BTCUSDT&interval=1m&timeZone=8", -1100),
        ("trades", -1102),
        ("trades?symbol=BTCUSDT&fromId=" + "9" * 30, -1102),
        ("ticker/24hr?symbols=[", -1100),
        ("ticker/price?symbol=ETHUSDT", -1121),
        ("exchangeInfo?symbol=NOPE", -1121),
    ],
)
async def test_errors_have_a_code_and_a_message(plant: Plant, path: str, code: int) -> None:
    response = await plant.http.get(f"/binance/api/v3/{path}")
    assert response.status_code == 400
    answer = response.json()
    assert answer["code"] == code
    assert answer["msg"]
    assert list(answer) == ["code", "msg"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "api/v3/ticker/bookTicker", 404),
        ("GET", "nowhere/api/v3/exchangeInfo", 404),
        ("GET", "nowhere/api/v3/ping", 404),
        ("GET", "%00/api/v3/ping", 404),
        ("GET", "nowhere/api/v3/klines?symbol=BTCUSDT&interval=1m", 404),
        ("POST", "api/v3/ping", 405),
        ("DELETE", "kraken/api/v3/time", 405),
        ("GET", "", 404),
    ],
)
async def test_what_does_not_exist_is_refused_as_binance_does(
    plant: Plant, method: str, path: str, status: int
) -> None:
    response = await plant.http.request(method, f"/binance/{path}")
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    answer = response.json()
    assert (list(answer), answer["code"]) == (["code", "msg"], -1000)
    assert answer["msg"]
    assert ("GET" in response.headers.get("Allow", "")) == (status == 405)


async def test_venues_of_symbols_answer(plant: Plant) -> None:
    assert await plant.get("/binance/kraken/api/v3/ping") == {}
    assert await plant.get("/binance/Kraken/fapi/v1/exchangeInfo")


@pytest.mark.parametrize(("path", "status"), [("stream/stream", 404), ("nowhere/ws/btcusdt@trade", 404)])
async def test_handshakes_are_refused_as_binance_does(plant: Plant, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with streams(plant, path):
            pass
    response = refused.value.response
    assert response.status_code == status
    assert list(json.loads(response.body or b"")) == ["code", "msg"]


@pytest.mark.parametrize(
    ("method", "path", "status", "advice"),
    [("GET", "depth", 404, "no such path"), ("POST", "klines", 405, "Only GET"), ("POST", "order", 404, "")],
)
async def test_paths_and_methods_that_are_not_served_have_a_code_and_a_message(
    plant: Plant, method: str, path: str, status: int, advice: str
) -> None:
    response = await plant.http.request(method, f"/binance/api/v3/{path}")
    assert response.status_code == status
    answer = response.json()
    assert (list(answer), answer["code"]) == (["code", "msg"], -1000)
    assert advice in answer["msg"]
    assert ("allow" in response.headers) == (status == 405)


async def test_a_stream_in_the_address_sends_changes(plant: Plant) -> None:
    await plant.store(trade(1))
    await plant.publish(update(trade(1)))
    await plant.caught_up()
    async with streams(plant, "ws/btcusdt@trade/btcusdt@aggTrade") as connection:
        await subscribed(plant, 1)
        await plant.publish(update(trade(2, price="61837.60", size="0.5"), entry="2-0"))
        first, second = [await receive(connection) for _ in range(2)]
        assert {key: value for key, value in first.items() if key != "E"} == {
            "e": "trade",
            "s": "BTCUSDT",
            "t": 2,
            "p": "61837.60",
            "q": "0.5",
            "T": T0 // 1000 + 2000,
            "m": True,
            "M": True,
        }
        assert (second["e"], second["a"], second["f"], second["l"]) == ("aggTrade", 2, 2, 2)


async def subscribed(plant: Plant, count: int) -> None:
    """Wait until clients get changes of some channels."""
    async with asyncio.timeout(10):
        while (  # noqa: ASYNC110 - a condition of the server's
            sum(
                len(topic.sinks)
                for partition in plant.services.hub._partitions
                for topic in partition.topics.values()
            )
            < count
        ):
            await asyncio.sleep(0.01)


async def test_candles_of_a_stream_close_and_older_ones_are_left_out(plant: Plant) -> None:
    await plant.store(trade(1, at_us=T0))
    async with streams(plant, "stream?streams=btcusdt@kline_1m") as connection:
        message = await receive(connection)
        assert message["stream"] == "btcusdt@kline_1m"
        kline = message["data"]["k"]
        assert (kline["t"], kline["x"], kline["n"], kline["i"], kline["s"]) == (
            *(T0 // 1000, False, 1),
            *("1m", "BTCUSDT"),
        )
        await plant.publish(update(candles=[candle(1, count=2)]))
        await plant.publish(update(candles=[candle(0, closed=True)]))
        await plant.publish(update(candles=[candle(-5, closed=True, revision=1)]))
        await plant.publish(update(candles=[candle(0, closed=True)]))
        await plant.publish(update(candles=[candle(1, count=3)]))
        seen = [(await receive(connection))["data"]["k"] for _ in range(3)]
        assert [(found["t"] - T0 // 1000, found["x"], found["n"]) for found in seen] == [
            (60_000, False, 2),
            (0, True, 1),
            (60_000, False, 3),
        ]


async def test_a_client_subscribes_and_unsubscribes(plant: Plant) -> None:
    await plant.store(trade(1))
    async with streams(plant, "ws/0") as connection:

        async def ask(**request: Any) -> Any:
            await connection.send(json.dumps(request))
            return await receive(connection)

        names = ["btcusdt@trade", "btcusdt@aggTrade"]
        assert await ask(method="SUBSCRIBE", params=names, id=1) == {"result": None, "id": 1}
        assert await ask(method="LIST_SUBSCRIPTIONS", id=2) == {"result": names, "id": 2}
        assert await ask(method="UNSUBSCRIBE", params=names[:1], id=3) == {"result": None, "id": 3}
        await plant.publish(update(trade(2), entry="2-0"))
        assert (await receive(connection))["e"] == "aggTrade"
        assert await ask(method="UNSUBSCRIBE", params=names[1:], id=4) == {"result": None, "id": 4}
        assert (await ask(method="SUBSCRIBE", params=["nope@trade"], id=5))["code"] == -1121
        assert (await ask(method="SUBSCRIBE", params=["btcusdt@depth"], id=6))["id"] == 6
        assert (await ask(method="WHAT", id=7))["code"] == 2
        await connection.send("{")
        assert (await receive(connection))["code"] == 3


async def test_tickers_are_sent_by_symbol_and_for_all_of_the_venue(plant: Plant) -> None:
    await plant.store(trade(1, price="4", size="3"))
    await plant.store(trade(1, price="5", symbol=KRAKEN))
    await plant.publish(update(trade(1, price="4", size="3")))
    await plant.caught_up()
    async with streams(plant, "ws/btcusdt@ticker") as connection:
        message = await receive(connection)
        assert (message["e"], message["s"], message["c"], message["n"]) == ("24hrTicker", "BTCUSDT", "4", 1)
    for name in ("!miniTicker@arr", "!miniTicker@arr@1000ms"):  # the second as python-binance asks for it
        async with streams(plant, f"kraken/stream?streams={name}") as connection:
            message = await receive(connection)
            assert message["stream"] == name
            assert [(found["e"], found["s"], found["c"]) for found in message["data"]] == [
                ("24hrMiniTicker", "BTC/USD", "5")
            ]
    async with streams(plant, "kraken/ws/btc/usd@kline_3m") as connection:
        assert (await receive(connection))["k"]["i"] == "3m"
