"""What workers store of alerts, and what a new owner goes on from."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from alerting import START_US, alert, runs, trade
from conftest import on_one_variant

from db.alerts.firings import read_firings_of_entry
from db.alerts.states import AlertRows, read_alert_states, read_minute_closes
from db.pool import Pool, open_pool, transaction
from tickplant.derived import Alert, AlertChange, AlertState
from tickplant.market import SymbolId
from workers.roles.alerts.symbol import SymbolAlerts

AAA = SymbolId("binance", "AAAUSDT")
FIELDS = {"note": "näher", "webhook_url": "https://example.org/a?b=c", "hysteresis": "0.001", "cooldown_s": 7}


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url, size=2, application="test") as opened:
        yield opened


async def store(pool: Pool, symbol: SymbolAlerts, entry_id: str) -> None:
    taken = symbol.take()
    assert taken is not None
    async with transaction(pool) as connection:
        await AlertRows(0, taken.states, taken.firings, taken.deliveries).write(connection, entry_id)


async def test_states_and_firings_are_read_back_unchanged(pool: Pool) -> None:
    symbol = SymbolAlerts()
    wanted = [
        alert("a", "above", "10.50", repeat=True, **FIELDS),
        alert("b", "percent_change", percent="-2.5", window_s=300, user="eve"),
        alert("c", "silence", silence_s=60, active=False),
        alert("d", "crosses_below", "11"),
    ]
    for definition in wanted:
        symbol.change(AlertChange(definition))
    fired = [firing for run in runs([trade(1, "10.51"), trade(2, "12")]) for firing in symbol.run(run)]
    await store(pool, symbol, "5-0")
    states = {state.alert.alert_id: state for state in (await read_alert_states(pool, 0))[AAA]}
    assert states == {
        "a": AlertState(wanted[0], number=1, fired_us=START_US + 1_000_000),
        "b": AlertState(wanted[1], armed=True),
        "c": AlertState(wanted[2], armed=True),
        "d": AlertState(wanted[3], armed=True),
    }
    assert await read_firings_of_entry(pool, 0, "5-0") == fired
    assert await read_alert_states(pool, 1) == {}
    (row,) = await pool.fetch("select alert_id, number, url, host, state from webhooks")
    assert tuple(row) == ("a", 1, "https://example.org/a?b=c", "example.org", "waiting")


@on_one_variant
async def test_a_new_owner_continues_firing_numbers_and_knows_deleted_alerts(pool: Pool) -> None:
    symbol = SymbolAlerts()
    for wanted in (alert("a", price="10"), alert("b", price="10")):
        symbol.change(AlertChange(wanted))
    assert len(symbol.run(runs([trade(1, "11")])[0])) == 2
    symbol.change(AlertChange(alert("b", price="10", version=3), deleted=True))
    await store(pool, symbol, "1-0")
    later = SymbolAlerts((await read_alert_states(pool, 0))[AAA])
    for wanted in (alert("a", price="10", version=2, begun=2), alert("b", price="10", version=2, begun=2)):
        later.change(AlertChange(wanted))
    (firing,) = later.run(runs([trade(2, "11")])[0])
    assert (firing.alert_id, firing.number) == ("a", 2)
    await store(pool, later, "2-0")
    assert [firing.number for firing in await read_firings_of_entry(pool, 0, "2-0")] == [2]


@on_one_variant
async def test_closes_are_the_newest_ones_that_roles_have_reached(pool: Pool) -> None:
    await pool.execute(
        "insert into ledger (venue, symbol, partition, first_trade_id, last_trade_id, missing, watermark)"
        " values ('binance', 'AAAUSDT', 0, 1, 9, '{}', to_timestamp(540))"
    )
    await pool.execute(
        "insert into closed_candles (venue, symbol, interval, open_time, open, high, low, close, volume,"
        " quote_volume, trade_count, first_event_time, first_trade_id, last_event_time, last_trade_id,"
        " revision, closed) select 'binance', 'AAAUSDT', '1m', t, 1, 1, 1, i, 1, 1, 1, t, i, t, i, 0, true"
        " from generate_series(1, 8) i cross join lateral (select to_timestamp(i * 60)) as x (t)"
    )
    closes = (await read_minute_closes(pool, 0, 3))[AAA]
    minutes_us = {number: number * 60_000_000 for number in (6, 7, 8)}
    assert closes == [(us + 60_000_000, Decimal(number), us, number) for number, us in minutes_us.items()]
    closes = (await read_minute_closes(pool, 0, 3, {AAA: 4 * 60_000_000 + 1}))[AAA]
    assert [close.price for close in closes] == [1, 2, 3]


def many(count: int) -> Sequence[Alert]:
    return [alert(f"{number:032x}", "above", f"{60_000 + number}.25") for number in range(count)]


@on_one_variant
async def test_many_alerts_are_stored_and_taken_over_in_bulk(pool: Pool) -> None:
    symbol = SymbolAlerts(AlertState(definition, armed=True) for definition in many(10_000))
    symbol._changed = dict(symbol._alerts)
    await store(pool, symbol, "1-0")
    later = SymbolAlerts((await read_alert_states(pool, 0))[AAA])
    assert len(later.run(runs([trade(1, "60009.5")])[0])) == 10
