"""Signals and states of strategies are read from the database as they were written."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from signalling import START_US, SYMBOL, Storing, trade

from db.pool import open_pool, snapshot, transaction
from db.signals import (
    SignalKey,
    SignalRows,
    read_last_signals,
    read_signals,
    read_signals_of_entry,
    read_strategy_states,
)
from tickplant.intervals import SECOND_US
from tickplant.market import SymbolId
from workers.strategies import STRATEGIES

PARTITION = 3


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database_url, size=1, application="test") as opened:
        await opened.execute(
            "insert into ledger (partition, venue, symbol, first_trade_id, last_trade_id, missing, void,"
            " numbered, watermark) values ($1, $2, $3, 1, 1, '{}', '{}', true, now())",
            PARTITION,
            *SYMBOL,
        )
        yield opened


async def test_each_commit_is_read_back_as_it_was_stored(pool: asyncpg.Pool) -> None:
    plant = Storing(*STRATEGIES.values())
    prices = ["100"] * 11 + ["98.5", "100.10"] * 3
    trades = [
        trade(number, price, size="0.125", at_us=START_US + number * 40 * SECOND_US)
        for number, price in enumerate(prices, start=1)
    ]
    for entry, part in enumerate((trades[:12], trades[12:])):
        given = plant.run(part)
        async with transaction(pool) as connection:
            rows = SignalRows(PARTITION, given, list(plant.states.values()))
            await rows.write(connection, f"{entry}-0")
    assert {signal.strategy for signal in plant.stored} == {"dip", "hop"}
    states = await read_strategy_states(pool, PARTITION)
    assert {state.strategy: state for state in states[SYMBOL]} == plant.states
    assert await read_strategy_states(pool, PARTITION + 1) == {}
    after, before = SignalKey(0), SignalKey(2 * START_US)
    async with snapshot(pool, timeout_s=30) as connection:
        found = await read_signals(connection, symbol=SymbolId(*SYMBOL), after=after, before=before, limit=9)
    assert found == sorted(plant.stored, key=lambda signal: (signal.event_time_us, signal.strategy))
    first = [row for row in found if row.trade_id <= 12]
    assert await read_signals_of_entry(pool, PARTITION, "0-0") == first
    assert await read_signals_of_entry(pool, PARTITION, "1-0") == found[len(first) :]
    assert await read_signals_of_entry(pool, PARTITION + 1, "1-0") == []
    last = {row.strategy: row for row in found}
    assert {signal.strategy: signal for signal in await read_last_signals(pool, PARTITION)} == last
