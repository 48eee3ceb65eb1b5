"""`/all-candles`: candles of trades and the venue's own, each marked, in pages and as whole lists."""

import io
from collections.abc import AsyncIterator
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from api_plant import BTC, T0, Plant, running_plant, trade
from conftest import on_one_variant
from pages import all_rows

from db.pool import connect
from db.venue_candles import store_venue_candles
from tickplant.intervals import MINUTE_US
from tickplant.klines import Kline
from tickplant.market import SymbolId

pytestmark = on_one_variant

UNTRADED = SymbolId("binance", "NOTUSDT")
PATH = "/api/v1/all-candles/binance:BTCUSDT"


def kline(minute: int, count: int = 9) -> Kline:
    price = Decimal("60000.10")
    return Kline(
        T0 + minute * MINUTE_US,
        *(price, price, price, price),
        Decimal("0.30"),
        count,
        taker_buy_volume=Decimal("0.1"),
        taker_buy_quote_volume=Decimal("6000.01"),
        quote_volume=Decimal("18000.03"),
    )


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    """Ten minutes of the venue, of which the last five have two trades each, and another symbol's."""
    async with running_plant(redis_url, database_url, symbols=[BTC]) as running:
        await running.store(
            *(trade(n, at_us=T0 + 5 * MINUTE_US + n * MINUTE_US // 2, price="60000.10") for n in range(12))
        )
        await keep(database_url, BTC, [kline(minute, 2 if minute >= 5 else 9) for minute in range(10)])
        await keep(database_url, UNTRADED, [kline(0)])
        yield running


async def keep(database_url: str, symbol: SymbolId, klines: list[Kline]) -> None:
    connection = await connect(database_url, application="test")
    try:
        await store_venue_candles(connection, symbol, "1m", klines)
    finally:
        await connection.close()


async def test_each_says_what_it_is_made_of_on_every_page(plant: Plant) -> None:
    rows = await all_rows(plant, PATH, "candles", interval="1m", limit=3)
    assert [row["origin"] for row in rows] == ["venue"] * 5 + ["trades"] * 6
    assert len({row["open_time"] for row in rows}) == 11
    first = rows[0]
    assert (first["close"], first["quote_volume"], first["vwap"]) == ("60000.10", "18000.03", "60000.1")
    assert (first["first_trade_id"], first["last_trade_id"], first["complete"]) == (None, None, None)
    assert (first["closed"], first["trade_count"], first["revision"]) == (True, 9, 0)


async def test_the_venues_takes_the_place_of_one_that_lacks_trades(plant: Plant, database_url: str) -> None:
    await keep(database_url, BTC, [kline(6, 3)])
    rows = await all_rows(plant, PATH, "candles", interval="1m")
    assert [row["origin"] for row in rows] == ["venue"] * 5 + ["trades", "venue"] + ["trades"] * 4


async def test_a_whole_list_is_tagged_by_what_is_stored_of_both(plant: Plant, database_url: str) -> None:
    answer = await plant.http.get(PATH, params={"format": "parquet"})
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.column("origin").to_pylist() == ["venue"] * 5 + ["trades"] * 6
    assert table.schema.field("close").type.scale >= 2
    known = {"If-None-Match": answer.headers["ETag"]}
    assert (await plant.http.get(PATH, params={"format": "parquet"}, headers=known)).status_code == 304
    await keep(database_url, BTC, [kline(-1)])
    assert (await plant.http.get(PATH, params={"format": "parquet"}, headers=known)).status_code == 200


async def test_a_symbol_may_have_candles_of_the_venue_alone(plant: Plant) -> None:
    answer = await plant.http.get("/api/v1/all-candles/notusdt")
    assert answer.status_code == 200
    assert [row["origin"] for row in answer.json()["candles"]] == ["venue"]
    assert (await plant.http.get("/api/v1/ohlcv/NOTUSDT")).json()["candles"] == []
    assert (await plant.http.get("/api/v1/all-candles/NONEUSDT")).status_code == 404


@pytest.mark.parametrize("interval", ["3m", "1s", "1M", "x"])
async def test_other_intervals_are_refused(plant: Plant, interval: str) -> None:
    answer = await plant.http.get(PATH, params={"interval": interval})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter")
    assert "1m, 5m, 15m, 1h, 4h, 1d, 1w" in answer.json()["detail"]
