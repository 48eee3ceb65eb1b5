"""The paper bot's tables give back exactly what was written."""

from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest
from conftest import PARTITIONS, on_one_variant
from msgspec.structs import replace

from db.bot.lists import EquityBound, read_accounts, read_equity, read_orders
from db.bot.states import BotRows, read_bot_states
from db.bot.switch import read_pending_switch, read_switch, write_switch
from tickplant.bot import AccountChanges, AccountState, Equity, Fill, PaperAccount, PaperOrder
from tickplant.derived import BotSwitch
from tickplant.market import SymbolId

T0 = 1_723_161_240_000_000
SYMBOL = SymbolId("binance", "PEPEUSDT")
PRICE = Decimal("0.00001234")

ACCOUNT = PaperAccount(
    venue="binance",
    symbol="PEPEUSDT",
    version=7,
    time_us=T0,
    enabled=False,
    switch_version=2,
    halted=True,
    initial_cash=Decimal("10000.00000000"),
    cash=Decimal("8999.00000001"),
    position=Decimal("81037277.14748783"),
    cost=Decimal("1001.00000000"),
    profit=Decimal("-0.00000007"),
    fees=Decimal("1.00000000"),
    orders=2,
    price=PRICE,
    equity=Decimal("9999.00000001"),
    day_us=T0 - T0 % 86_400_000_000,
    day_equity=Decimal("10000.00000000"),
)
FILLED = PaperOrder("binance", "PEPEUSDT", 1, "cross", 5, "buy", 100, T0 - 2, "open")
WAITING = PaperOrder("binance", "PEPEUSDT", 2, "cross", 6, "sell", 102, T0)
FILL = Fill(
    *("binance", "PEPEUSDT", 1, "buy", 101, T0 - 1),
    *(PRICE, Decimal("81037277.14748783"), Decimal("1000.00000000"), Decimal("1.00000000"), Decimal("0E-8")),
)
EQUITY = Equity("binance", "PEPEUSDT", T0, ACCOUNT.cash, ACCOUNT.position, PRICE, ACCOUNT.equity)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_account_is_read_back_to_the_last_digit(
    connection: asyncpg.Connection, database_url: str
) -> None:
    filled = replace(FILLED, state="filled")
    await BotRows(3, [AccountChanges(ACCOUNT, [FILLED], [], [])], None).write(connection, "1-0")
    rows = BotRows(
        3, [AccountChanges(ACCOUNT, [filled, WAITING], [FILL], [EQUITY])], BotSwitch(False, 2, "why")
    )
    await rows.write(connection, "2-0")
    async with asyncpg.create_pool(database_url, min_size=0) as pool:
        states = await read_bot_states(pool, 3)
        assert (await read_bot_states(pool, 2)).accounts == {}
    assert states.accounts == {SYMBOL: AccountState(ACCOUNT, [WAITING])}
    assert str(states.accounts[SYMBOL].account) == str(ACCOUNT)
    assert states.switch == BotSwitch(False, 2)
    assert await read_accounts(connection) == await read_accounts(connection, SYMBOL) == [ACCOUNT]
    assert await read_orders(connection, None, 10) == [(WAITING, None), (filled, FILL)]
    for bounds, found in (
        ((EquityBound(T0), EquityBound(T0 + 1)), [EQUITY]),
        ((EquityBound(T0, after=0), EquityBound(T0 + 1)), []),
        ((EquityBound(0), EquityBound(T0)), []),
    ):
        assert await read_equity(connection, SYMBOL, after=bounds[0], before=bounds[1], limit=5) == found


@on_one_variant
async def test_a_switch_is_sent_again_only_until_it_is_applied(
    connection: asyncpg.Connection, database_url: str
) -> None:
    off = BotSwitch(False, 2, "why")
    async with asyncpg.create_pool(database_url, min_size=0) as pool:
        assert await read_pending_switch(pool) == []
        await write_switch(pool, enabled=True, reason="")
        await write_switch(pool, enabled=False, reason="why")
        assert sorted(await read_pending_switch(pool)) == [(number, off) for number in range(PARTITIONS)]
        assert await read_pending_switch(pool) == []  # on its way
        for number in range(PARTITIONS - 1):
            await BotRows(number, [], off).write(connection, "1-0")
        await connection.execute("update bot_switchings set sent_at = sent_at - interval '6 seconds'")
        assert await read_pending_switch(pool) == [(PARTITIONS - 1, off)]
        switching = await read_switch(connection)
        assert switching is not None
        assert (switching.switch, switching.arrived) == (off, False)
        await BotRows(PARTITIONS - 1, [], off).write(connection, "1-0")
        await connection.execute("update bot_switchings set sent_at = sent_at - interval '6 seconds'")
        assert await read_pending_switch(pool) == []
        switching = await read_switch(connection)
        assert switching is not None
        assert switching.arrived
