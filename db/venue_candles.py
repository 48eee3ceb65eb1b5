"""Candles that venues made themselves: stores them, and reads them beside those of trades."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from db.bulk import columns_of
from db.candles import CANDLE_JSON
from db.json_rows import JsonPage, fetch_json_page, json_page_query, optional_number, text
from tickplant.intervals import CANDLE_INTERVALS
from tickplant.klines import Kline
from tickplant.market import SymbolId
from tickplant.times import to_datetime

_STORE: Final = """
    insert into venue_candles as c
    select $1, $2, $3, * from unnest(
        $4::timestamptz[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[],
        $10::numeric[], $11::int8[], $12::numeric[], $13::numeric[]
    )
    on conflict (venue, symbol, "interval", open_time) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, quote_volume = excluded.quote_volume, trade_count = excluded.trade_count,
        taker_buy_volume = excluded.taker_buy_volume,
        taker_buy_quote_volume = excluded.taker_buy_quote_volume
    where (c.open, c.high, c.low, c.close, c.volume, c.quote_volume, c.trade_count, c.taker_buy_volume,
            c.taker_buy_quote_volume)
        is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
            excluded.quote_volume, excluded.trade_count, excluded.taker_buy_volume,
            excluded.taker_buy_quote_volume)
    returning 1
"""

_NOTE: Final = """
    insert into venue_candle_symbols values ($1, $2, clock_timestamp())
    on conflict (venue, symbol) do update set changed_at = excluded.changed_at
"""

_RANGE: Final = "select * from all_candles($1, $2, $3, $4, $5)"

ALL_CANDLE_JSON: Final = {
    **CANDLE_JSON,
    "first_trade_id": optional_number("first_trade_id"),
    "last_trade_id": optional_number("last_trade_id"),
    "origin": text("origin"),
}
"""The fields of a candle of either origin as JSON: those of the API's view."""

_READ_JSON: Final = json_page_query(
    ALL_CANDLE_JSON, _RANGE, order=("open_time",), limit="$6::int8", partition="null"
)

# At most two candles have the same open time: twice as many rows as wanted are enough.
_BEYOND: Final = """
    select open_time from (
        (select open_time from candles
        where venue = $1 and symbol = $2 and "interval" = $3 and open_time >= $4 and open_time < $5
        order by open_time {order} limit $6 + 1)
        union all
        (select open_time from venue_candles
        where venue = $1 and symbol = $2 and "interval" = $3 and open_time >= $4 and open_time < $5
        order by open_time {order} limit $6 + 1)
    ) as either order by open_time {order} offset $6 limit 1
"""


async def store_venue_candles(
    connection: asyncpg.Connection, symbol: SymbolId, interval: str, candles: Sequence[Kline]
) -> int:
    """Store candles of a symbol, in place of those that are stored and differ.

    Args:
        connection: in a transaction.
        symbol: of the candles.
        interval: one of the stored ones.
        candles: at most one an open time.

    Returns:
        How many were new or differed.
    """
    rows = [
        (
            to_datetime(candle.open_time_us),
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.quote_volume,
            candle.trade_count,
            candle.taker_buy_volume,
            candle.taker_buy_quote_volume,
        )
        for candle in candles
    ]
    if not rows:
        return 0
    stored = len(await connection.fetch(_STORE, *symbol, interval, *columns_of(rows)))
    if stored:
        await connection.execute(_NOTE, *symbol)
    return stored


async def count_venue_candles(
    connection: asyncpg.Connection, symbol: SymbolId, interval: str, start_us: int, end_us: int
) -> int:
    """Return how many candles of a symbol's venue are stored, by open time: from inclusive, to exclusive."""
    count: int = await connection.fetchval(
        'select count(*) from venue_candles where venue = $1 and symbol = $2 and "interval" = $3'
        " and open_time >= $4 and open_time < $5",
        *symbol,
        interval,
        to_datetime(start_us),
        to_datetime(end_us),
    )
    return count


async def read_symbols_of_venue_candles(connection: asyncpg.Connection) -> list[SymbolId]:
    """Return the symbols that have candles of their venue, in order."""
    rows = await connection.fetch("select venue, symbol from venue_candle_symbols order by venue, symbol")
    return [SymbolId(*row) for row in rows]


async def read_changed_at(connection: asyncpg.Connection, symbol: SymbolId) -> datetime | None:
    """Return when candles of a symbol's venue were last stored; None if it has none."""
    changed: datetime | None = await connection.fetchval(
        "select changed_at from venue_candle_symbols where venue = $1 and symbol = $2", *symbol
    )
    return changed


async def read_all_candles_as_json(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool,
) -> JsonPage:
    """Return a page of candles of both origins, of each open time one; its edge is an open time.

    Args:
        connection: in a transaction that sees one snapshot.
        symbol: of the candles.
        interval: one of the stored ones.
        start_us: the least open time, inclusive.
        end_us: the greatest open time, exclusive.
        limit: the most candles.
        newest: whether the limit leaves out the oldest candles rather than the newest.
    """
    bounds = to_datetime(start_us), to_datetime(end_us)
    order = "desc" if newest else "asc"
    beyond = await connection.fetchval(
        _BEYOND.format(order=order), *symbol, interval, *bounds, 2 * (limit + 1)
    )
    if beyond is not None:
        bounds = (beyond, bounds[1]) if newest else (bounds[0], beyond)
    length = CANDLE_INTERVALS[interval].sql
    return await fetch_json_page(
        connection, _READ_JSON, *symbol, interval, *bounds, limit, length, newest=newest
    )
