"""A costly request of one client delays no other."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from difflib import get_close_matches
from typing import Any

import pytest
from api_plant import BTC, Plant, live, running_plant
from conftest import on_one_variant

from api.live.wanted import MAX_NAMES
from tickplant.market import SymbolId

pytestmark = on_one_variant

SYMBOLS = 300
CPU_S = 2.0
"""Of this process, the clients' part of the work included; without bounds it is many times as much."""


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    symbols = [BTC, *(SymbolId("binance", f"C{number:03d}USDT") for number in range(SYMBOLS - 1))]
    async with running_plant(redis_url, database_url, symbols=symbols) as running:
        await live(running)
        yield running


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often near names were looked for, by text."""
    counts: Counter[str] = Counter()

    def counted(text: str, *args: Any, **options: Any) -> list[str]:
        counts[text] += 1
        return get_close_matches(text, *args, **options)

    monkeypatch.setattr("tickplant.near_matches.get_close_matches", counted)
    return counts


async def cpu_s(work: Awaitable[object]) -> float:
    began_s = time.process_time()
    await work
    return time.process_time() - began_s


async def test_a_channel_that_is_named_again_and_again_costs_once(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe("gaps")  # loads them
        for _ in range(SYMBOLS):
            await socket.receive_until("snapshot")

    async def ask() -> None:
        async with plant.socket() as socket:
            ack = await socket.subscribe(*["gaps"] * 3 * SYMBOLS)
            assert len(ack["channels"]) == SYMBOLS
            channels = {(await socket.receive_until("snapshot"))["channel"] for _ in range(SYMBOLS)}
            assert channels == set(ack["channels"])

    assert await cpu_s(ask()) < CPU_S


async def test_many_unknown_names_cost_one_search_for_near_ones(plant: Plant, compared: Counter[str]) -> None:
    names = [f"price:NOSUCH{number}" for number in range(800)]

    async def ask() -> None:
        async with plant.socket() as socket:
            await socket.ask(op="subscribe", id=1, channels=names)
            errors = [await socket.receive_until("error") for _ in names]
            assert [error["channel"] for error in errors] == names
            await socket.ask(op="unsubscribe", id=2, channels=names)
            assert {(await socket.receive_until("error"))["id"] for _ in names} == {2}

    assert await cpu_s(ask()) < CPU_S
    assert sum(compared.values()) == 2  # one for each request


async def test_a_request_that_names_too_many_channels_is_refused_as_a_whole(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(
            op="subscribe", id=1, channels=[f"price:{number}" for number in range(MAX_NAMES + 1)]
        )
        error = await socket.receive_until("error")
        assert (error["id"], error["code"]) == (1, "too_many_channels")
        await socket.ask(op="ping", id=2)
        assert (await socket.receive())["id"] == 2


async def test_others_are_served_while_a_request_is_worked_on(plant: Plant) -> None:
    """A long request is given up for others again and again: their answers come before its last."""
    names = [f"price:NOSUCH{number}" for number in range(MAX_NAMES)]
    async with plant.socket() as busy, plant.socket() as other:
        await busy.ask(op="subscribe", id=1, channels=names)
        await other.ask(op="ping", id=1)
        await other.receive_until("pong")
        assert [(await busy.receive_until("error"))["channel"] for _ in names] == names


async def test_requests_that_name_many_channels_count_for_several(plant: Plant) -> None:
    names = [f"price:NOSUCH{number}" for number in range(MAX_NAMES)]
    async with plant.socket() as socket:
        reading = asyncio.create_task(socket.receive_until("nothing"))
        for _ in range(50):  # a quarter of what may come at once, if each named one
            await socket.ask(op="unsubscribe", channels=names)
            if reading.done():
                break
        await asyncio.wait([reading])
        error: Any = reading.exception()
        assert error.rcvd.code == 1008
