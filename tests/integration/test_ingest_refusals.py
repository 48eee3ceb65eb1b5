"""A venue refuses some symbols by an unknown message that names none of them."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from ingesting import coinbase_match, connections, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from working import until

from tickplant.market import SymbolId
from tickplant.redis_client import open_redis
from tickplant.wire import SymbolProblem

GOOD = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"]
BAD = ["BAD/USD", "GONE/USD"]
WORDS = "Your jurisdiction does not support this instrument"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


class Venue:
    """Refuses every message that has a refused symbol in it, as a whole, without naming one."""

    def __init__(self, refused: list[str]) -> None:
        self.refused = set(refused)
        self.clients = 0
        self.asked: list[list[str]] = []

    async def script(self, client: ServerConnection) -> None:
        self.clients += 1
        granted: list[str] = []
        async for message in client:
            names, answer, trade = self.read(json.loads(message))
            self.asked.append(names)
            if self.refused & set(names):
                await client.send(self.refusal())
                continue
            granted += names
            for text in answer(granted, names):
                await client.send(text)
            for name in names:
                await client.send(trade(name))

    def read(self, request: Any) -> tuple[list[str], Callable[..., list[str]], Callable[[str], str]]:
        raise NotImplementedError

    def refusal(self) -> str:
        raise NotImplementedError


class Coinbase(Venue):
    def read(self, request: Any) -> tuple[list[str], Callable[..., list[str]], Callable[[str], str]]:
        def answer(granted: list[str], names: list[str]) -> list[str]:
            channels = [{"name": name, "product_ids": granted} for name in ("matches", "heartbeat")]
            return [json.dumps({"type": "subscriptions", "channels": channels})]

        return request["product_ids"], answer, lambda name: coinbase_match(name, 7, "2024-11-07T08:19:27.0Z")

    def refusal(self) -> str:
        return json.dumps({"type": "error", "message": "Failed to subscribe", "reason": WORDS})


class Kraken(Venue):
    def read(self, request: Any) -> tuple[list[str], Callable[..., list[str]], Callable[[str], str]]:
        def answer(granted: list[str], names: list[str]) -> list[str]:
            return [
                json.dumps(
                    {"method": "subscribe", "success": True, "result": {"channel": "trade", "symbol": name}}
                )
                for name in names
            ]

        def trade(name: str) -> str:
            row = (
                f'{{"symbol":"{name}","side":"sell","price":0.5,"qty":40.0,"ord_type":"market","trade_id":7,'
            )
            return (
                f'{{"channel":"trade","type":"update","data":[{row}"timestamp":"2024-09-25T07:49:37.7Z"}}]}}'
            )

        return request["params"]["symbol"], answer, trade

    def refusal(self) -> str:
        return json.dumps({"error": WORDS, "method": "subscribe", "success": False})


VENUES = {"coinbase": Coinbase, "kraken": Kraken}


def named(venue: str, symbols: list[str]) -> list[SymbolId]:
    return [SymbolId(venue, spelled(venue, symbol)) for symbol in symbols]


def spelled(venue: str, symbol: str) -> str:
    return symbol.replace("/", "-") if venue == "coinbase" else symbol


def refused(problems: tuple[SymbolProblem, ...]) -> dict[str, str]:
    return {problem.symbol: problem.reason for problem in problems if problem.state == "refused"}


async def state_is(redis: Any, check: Callable[[Any], bool]) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return any(check(state) for state in await connections(redis))

    return reached


async def has_trades(redis: Any, symbols: set[str]) -> bool:
    return {trade.symbol for trade in await written(redis)} == symbols


@pytest.mark.parametrize("name", VENUES)
async def test_the_others_live_and_the_refused_are_named(
    redis_url: str,
    redis: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("ingest.subscription.RETRY_REFUSED_S", 0.2)
    venue = VENUES[name]([spelled(name, symbol) for symbol in BAD])
    symbols = named(name, [GOOD[0], BAD[0], GOOD[1], GOOD[2], BAD[1], GOOD[3]])
    caplog.set_level(logging.INFO)
    async with scripted_venue(venue.script) as url, ingesting(redis_url, url, symbols):
        bad = {spelled(name, symbol): WORDS for symbol in BAD}
        reason = WORDS if name == "kraken" else f"Failed to subscribe: {WORDS}"
        wanted = dict.fromkeys(bad, reason)
        await until(
            await state_is(redis, lambda state: state.state == "live" and refused(state.problems) == wanted),
            "the refused symbols named",
        )
        good = {spelled(name, symbol) for symbol in GOOD}
        await until(lambda: has_trades(redis, good), "trades of the others, and of nobody else")
        venue.refused.clear()
        await until(await state_is(redis, lambda state: not state.problems), "accepted after all")
        await until(lambda: has_trades(redis, {symbol.symbol for symbol in symbols}), "trades of all")
    assert venue.clients == 1
    for symbol in bad:
        assert len([r for r in caplog.records if "refuses" in r.message and symbol in r.message]) == 1
        assert len([r for r in caplog.records if "accepts" in r.message and symbol in r.message]) == 1


async def test_a_connection_whose_symbols_are_all_refused_waits_long_before_it_retries(
    redis_url: str, redis: Any
) -> None:
    venue = Coinbase(["BAD-USD"])
    async with (
        scripted_venue(venue.script) as url,
        ingesting(redis_url, url, [SymbolId("coinbase", "BAD-USD")]),
    ):
        await until(await state_is(redis, lambda state: state.state == "refused"), "the connection refused")
        (state,) = await connections(redis)
        assert refused(state.problems) == {"BAD-USD": f"Failed to subscribe: {WORDS}"}
    assert venue.clients == 1


async def test_a_subscription_that_got_lost_is_sent_again_on_the_same_connection(
    redis_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.answers._NEXT_ANSWER_S", 0.3)

    class Forgetful(Coinbase):
        async def script(self, client: ServerConnection) -> None:
            await client.recv()
            await super().script(client)

    venue = Forgetful([])
    async with scripted_venue(venue.script) as url, ingesting(redis_url, url, named("coinbase", GOOD)):
        await until(await state_is(redis, lambda state: state.state == "live"), "the connection live")
        good = {spelled("coinbase", symbol) for symbol in GOOD}
        await until(lambda: has_trades(redis, good), "trades of all")
    assert venue.clients == 1
