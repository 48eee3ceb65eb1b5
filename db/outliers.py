"""Stored trades whose price is far from that of the trade before them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.market import Trade
from tickplant.times import to_datetime


class Outlier(NamedTuple):
    """A price a thousand times the last one, or a thousandth."""

    trade: Trade
    last_price: Decimal
    confirmed: bool
    """Whether the next trade was near it."""


async def write_outliers(connection: asyncpg.Connection, outliers: Sequence[Outlier]) -> None:
    """Store outliers, of each trade the latest that is known."""
    latest = {(it.trade.venue, it.trade.symbol, it.trade.trade_id): it for it in outliers}
    rows = [
        (*key, to_datetime(it.trade.event_time_us), Decimal(it.trade.price), it.last_price, it.confirmed)
        for key, it in latest.items()
    ]
    await execute_rows(connection, _WRITE, rows)


_WRITE: Final = """
insert into outliers (venue, symbol, trade_id, event_time, price, last_price, confirmed)
select * from unnest(
    $1::text[], $2::text[], $3::int8[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::bool[]
)
on conflict (venue, symbol, trade_id) do update set confirmed = excluded.confirmed
"""
