"""The Python client's history, also as frames of real pandas and polars."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from api_plant import live, running_plant, trade
from client_programs import programs, run_client
from conftest import REPOSITORY, on_one_variant

from tickplant.client import Plant

pytestmark = on_one_variant

BTC = "binance:BTCUSDT"


async def test_history_has_all_pages_oldest_first(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url) as server, Plant(server.address) as plant:
        await live(server)
        await server.store(
            *(trade(number, at_us=1_700_000_000_000_000 + number) for number in range(1, 2502))
        )
        stored = [each async for each in plant.trades(BTC).history()]
        assert [each.trade_id for each in stored] == list(range(1, 2502))
        assert str(stored[0].price) == "61837.63000000"
        start = datetime(2023, 11, 14, 22, 13, 20, 2400, UTC)
        assert (await anext(aiter(plant.trades(BTC).history(start)))).trade_id == 2400
        with pytest.raises(ValueError, match="no time zone"):
            await anext(aiter(plant.trades(BTC).history(start.replace(tzinfo=None))))


async def test_frames_hold_every_digit_or_floats_as_asked(redis_url: str, database_url: str) -> None:
    folder = await asyncio.to_thread(programs)
    (site,) = folder.parent.glob("lib/python*/site-packages")
    async with running_plant(redis_url, database_url) as server:
        await live(server)
        await server.store(*(trade(number, size=f"0.{number:08}") for number in range(1, 200)))
        page = await server.get(f"/api/v1/ohlcv/{BTC}")
        script = REPOSITORY / "tests" / "clients" / "client_frames.py"
        output = await run_client(sys.executable, "-P", script, server.address, BTC, site, folder=REPOSITORY)
    found = json.loads(output)
    expected = [view["quote_volume"] for view in page["candles"]]
    assert found["pandas"] == expected
    assert list(map(Decimal, found["polars"])) == list(map(Decimal, expected))
    assert found["floats"] == [list(map(float, expected))] * 2
    assert found["types"]["open_time"] == "datetime64[us, UTC]"
    assert (found["types"]["quote_volume"], found["types"]["first_trade_id"]) == ("object", "Int64")
    assert found["polars_types"]["quote_volume"].startswith("Decimal(precision=38")
    assert found["sides"][:2] == ["buy", "sell"]
    assert found["empty"] == [0, True]
