"""Redis unavailable for longer than anybody should wait: sockets stay, and nothing of them is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import OwnRedis
from ingesting import clocks, connections, finnhub_frame, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from working import until

from tickplant.market import SymbolId
from tickplant.redis_client import open_redis

SYMBOLS = [SymbolId("finnhub", "AAPL")]
START_MS = 1_700_000_040_000
OUTAGE_S = 12.0
"""Longer than the right to the one connection lasts, and than a command may take."""


class Finnhub:
    """A venue that sends trades periodically and counts its clients."""

    def __init__(self) -> None:
        self.sent = 0
        self.clients = 0
        self.pong_s = 0.0

    async def script(self, client: ServerConnection) -> None:
        self.clients += 1
        with contextlib.suppress(Exception):
            while True:
                self.sent += 1
                await client.send(finnhub_frame(("AAPL", f"{self.sent}.5", START_MS + self.sent, "1")))
                loop = asyncio.get_running_loop()
                asked_s = loop.time()
                await (await client.ping())
                self.pong_s = max(self.pong_s, loop.time() - asked_s)
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def killed(server: Any) -> AsyncIterator[None]:
    await server.kill()
    yield
    await server.start()


@contextlib.asynccontextmanager
async def hanging(server: Any) -> AsyncIterator[None]:
    client = open_redis(server.url)
    pid = (await client.info("server"))["process_id"]
    await client.aclose()
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("outage", [killed, hanging])
async def test_a_venue_without_history_loses_nothing_through_an_outage(
    own_redis: OwnRedis, outage: Any
) -> None:
    server = await own_redis()
    redis: Any = open_redis(server.url)
    venue = Finnhub()
    async with scripted_venue(venue.script) as url, ingesting(server.url, url, SYMBOLS):

        async def first() -> bool:
            return len(await written(redis)) > 0 and bool(await clocks(redis))

        await until(first, "trades before the outage")
        clocks_before = len(await clocks(redis))
        async with outage(server):
            await asyncio.sleep(OUTAGE_S)
        sent = venue.sent

        async def all_there() -> bool:
            return {trade.price for trade in await written(redis)} >= {f"{n}.5" for n in range(1, sent + 1)}

        await until(all_there, "what was sent during the outage")
        trades = {trade.trade_id: trade for trade in await written(redis)}
        prices = [trades[trade_id].price for trade_id in sorted(trades)]
        assert prices == [f"{number}.5" for number in range(1, len(prices) + 1)]  # each once, in order
        assert len(await clocks(redis)) < clocks_before + 10  # they did not pile up
        assert [state.state for state in await connections(redis)] == ["live"]
    assert venue.clients == 1
    assert venue.pong_s < 5
    await redis.aclose()
