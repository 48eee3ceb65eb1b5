"""A connection and its successor: trades come all the time, whatever becomes of the successor."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from ingesting import connections, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response
from working import until

from tickplant.market import SymbolId
from tickplant.redis_client import open_redis

SYMBOLS = [SymbolId("binance", "BTCUSDT")]
START_MS = 1_700_000_040_000
SHUTDOWN = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'


class Binance:
    """A venue that announces its end to its first client, and refuses so many others before the next."""

    def __init__(self, refusals: int, how: str) -> None:
        self.refusals = refusals
        self.how = how
        self.attempts = 0
        self.sent = 0
        self.open: set[ServerConnection] = set()
        self.first: ServerConnection | None = None
        self.overlap = False

    def admit(self) -> Response | None:
        self.attempts += 1
        if self.how == "503" and 1 < self.attempts <= 1 + self.refusals:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, "later", Headers(), b"later")
        return None

    async def script(self, client: ServerConnection) -> None:
        if self.first is None:
            self.first = client
            await client.send(SHUTDOWN)
        elif self.how == "closed" and self.attempts <= 1 + self.refusals:
            return
        self.open.add(client)
        self.overlap |= len(self.open) == 2
        await client.wait_closed()
        self.open.discard(client)

    async def trade(self) -> None:
        """Send one trade to all connected clients."""
        self.sent += 1
        payload = {
            "e": "trade",
            "E": START_MS,
            "s": "BTCUSDT",
            "t": self.sent,
            "p": "1.5",
            "q": "1",
            "m": True,
        }
        frame = json.dumps({"stream": "btcusdt@trade", "data": payload | {"T": START_MS + self.sent}})
        for client in list(self.open):
            with contextlib.suppress(Exception):
                await client.send(frame)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.mark.parametrize("how", ["503", "closed"])
async def test_the_old_connection_stays_until_a_successor_is_live(
    redis_url: str, redis: Any, how: str
) -> None:
    venue = Binance(refusals=3, how=how)
    async with scripted_venue(venue.script, venue.admit) as url, ingesting(redis_url, url, SYMBOLS):

        async def replaced() -> bool:
            if venue.open:
                await venue.trade()
            return venue.first is not None and venue.first not in venue.open and venue.attempts >= 5

        await until(replaced, "the old connection closed by us")
        assert venue.overlap  # the old one went after the new one had come
        await venue.trade()

        async def all_written() -> bool:
            return {trade.trade_id for trade in await written(redis)} == set(range(1, venue.sent + 1))

        await until(all_written, "every trade")
        (state,) = await connections(redis)
        assert (state.state, state.reason) == ("live", "")


async def test_the_search_continues_when_the_venue_closes_the_old_connection(
    redis_url: str, redis: Any
) -> None:
    venue = Binance(refusals=2, how="503")
    async with scripted_venue(venue.script, venue.admit) as url, ingesting(redis_url, url, SYMBOLS):

        async def refused() -> bool:
            return venue.attempts >= 2

        await until(refused, "the successor refused")
        assert venue.first is not None
        await venue.first.close()

        async def connected_again() -> bool:
            await asyncio.sleep(0.05)
            return venue.attempts >= 4 and bool(venue.open)

        await until(connected_again, "a new connection")
        await venue.trade()

        async def all_written() -> bool:
            return bool(await written(redis))

        await until(all_written, "trades of the new connection")
