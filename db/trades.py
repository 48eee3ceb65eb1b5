"""Reads trades: pages in order of event time and trade id, the last trade, and streams of batches."""

from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import asyncpg

from db.json_rows import JsonField, JsonPage, fetch_json_page, json_page_query, optional_text, text, time
from db.pages import fetch_page
from tickplant.market import SymbolId, Trade
from tickplant.times import to_datetime, to_us

MIN_TRADE_ID: Final = -(2**63)


class TradeBound(NamedTuple):
    """A bound of a page of trades."""

    event_time_us: int
    trade_id: int = MIN_TRADE_ID
    """The default is before every trade of that moment."""


TRADE_READ: Final = "venue, symbol, trade_id, price::text, size::text, side, event_time, ingest_time"
"""The columns that `trade_of` reads."""

# The times are compared separately, too: TimescaleDB selects chunks only by plain comparisons of the time.
_RANGE: Final = """
    from trades
    where venue = $1 and symbol = $2
        and event_time >= $3 and (event_time, trade_id) > ($3, $4)
        and event_time <= $5 and (event_time, trade_id) < ($5, $6)
"""

_READ: Final = f"""
    select {TRADE_READ} {_RANGE}
    order by event_time {{order}}, trade_id {{order}}
    limit $7
"""

TRADE_JSON: Final = {
    "trade_id": JsonField("trade_id"),
    "price": text("price"),
    "size": text("size"),
    "side": optional_text("side"),
    "event_time": time("event_time"),
    "ingest_time": time("ingest_time"),
}
"""The fields of a trade as JSON: those of the API's view."""

_READ_JSON: Final = json_page_query(
    TRADE_JSON,
    f"select trade_id, price, size, side, event_time, ingest_time {_RANGE}",
    order=("event_time", "trade_id"),
    limit="$7::int8",
    partition="$8",
)


async def read_trades(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    *,
    after: TradeBound,
    before: TradeBound,
    limit: int,
    newest: bool = False,
) -> list[Trade]:
    """Return trades of a symbol in ascending order of event time and trade id.

    Args:
        connection: to the database.
        symbol: of the trades.
        after: exclusive.
        before: exclusive.
        limit: the most trades.
        newest: whether the limit leaves out the oldest trades rather than the newest.
    """
    bounds = to_datetime(after[0]), after[1], to_datetime(before[0]), before[1]
    rows = await fetch_page(connection, _READ, *symbol, *bounds, limit, newest=newest)
    return [trade_of(row) for row in rows]


async def read_trades_as_json(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    *,
    after: TradeBound,
    before: TradeBound,
    limit: int,
    newest: bool = False,
    partition: int | None = None,
) -> JsonPage:
    """Return a page of the trades that `read_trades` returns; its edge is an event time and a trade id.

    Its `committed` is of the given partition.
    """
    bounds = to_datetime(after[0]), after[1], to_datetime(before[0]), before[1]
    return await fetch_json_page(connection, _READ_JSON, *symbol, *bounds, limit, partition, newest=newest)


async def read_trades_from_id(
    connection: asyncpg.Connection, symbol: SymbolId, first_id: int, limit: int
) -> list[Trade]:
    """Return the trades of a symbol from an id on, in order of time, as long as they are stored.

    There is no index of ids: the day and the minute in which ids reach the first one are found by candles.
    """
    start = await connection.fetchval(_START_OF_ID, *symbol, first_id)
    if start is None:
        return []
    rows = await connection.fetch(
        f"select {TRADE_READ} from trades"  # noqa: S608 - constants only
        " where venue = $1 and symbol = $2 and event_time >= $3 and trade_id >= $4"
        " order by event_time, trade_id limit $5",
        *symbol,
        start,
        first_id,
        limit,
    )
    return [trade_of(row) for row in rows]


_START_OF_ID: Final = """
select open_time from candles
where venue = $1 and symbol = $2 and "interval" = '1m' and greatest(first_trade_id, last_trade_id) >= $3
    and open_time >= (
        select open_time from candles
        where venue = $1 and symbol = $2 and "interval" = '1d'
            and greatest(first_trade_id, last_trade_id) >= $3
        order by open_time limit 1
    )
order by open_time limit 1
"""


async def read_last_trade(connection: asyncpg.Connection, symbol: SymbolId) -> Trade | None:
    """Return the newest trade of a symbol; None where there is none."""
    row = await connection.fetchrow(
        f"select {TRADE_READ} from trades where venue = $1 and symbol = $2"  # noqa: S608 - constants only
        " order by event_time desc, trade_id desc limit 1",
        *symbol,
    )
    return trade_of(row) if row else None


async def stream_trades(
    connection: asyncpg.Connection, symbol: SymbolId, *, start_us: int, end_us: int, numbered: bool
) -> AsyncGenerator[list[Trade], None]:
    """Yield the trades of a time range in batches, in constant memory.

    Args:
        connection: to the database, outside a transaction.
        symbol: of the trades.
        start_us: inclusive, by event time.
        end_us: exclusive.
        numbered: whether the ids are the venue's. These rise with time, with few exceptions, so trades are in
            order of time, as in the index; otherwise they are in order of id.
    """
    order = "event_time, trade_id" if numbered else "trade_id"
    query = (
        f"select {TRADE_READ} from trades"  # noqa: S608 - constants only
        f" where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4 order by {order}"
    )
    async with connection.transaction(readonly=True):
        # Read along an index in this order, if there is one, instead of sorting all before the first row.
        await connection.execute("set local enable_sort = off")
        cursor = await connection.cursor(query, *symbol, to_datetime(start_us), to_datetime(end_us))
        while rows := await cursor.fetch(_BATCH_ROWS):
            yield [trade_of(row) for row in rows]


_BATCH_ROWS: Final = 5_000


def trade_of(row: asyncpg.Record) -> Trade:
    """Return the trade of a row of `TRADE_READ`."""
    return Trade(
        row["venue"],
        row["symbol"],
        row["trade_id"],
        row["price"],
        row["size"],
        row["side"],
        to_us(row["event_time"]),
        to_us(row["ingest_time"]),
    )
