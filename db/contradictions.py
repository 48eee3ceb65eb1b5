"""Compares repeated trades with the stored trades of the same ids."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import asyncpg

from db.bulk import columns_of
from tickplant.market import Trade
from tickplant.times import to_datetime


async def find_contradictions(connection: asyncpg.Connection, repeated: Sequence[Trade]) -> list[Trade]:
    """Return the trades that differ from the stored ones with their ids, but for those removed by age."""
    if not repeated:
        return []
    rows = [
        (
            trade.venue,
            trade.symbol,
            trade.trade_id,
            to_datetime(trade.event_time_us),
            Decimal(trade.price),
            Decimal(trade.size),
        )
        for trade in repeated
    ]
    times = [row[3] for row in rows]
    numbers = await connection.fetch(_FIND, *columns_of(rows), min(times), max(times))
    return [repeated[row["number"] - 1] for row in numbers]


# A socket and the history may round the time of a trade differently. The bounds on all rows exclude most of
# the columnstore.
_FIND: Final = """
select r.number
from unnest($1::text[], $2::text[], $3::int8[], $4::timestamptz[], $5::numeric[], $6::numeric[])
    with ordinality as r (venue, symbol, trade_id, event_time, price, size, number)
where not exists (
    select from trades t
    where t.venue = r.venue and t.symbol = r.symbol and t.trade_id = r.trade_id
        and t.price = r.price and t.size = r.size
        and t.event_time between r.event_time - interval '1 ms' and r.event_time + interval '1 ms'
        and t.event_time between $7::timestamptz - interval '1 ms' and $8::timestamptz + interval '1 ms'
) and not exists (
    select from expired e
    where e.venue = r.venue and e.symbol = r.symbol
        and (r.event_time < e.before or r.trade_id <= e.last_trade_id)
)
order by r.number
"""
