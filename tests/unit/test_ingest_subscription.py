"""Subscriptions at a venue that acknowledges nothing: only trades show that it has accepted a symbol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from ingest.answers import SubscriptionAnswers
from ingest.subscription import Subscription
from ingest.venues.finnhub import FinnhubAdapter
from tickplant.background import background

SYMBOLS = ["AAPL", "IBM", "MSFT"]


class Connection:
    """A connection on which the venue refuses requests of some symbols, without naming them."""

    def __init__(self, refused: set[str]) -> None:
        self.refused = refused
        self.answers = SubscriptionAnswers(SYMBOLS)
        self.requests: asyncio.Queue[str] = asyncio.Queue()
        self.reported: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
        self.subscription = Subscription(FinnhubAdapter("key"), SYMBOLS, self._send, self.answers, None)

    async def run(self) -> None:
        async for _ in self.subscription.retry_unnamed():
            self.reported.put_nowait(dict(self.answers.refused))

    async def requested(self) -> str:
        return await asyncio.wait_for(self.requests.get(), 10)

    async def reports(self, symbols: set[str]) -> Mapping[str, str]:
        async with asyncio.timeout(10):
            while (refused := await self.reported.get()).keys() != symbols:
                pass
            return refused

    async def _send(self, message: str) -> None:
        symbol = msgspec.json.decode(message)["symbol"]
        self.requests.put_nowait(symbol)
        if symbol in self.refused:
            self.answers.refuse("Too many requests", [])


@contextlib.asynccontextmanager
async def subscribed(refused: set[str]) -> AsyncIterator[Connection]:
    connection = Connection(refused)
    await connection.subscription.subscribe_all()
    assert [await connection.requested() for _ in SYMBOLS] == SYMBOLS
    async with background(connection.run()):
        yield connection


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.subscription.RETRY_REFUSED_S", 0.01)


async def test_after_a_refusal_without_a_name_symbols_are_requested_until_they_trade() -> None:
    async with subscribed({"AAPL", "IBM"}) as connection:
        refused = await connection.reports(set(SYMBOLS))
        assert all("Too many requests" in reason for reason in refused.values())
        assert {await connection.requested() for _ in SYMBOLS} == set(SYMBOLS)
        connection.answers.accept(["MSFT"])
        await connection.reports({"AAPL", "IBM"})
        connection.refused.clear()
        connection.answers.accept(["IBM"])
        await connection.reports({"AAPL"})
        while not connection.requests.empty():
            connection.requests.get_nowait()
        assert [await connection.requested() for _ in range(3)] == ["AAPL"] * 3
        connection.answers.accept(["AAPL"])
        await connection.reports(set())


async def test_without_a_refusal_nothing_is_requested_again() -> None:
    async with subscribed(set()) as connection:
        for symbol in SYMBOLS:
            connection.answers.accept([symbol])
            assert await asyncio.wait_for(connection.reported.get(), 10) == {}
        assert connection.requests.empty()
