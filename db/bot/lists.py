"""Reads the paper bot's accounts, orders and equity."""

from typing import Final, NamedTuple

import asyncpg

from db.bot.states import account_of, order_of
from db.pages import fetch_page
from tickplant.bot import Equity, Fill, PaperAccount, PaperOrder
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


async def read_accounts(connection: asyncpg.Connection, symbol: SymbolId | None = None) -> list[PaperAccount]:
    """Return all accounts, or that of one symbol, in order of symbol."""
    rows = await connection.fetch(
        "select * from bot_accounts where $1::text is null or venue = $1 and symbol = $2"
        " order by venue, symbol",
        *(symbol or (None, None)),
    )
    return [account_of(row) for row in rows]


async def read_orders(
    connection: asyncpg.Connection, symbol: SymbolId | None, limit: int
) -> list[tuple[PaperOrder, Fill | None]]:
    """Return the newest orders with their fills, newest first.

    Args:
        connection: any.
        symbol: only those of one symbol; None for all.
        limit: the most to return.
    """
    rows = await connection.fetch(
        'select o.*, f.trade_id as filled_by, f."time" as filled_at, f.price, f.size, f.quote, f.fee,'
        " f.profit"
        " from bot_orders o left join bot_fills f using (venue, symbol, number)"
        " where $1::text is null or o.venue = $1 and o.symbol = $2"
        ' order by o."time" desc, o.venue, o.symbol, o.number desc limit $3',
        *(symbol or (None, None)),
        limit,
    )
    return [(order_of(row), _fill_of(row) if row["price"] is not None else None) for row in rows]


class EquityBound(NamedTuple):
    """A bound of a page of equities, exclusive."""

    time_us: int
    after: int = -1
    """-1: before the equity of that time; otherwise after it."""


async def read_equity(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    *,
    after: EquityBound,
    before: EquityBound,
    limit: int,
    newest: bool = False,
) -> list[Equity]:
    """Return an account's equity over time, oldest first.

    Args:
        connection: to the database.
        symbol: of the account.
        after: exclusive.
        before: exclusive.
        limit: the most to return.
        newest: whether the limit leaves out the oldest rather than the newest.
    """
    rows = await fetch_page(
        connection,
        _READ_EQUITY,
        *symbol,
        to_datetime(after.time_us),
        after.after,
        to_datetime(before.time_us),
        before.after,
        limit,
        newest=newest,
    )
    return [_equity_of(row) for row in rows]


# The times are compared separately, too: TimescaleDB selects chunks only by plain comparisons of the time.
_READ_EQUITY: Final = """
select * from bot_equity
where venue = $1 and symbol = $2
    and "time" >= $3 and ("time", 0::int8) > ($3, $4::int8)
    and "time" <= $5 and ("time", 0::int8) < ($5, $6::int8)
order by "time" {order} limit $7
"""


def _fill_of(row: asyncpg.Record) -> Fill:
    return Fill(
        row["venue"],
        row["symbol"],
        row["number"],
        row["side"],
        row["filled_by"],
        to_us(row["filled_at"]),
        row["price"],
        row["size"],
        row["quote"],
        row["fee"],
        row["profit"],
    )


def _equity_of(row: asyncpg.Record) -> Equity:
    return Equity(
        row["venue"],
        row["symbol"],
        to_us(row["time"]),
        row["cash"],
        row["position"],
        row["price"],
        row["equity"],
    )
