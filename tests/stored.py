"""What the database holds, in the shapes of `offline`."""

from typing import Any

import asyncpg
from offline import LENGTH_S


async def read_trades(url: str) -> list[tuple[Any, ...]]:
    """Return (symbol, id, price, size, side, event time in us) of every row, sorted."""
    rows = await fetch_rows(
        url,
        "select symbol, trade_id, price, size, side, (extract(epoch from event_time) * 1000000)::int8"
        " from trades order by symbol, trade_id",
    )
    return [tuple(row) for row in rows]


async def read_candles(url: str) -> dict[tuple[str, str, int], tuple[Any, ...]]:
    """Return the candles in the shape of `offline.candles`."""
    rows = await fetch_rows(
        url,
        'select symbol, "interval", extract(epoch from open_time)::int8, open, high, low, close, volume,'
        " quote_volume, taker_buy_volume, taker_buy_quote_volume, trade_count, first_trade_id, last_trade_id"
        " from candles",
    )
    return {(row[0], row[1], row[2]): tuple(row)[3:] for row in rows}


async def read_flags(url: str, symbol: str, interval: str = "1m") -> list[tuple[int, bool, bool, int]]:
    """Return (open time in s, closed, complete, revision) in order of time."""
    assert interval in LENGTH_S
    rows = await fetch_rows(
        url,
        "select extract(epoch from open_time)::int8, closed, complete, revision from candles"
        ' where symbol = $1 and "interval" = $2 order by open_time',
        symbol,
        interval,
    )
    return [tuple(row) for row in rows]


async def read_gaps(url: str) -> list[tuple[Any, ...]]:
    """Return (first id, last id, state, cause, reason) of every gap, in order."""
    rows = await fetch_rows(
        url, "select first_id, last_id, state, cause, reason from gaps order by symbol, first_id"
    )
    return [tuple(row) for row in rows]


async def fetch_rows(url: str, query: str, *args: Any) -> list[asyncpg.Record]:
    """Return all rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query, *args)
    finally:
        await connection.close()


async def fetch_value(url: str, query: str, *args: Any) -> Any:
    """Return the first column of the first row."""
    rows = await fetch_rows(url, query, *args)
    return rows[0][0] if rows else None
