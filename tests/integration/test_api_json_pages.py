"""Pages that the database writes as JSON are, to the byte, those that the views of their rows make."""

from typing import Any

import asyncpg
import msgspec
import pytest
from api_plant import BTC, T0, Plant, running_plant, trade
from msgspec.structs import fields, replace

from api.queries.history import MAX_US, MIN_US
from api.views.candles import CandleView, candle_view
from api.views.trades import TradeView, trade_view
from db.candles import CANDLE_JSON, read_candles, read_candles_as_json
from db.pool import connect
from db.trades import TRADE_JSON, TradeBound, read_trades, read_trades_as_json
from tickplant.intervals import INTERVALS
from tickplant.market import Trade
from tickplant.times import to_us

PRICES = (
    "0.00000001",
    "61837.63000000",
    "1",
    "0.0000000000000000000000000000000000001",
    "100",
    "1e1"[:1] + "0.50",
)
SIZES = ("0", "0.00000000", "12345678901234567890.5", "3", "0.02000000")
SIDES = ("buy", "sell", None)
STEPS_US = (0, 1, 999_999, 1_000_000, 61_234_567, 3_600_000_000, 90_000_000_000)
BOUNDS = [(T0, T0 + 10**11), (T0 + 1, T0 + 3_700_000_000), (MIN_US, MAX_US)]


def trades() -> list[Trade]:
    """Trades with numbers and times of all shapes, some at the same moment."""
    made, time_us = [], T0
    for number in range(1, 80):
        time_us += STEPS_US[number % len(STEPS_US)]
        one = trade(
            number, at_us=time_us, price=PRICES[number % len(PRICES)], size=SIZES[number % len(SIZES)]
        )
        made.append(replace(one, side=SIDES[number % 3], ingest_time_us=time_us + number * 1_001))
    return made


async def store(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url) as plant:
        await plant.store(*trades())


def test_the_fields_are_those_of_the_views() -> None:
    assert list(TRADE_JSON) == [field.encode_name for field in fields(TradeView)]
    assert list(CANDLE_JSON) == [field.encode_name for field in fields(CandleView)]


@pytest.mark.parametrize("newest", [False, True])
async def test_trades_are_written_as_their_views(redis_url: str, database_url: str, newest: bool) -> None:
    await store(redis_url, database_url)
    connection = await connect(database_url, application="test")
    keys = [(made.event_time_us, made.trade_id) for made in trades()]
    for start_us, end_us in BOUNDS:
        for limit in (1, 2, 7, 78, 79, 1_000):
            bounds: Any = {"after": TradeBound(start_us), "before": TradeBound(end_us), "newest": newest}
            rows = await read_trades(connection, BTC, **bounds, limit=limit)
            page = await read_trades_as_json(connection, BTC, **bounds, limit=limit)
            assert page.rows == msgspec.json.encode([trade_view(row) for row in rows])
            found = [key for key in keys if start_us <= key[0] < end_us]
            edge = rows[0 if newest else -1] if len(found) > limit else None
            assert (page.edge is None) == (edge is None)
            if edge is not None and page.edge is not None:
                assert (to_us(page.edge[0]), page.edge[1]) == (edge.event_time_us, edge.trade_id)
    await connection.close()


@pytest.mark.parametrize("newest", [False, True])
async def test_candles_are_written_as_their_views(redis_url: str, database_url: str, newest: bool) -> None:
    await store(redis_url, database_url)
    await spoil(database_url)
    connection = await connect(database_url, application="test")
    for interval in INTERVALS:
        for start_us, end_us in BOUNDS:
            for limit in (1, 3, 1_000):
                bounds: Any = {"start_us": start_us, "end_us": end_us, "newest": newest}
                rows = await read_candles(connection, BTC, interval, **bounds, limit=limit)
                page = await read_candles_as_json(connection, BTC, interval, **bounds, limit=limit)
                assert page.rows == msgspec.json.encode([candle_view(row) for row in rows])
                more = await read_candles(connection, BTC, interval, **bounds, limit=limit + 1)
                edge = rows[0 if newest else -1] if len(more) > limit else None
                assert (page.edge is None) == (edge is None)
                if edge is not None and page.edge is not None:
                    assert to_us(page.edge[0]) == edge.open_time_us
    await connection.close()


async def spoil(database_url: str) -> None:
    """Give candles revisions, and some no proof of being complete."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("update closed_candles set revision = trade_count * 7")
    await connection.execute("update closed_candles set complete = null where trade_count % 2 = 0")
    await connection.close()


async def test_a_symbol_without_rows_has_empty_pages(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url) as plant:
        await check_empty(plant)


async def check_empty(plant: Plant) -> None:
    for path, name in (("trades", "trades"), ("ohlcv", "candles")):
        answer = await plant.get(f"/api/v1/{path}/binance:ETHUSDT")
        assert answer[name] == []
        assert answer["next"] is None
