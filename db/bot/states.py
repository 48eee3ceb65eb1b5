"""The paper bot's tables: written with the trades that caused it, and read by who goes on from there."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.derived import BotSwitch
from tickplant.market import SymbolId
from tickplant.paper_bot import Account, AccountState, Changes, Equity, Fill, Order
from tickplant.times import to_datetime, to_us

_WRITE_ACCOUNTS: Final = """
insert into bot_accounts
select r.*, $1::int
from unnest(
    $2::text[], $3::text[], $4::int8[], $5::timestamptz[], $6::bool[], $7::int8[], $8::bool[], $9::numeric[],
    $10::numeric[], $11::numeric[], $12::numeric[], $13::numeric[], $14::numeric[], $15::int8[],
    $16::numeric[], $17::numeric[], $18::timestamptz[], $19::numeric[]
) r
on conflict (venue, symbol) do update set
    version = excluded.version, "time" = excluded."time", enabled = excluded.enabled,
    switch_version = excluded.switch_version, halted = excluded.halted, cash = excluded.cash,
    "position" = excluded."position", cost = excluded.cost, profit = excluded.profit, fees = excluded.fees,
    orders = excluded.orders, price = excluded.price, equity = excluded.equity, day = excluded.day,
    day_equity = excluded.day_equity
"""

_WRITE_ORDERS: Final = """
insert into bot_orders
select * from unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[], $6::text[], $7::int8[],
    $8::timestamptz[], $9::text[], $10::text[])
on conflict (venue, symbol, number) do update set state = excluded.state, reason = excluded.reason
"""

_WRITE_FILLS: Final = """
insert into bot_fills
select * from unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[], $6::timestamptz[],
    $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::numeric[])
"""

_WRITE_EQUITY: Final = """
insert into bot_equity
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[],
    $7::numeric[])
"""

_WRITE_SWITCHED: Final = """
insert into bot_switched values ($1, $2, $3)
on conflict (partition) do update set version = excluded.version, enabled = excluded.enabled
"""


class BotRows:
    """What the bot stores with a batch: `db.commit.Rows`."""

    def __init__(self, partition: int, changes: Sequence[Changes], switch: BotSwitch | None) -> None:
        """Take what has changed.

        Args:
            partition: the one owned.
            changes: one for each account that changed.
            switch: the last switching that has come down the stream; None where none did.
        """
        self._partition = partition
        self._changes = changes
        self._switch = switch

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that changed, for whoever watches."""
        return tuple(each.account for each in self._changes)

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Store it, inside the worker's transaction."""
        if self._switch is not None:
            await connection.execute(
                _WRITE_SWITCHED, self._partition, self._switch.version, self._switch.enabled
            )
        accounts = [_account_values(each.account) for each in self._changes]
        await execute_rows(connection, _WRITE_ACCOUNTS, accounts, self._partition)
        for statement, rows in (
            (_WRITE_ORDERS, [_order_values(it) for each in self._changes for it in each.orders]),
            (_WRITE_FILLS, [_fill_values(it) for each in self._changes for it in each.fills]),
            (_WRITE_EQUITY, [_equity_values(it) for each in self._changes for it in each.equities]),
        ):
            await execute_rows(connection, statement, rows)


class BotStates(NamedTuple):
    """What the bot of one partition goes on with."""

    accounts: dict[SymbolId, AccountState]
    switch: BotSwitch | None
    """The last switching that has come down the stream; None where none did."""


async def read_bot_states(pool: asyncpg.Pool, partition: int) -> BotStates:
    """Return what the bot of a partition was, as of the committed entry."""
    orders: defaultdict[tuple[str, str], list[Order]] = defaultdict(list)
    for row in await pool.fetch(
        "select o.* from bot_orders o join bot_accounts a using (venue, symbol)"
        " where a.partition = $1 and o.state = 'open' order by o.number",
        partition,
    ):
        orders[row["venue"], row["symbol"]].append(order_of(row))
    rows = await pool.fetch("select * from bot_accounts where partition = $1", partition)
    accounts = {
        SymbolId(row["venue"], row["symbol"]): AccountState(
            account_of(row), orders[row["venue"], row["symbol"]]
        )
        for row in rows
    }
    switched = await pool.fetchrow("select * from bot_switched where partition = $1", partition)
    switch = BotSwitch(switched["enabled"], switched["version"]) if switched else None
    return BotStates(accounts, switch)


def _account_values(it: Account) -> tuple[Any, ...]:
    return (
        it.venue,
        it.symbol,
        it.version,
        to_datetime(it.time_us),
        it.enabled,
        it.switch_version,
        it.halted,
        it.initial_cash,
        it.cash,
        it.position,
        it.cost,
        it.profit,
        it.fees,
        it.orders,
        it.price,
        it.equity,
        to_datetime(it.day_us),
        it.day_equity,
    )


def account_of(row: asyncpg.Record) -> Account:
    """Return the account in a row."""
    return Account(
        venue=row["venue"],
        symbol=row["symbol"],
        version=row["version"],
        time_us=to_us(row["time"]),
        enabled=row["enabled"],
        switch_version=row["switch_version"],
        halted=row["halted"],
        initial_cash=row["initial_cash"],
        cash=row["cash"],
        position=row["position"],
        cost=row["cost"],
        profit=row["profit"],
        fees=row["fees"],
        orders=row["orders"],
        price=row["price"],
        equity=row["equity"],
        day_us=to_us(row["day"]),
        day_equity=row["day_equity"],
    )


def _order_values(it: Order) -> tuple[Any, ...]:
    return (
        it.venue,
        it.symbol,
        it.number,
        it.strategy,
        it.signal_number,
        it.side,
        it.trade_id,
        to_datetime(it.time_us),
        it.state,
        it.reason,
    )


def order_of(row: asyncpg.Record) -> Order:
    """Return the order in a row."""
    return Order(
        row["venue"],
        row["symbol"],
        row["number"],
        row["strategy"],
        row["signal_number"],
        row["side"],
        row["trade_id"],
        to_us(row["time"]),
        row["state"],
        row["reason"],
    )


def _fill_values(it: Fill) -> tuple[Any, ...]:
    return (
        it.venue,
        it.symbol,
        it.number,
        it.side,
        it.trade_id,
        to_datetime(it.time_us),
        it.price,
        it.size,
        it.quote,
        it.fee,
        it.profit,
    )


def _equity_values(it: Equity) -> tuple[Any, ...]:
    return (it.venue, it.symbol, to_datetime(it.time_us), it.cash, it.position, it.price, it.equity)
