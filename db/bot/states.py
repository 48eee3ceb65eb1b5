"""The paper bot's tables, which a worker reads when it takes a partition, and writes in its transactions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.bot import AccountChanges, AccountState, Equity, Fill, PaperAccount, PaperOrder
from tickplant.derived import BotSwitch
from tickplant.market import SymbolId
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
    """The rows of the bot that a transaction writes; implements `db.commit.DerivedRows`."""

    def __init__(self, partition: int, changes: Sequence[AccountChanges], switch: BotSwitch | None) -> None:
        """Create the rows.

        Args:
            partition: of the accounts.
            changes: one for each account that changed.
            switch: the last switch received from the stream; None if there was none.
        """
        self._partition = partition
        self._changes = changes
        self._switch = switch

    @property
    def accounts(self) -> tuple[PaperAccount, ...]:
        """The accounts that changed, to be published."""
        return tuple(change.account for change in self._changes)

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows inside the worker's transaction."""
        if self._switch is not None:
            await connection.execute(
                _WRITE_SWITCHED, self._partition, self._switch.version, self._switch.enabled
            )
        accounts = [_account_values(change.account) for change in self._changes]
        await execute_rows(connection, _WRITE_ACCOUNTS, accounts, self._partition)
        for statement, rows in (
            (_WRITE_ORDERS, [_order_values(order) for change in self._changes for order in change.orders]),
            (_WRITE_FILLS, [_fill_values(fill) for change in self._changes for fill in change.fills]),
            (
                _WRITE_EQUITY,
                [_equity_values(equity) for change in self._changes for equity in change.equities],
            ),
        ):
            await execute_rows(connection, statement, rows)


class BotStates(NamedTuple):
    """The state from which the bot of a partition resumes."""

    accounts: dict[SymbolId, AccountState]
    switch: BotSwitch | None
    """The last switch received from the stream; None if there was none."""


async def read_bot_states(pool: asyncpg.Pool, partition: int) -> BotStates:
    """Return the state of a partition's bot, as of the committed entry."""
    orders: defaultdict[tuple[str, str], list[PaperOrder]] = defaultdict(list)
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


def _account_values(account: PaperAccount) -> tuple[Any, ...]:
    return (
        account.venue,
        account.symbol,
        account.version,
        to_datetime(account.time_us),
        account.enabled,
        account.switch_version,
        account.halted,
        account.initial_cash,
        account.cash,
        account.position,
        account.cost,
        account.profit,
        account.fees,
        account.orders,
        account.price,
        account.equity,
        to_datetime(account.day_us),
        account.day_equity,
    )


def account_of(row: asyncpg.Record) -> PaperAccount:
    """Return the account of a row."""
    return PaperAccount(
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


def _order_values(order: PaperOrder) -> tuple[Any, ...]:
    return (
        order.venue,
        order.symbol,
        order.number,
        order.strategy,
        order.signal_number,
        order.side,
        order.trade_id,
        to_datetime(order.time_us),
        order.state,
        order.reason,
    )


def order_of(row: asyncpg.Record) -> PaperOrder:
    """Return the order of a row."""
    return PaperOrder(
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


def _fill_values(fill: Fill) -> tuple[Any, ...]:
    return (
        fill.venue,
        fill.symbol,
        fill.number,
        fill.side,
        fill.trade_id,
        to_datetime(fill.time_us),
        fill.price,
        fill.size,
        fill.quote,
        fill.fee,
        fill.profit,
    )


def _equity_values(equity: Equity) -> tuple[Any, ...]:
    return (
        equity.venue,
        equity.symbol,
        to_datetime(equity.time_us),
        equity.cash,
        equity.position,
        equity.price,
        equity.equity,
    )
