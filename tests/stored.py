"""What the database holds, in the shapes of `offline`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from offline import LENGTH_S

from db.schema import read_migrations


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


@asynccontextmanager
async def database_of_migration(
    server_address: str, last: int, *, timescaledb: bool
) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """Create an empty database as of a former migration; yield its address and a connection, and drop it."""
    server = await asyncpg.connect(server_address)
    name = f"former_{last}"
    await server.execute(f"create database {name}")
    url = f"{server_address.rpartition('/')[0]}/{name}"
    connection = await asyncpg.connect(url)
    if timescaledb:
        await connection.execute("create extension timescaledb")
    await connection.execute(
        "create table migration (number integer primary key, name text not null,"
        " ran_at timestamptz not null default now())"
    )
    for number, path in read_migrations().items():
        if number <= last:
            await connection.execute(path.read_text(encoding="utf-8"))
            await connection.execute("insert into migration values ($1, $2)", number, path.name)
    try:
        yield url, connection
    finally:
        await connection.close()
        await server.execute(f"drop database {name} with (force)")
        await server.close()
