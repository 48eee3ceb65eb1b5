"""Unmodified clients of Binance work with this API, over real workers, and get what the database has."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from api_plant import Plant, live, running_plant
from client_programs import programs, run_client, run_script
from conftest import on_one_variant
from keyed import new_key
from working import publishing, stored_count, until, working

from api.open_services import AccessSettings
from db.candles import read_candles
from db.pool import connect
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import Candle, SymbolId, Trade
from tickplant.times import to_datetime

pytestmark = [on_one_variant, pytest.mark.slow]

AAA = SymbolId("binance", "AAAUSDT")
START_US = 1_700_000_040_000_000
COUNT = 900
STEP_US = 7_300_000
SCRIPT_INTERVALS = [name for name in CANDLE_INTERVALS if name != "1s"]

T = TypeVar("T")


def traded(number: int) -> Trade:
    time_us = START_US + number * STEP_US // 1000 * 1000
    price, size = f"{100 + number % 37}.{number % 10}0", f"0.{1 + number % 998:03}00"
    return Trade(*AAA, 1000 + number, price, size, "sell" if number % 3 else "buy", time_us, time_us + 5)


@asynccontextmanager
async def trading(redis_url: str, database_url: str) -> AsyncIterator[tuple[Plant, Any]]:
    """Run workers and the API, with some trades stored."""
    async with (
        working(redis_url, database_url),
        publishing(redis_url) as publisher,
        running_plant(redis_url, database_url, symbols=[AAA]) as plant,
    ):
        await live(plant)
        await publisher.publish([traded(number) for number in range(COUNT)])
        await until(lambda: _stored(database_url, COUNT), "trades are stored")
        yield plant, publisher


async def _stored(database_url: str, count: int) -> bool:
    return await stored_count(database_url) >= count


async def while_trading(publisher: Any, work: Awaitable[T]) -> T:
    """Publish trades, one after the other, until something is done; return its result."""
    task = asyncio.ensure_future(work)
    number = COUNT
    while not task.done():
        await publisher.publish([traded(number)])
        number += 1
        await asyncio.wait([task], timeout=0.05)
    return await task


async def candles(database_url: str, interval: str) -> list[Candle]:
    connection = await connect(database_url, application="test")
    rows = await read_candles(
        connection, AAA, interval, start_us=0, end_us=2 * START_US, limit=1000, newest=True
    )
    await connection.close()
    return rows


def row_of(candle: Candle) -> list[Any]:
    """Return the row of a candle as Binance writes it."""
    closes_us = CANDLE_INTERVALS[candle.interval].after(candle.open_time_us)
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    return [
        candle.open_time_us // 1000,
        *(f"{number:f}" for number in numbers),
        closes_us // 1000 - 1,
        f"{candle.quote_volume:f}",
        candle.trade_count,
        f"{candle.taker_buy_volume:f}",
        f"{candle.taker_buy_quote_volume:f}",
        "0",
    ]


def floats_of(candle: Candle) -> list[Any]:
    """Return the row of a candle as ccxt gives it."""
    return [
        candle.open_time_us // 1000,
        *(float(number) for number in (candle.open, candle.high, candle.low, candle.close, candle.volume)),
    ]


def same(found: list[Any], expected: list[Any]) -> None:
    """Check that rows are equal; pytest takes minutes to describe how long lists differ."""
    assert len(found) == len(expected)
    differing = [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]]
    assert not differing[:1]


async def test_ccxt_reads_markets_candles_tickers_and_trades(redis_url: str, database_url: str) -> None:
    async with trading(redis_url, database_url) as (plant, _):
        read = await run_script("ccxt_rest.py", f"{plant.address}/binance", "AAA/USDT")
        market = read["market"]
        assert (market["id"], market["active"], market["spot"]) == ("AAAUSDT", True, True)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
        for interval in SCRIPT_INTERVALS:
            stored = await candles(database_url, interval)
            same(read["rows"][interval], [row_of(candle) for candle in stored])
            same(read["candles"][interval], [floats_of(candle) for candle in stored])
        assert read["from_start"] == read["candles"]["1m"][:1]
        last = traded(COUNT - 1)
        assert read["ticker"]["symbol"] == "AAA/USDT"
        assert read["ticker"]["info"]["lastPrice"] == last.price
        assert int(read["ticker"]["info"]["lastId"]) == last.trade_id
        assert list(read["tickers"]) == ["AAA/USDT"]
        expected = [traded(number) for number in range(COUNT)]
        rows = [
            [str(trade.trade_id), trade.event_time_us // 1000, trade.side, trade.price] for trade in expected
        ]
        same(read["trades"], rows)
        assert read["trades_since"] == [str(trade.trade_id) for trade in expected[5:15]]


async def test_ccxt_pro_watches_tickers_candles_and_trades(redis_url: str, database_url: str) -> None:
    async with trading(redis_url, database_url) as (plant, publisher):
        script = run_script("ccxt_pro.py", f"{plant.address}/binance", "AAA/USDT")
        seen = await while_trading(publisher, script)
        check_streamed_trades(seen["trades"])
        assert [ticker["e"] for ticker in seen["tickers"]] == ["24hrMiniTicker", "24hrTicker"]
        for interval in ("1m", "3m"):
            stored = {candle.open_time_us // 1000: candle for candle in await candles(database_url, interval)}
            assert seen[interval]
            for candle in seen[interval]:
                assert candle == floats_of(stored[candle[0]])


def check_streamed_trades(trades: list[dict[str, Any]]) -> None:
    """Check that they are those that were published, each once and in order."""
    first = int(trades[0]["t"]) - 1000
    assert len(trades) >= 40
    for number, seen in enumerate(trades, first):
        trade = traded(number)
        assert (int(seen["t"]), seen["p"], seen["q"]) == (trade.trade_id, trade.price, trade.size)
        assert (int(seen["T"]), seen["m"]) == (trade.event_time_us // 1000, trade.side == "sell")


async def test_clients_of_binance_send_an_api_key(redis_url: str, database_url: str) -> None:
    key = await new_key(database_url, "read")
    needed = AccessSettings(host="0.0.0.0")
    async with running_plant(redis_url, database_url, symbols=[AAA], access=needed) as plant:
        await plant.store(traded(0), traded(1))
        messages = await run_script("with_key.py", f"{plant.address}/binance", "AAA/USDT", key.text)
    assert [message["c"] for message in messages] == [traded(1).price] * 2


async def test_python_binance_reads_and_watches(redis_url: str, database_url: str) -> None:
    async with trading(redis_url, database_url) as (plant, publisher):
        day = f"{to_datetime(START_US):%Y-%m-%d}"
        script = run_script("python_binance.py", f"{plant.address}/binance", "AAAUSDT", day)
        result = await while_trading(publisher, script)
        read, watched = result["read"], result["watched"]
        assert read["info"]["baseAsset"] == "AAA"
        for interval, rows in read["candles"].items():
            stored = {
                candle.open_time_us // 1000: row_of(candle)
                for candle in await candles(database_url, interval)
            }
            same([row[0] for row in rows], list(stored)[: len(rows)])
            same(rows[:-1], [stored[row[0]] for row in rows[:-1]])  # the last one goes on
        ids = [trade["id"] for trade in read["trades"]]
        same(ids, list(range(ids[0], ids[0] + 500)))
        assert [trade["id"] for trade in read["historical"]] == ids[3:5]
        same(read["aggregate"][:COUNT], [1000 + number for number in range(COUNT)])
        assert Decimal(read["average"]["price"]) > 100
        assert read["ticker"]["bidQty"] == "0.00000000"
        assert [price["symbol"] for price in read["prices"]] == ["AAAUSDT"]
        check_streamed_trades(watched["trades"])
        (closed,) = watched["closed"]
        minutes = {candle.open_time_us // 1000: candle for candle in await candles(database_url, "1m")}
        candle = minutes[closed["t"]]
        assert (closed["o"], closed["c"], closed["v"], closed["n"]) == (
            *(f"{candle.open:f}", f"{candle.close:f}", f"{candle.volume:f}", candle.trade_count),
        )
        assert watched["tickers"][0]["e"] == "24hrMiniTicker"


@pytest.mark.parametrize("interval", ["1m", "3m", "1h"])
async def test_freqtrade_downloads_candles(
    redis_url: str, database_url: str, tmp_path: Path, interval: str
) -> None:
    async with trading(redis_url, database_url) as (plant, _):
        address = f"{plant.address}/binance"
        urls = {
            "public": f"{address}/api/v3",
            "fapiPublic": f"{address}/fapi/v1",
            "dapiPublic": f"{address}/dapi/v1",
        }
        config = {
            "dry_run": True,
            "stake_currency": "USDT",
            "exchange": {
                "name": "binance",
                "pair_whitelist": ["AAA/USDT"],
                "enable_ws": False,
                "only_from_ccxt": True,
                "ccxt_config": {"urls": {"api": urls}},
                "ccxt_async_config": {"urls": {"api": urls}},
            },
            "pairlists": [{"method": "StaticPairList"}],
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        start = datetime.fromtimestamp(START_US // 1_000_000 - 7200, UTC)
        bounds = f"{int(start.timestamp())}-{int(start.timestamp()) + 86_400}"
        bin_folder = await asyncio.to_thread(programs)
        words = ("--config", "config.json", "--userdir", ".", "--datadir", "data", "--timerange", bounds)
        formats = ("--data-format-ohlcv", "json", "--timeframes", interval)
        await run_client(bin_folder / "freqtrade", "create-userdir", "--userdir", ".", folder=tmp_path)
        await run_client(bin_folder / "freqtrade", "download-data", *words, *formats, folder=tmp_path)
        rows = json.loads((tmp_path / "data" / f"AAA_USDT-{interval}.json").read_text())
        stored = await candles(database_url, interval)
        assert rows
        same(rows, [floats_of(candle) for candle in stored][: len(rows)])
        assert len(rows) >= len(stored) - 1
