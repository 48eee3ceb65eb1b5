"""A replay is measured by what the database holds, symbol by symbol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from conftest import PARTITIONS, on_one_variant
from sandbox_tape import make_tape
from websockets.asyncio.client import ClientConnection, connect
from working import START_US, publishing, stored_count, trade, until, working

from maintenance.replay import Replay
from maintenance.tape import select_symbols
from sandbox.player import TapePlayer
from sandbox.server import serve
from sandbox.venues import VENUES
from tickplant.cli.replay import finish_replay
from tickplant.cli.terminal import Terminal
from tickplant.errors import FatalError
from tickplant.market import SymbolId, Trade

AAA, BBB = SymbolId("binance", "AAAUSDT"), SymbolId("binance", "BBBUSDT")
QUICK = {"waiting": 30.0, "playing": 30.0, "finished": 1.0}


@contextlib.asynccontextmanager
async def listening(url: str, *symbols: SymbolId) -> AsyncIterator[ClientConnection]:
    """Receive trades of Binance and store nothing."""
    streams = "/".join(f"{symbol.symbol.lower()}@trade" for symbol in symbols)
    async with connect(f"{url}/stream?streams={streams}", max_size=None) as connection:

        async def read() -> None:
            async for _ in connection:
                pass

        reading = asyncio.create_task(read())
        yield connection
        reading.cancel()


def make_replay(rest_url: str, redis_url: str, database_url: str, *symbols: SymbolId) -> Replay:
    return Replay(
        rest_url=rest_url,
        redis_url=redis_url,
        database_url=database_url,
        partitions=PARTITIONS,
        symbols=symbols,
        patience_s=QUICK,
    )


@on_one_variant
async def test_a_difference_between_tape_and_database_is_an_error_that_names_symbols_and_numbers(
    redis_url: str, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trades = [
        trade(number, at_us=START_US + number * 1000, symbol=symbol.symbol)
        for number in [*range(1, 31), *range(40, 50)]
        for symbol in (AAA, BBB)
    ]
    twice = [trades[0], *trades]  # an id that comes again is one trade
    player = TapePlayer(make_tape(VENUES["binance"], twice), speed=None, hold=True)
    async with (
        serve([player]) as running,
        publishing(redis_url) as publisher,
        working(redis_url, database_url),
    ):
        replay = make_replay(running.rest_url, redis_url, database_url, AAA, BBB)
        await replay.open()
        lost = [trade for trade in trades if trade.symbol == BBB.symbol and trade.trade_id in (5, 6, 49)]
        await publisher.publish([trade for trade in trades if trade not in lost])
        async with listening(running.ws_url, AAA, BBB):
            with pytest.raises(
                FatalError, match="binance:BBBUSDT: 37 of 40 trades stored, 3 missing"
            ) as error:
                await finish_replay(replay, select_symbols((AAA, BBB), None), Terminal())
            assert "AAAUSDT" not in str(error.value)
            assert "37" in capsys.readouterr().out

            await publisher.publish(lost)
            await until(lambda: _has(database_url, 80), "all trades are stored")
            await finish_replay(replay, select_symbols((AAA, BBB), None), Terminal())
    assert "80 trades replayed and committed" in capsys.readouterr().out


async def _has(database_url: str, count: int) -> bool:
    return await stored_count(database_url) == count


@on_one_variant
async def test_trades_without_ids_are_not_stored_a_second_time(redis_url: str, database_url: str) -> None:
    ibm = SymbolId("finnhub", "IBM")
    trades = [
        Trade(*ibm, number, "10.5", "1", None, START_US + number * 1000, START_US) for number in range(1, 6)
    ]
    player = TapePlayer(make_tape(VENUES["finnhub"], trades), speed=None, hold=True)
    async with serve([player]) as running, publishing(redis_url) as publisher:
        replay = make_replay(running.rest_url, redis_url, database_url, ibm)
        await replay.open()
        async with working(redis_url, database_url):
            await publisher.publish(trades[-1:], numbered=False)
            await until(lambda: _has(database_url, 1), "a trade is stored")
        with pytest.raises(FatalError, match=r"1 trades of finnhub:IBM .* have no ids"):
            await replay.open()
