"""Stored trades whose price is far from the previous trade's."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.market import Trade
from tickplant.times import to_datetime


class Outlier(NamedTuple):
    """A trade with a thousand times the last price, or a thousandth of it."""

    trade: Trade
    last_price: Decimal
    confirmed: bool
    """Whether the next trade was near it."""


async def write_outliers(connection: asyncpg.Connection, outliers: Sequence[Outlier]) -> None:
    """Store outliers, the latest state of each trade."""
    latest = {
        (outlier.trade.venue, outlier.trade.symbol, outlier.trade.trade_id): outlier for outlier in outliers
    }
    rows = [
        (
            *key,
            to_datetime(outlier.trade.event_time_us),
            Decimal(outlier.trade.price),
            outlier.last_price,
            outlier.confirmed,
        )
        for key, outlier in latest.items()
    ]
    await execute_rows(connection, _WRITE, rows)


_WRITE: Final = """
insert into outliers (venue, symbol, trade_id, event_time, price, last_price, confirmed)
select * from unnest(
    $1::text[], $2::text[], $3::int8[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::bool[]
)
on conflict (venue, symbol, trade_id) do update set confirmed = excluded.confirmed
"""
