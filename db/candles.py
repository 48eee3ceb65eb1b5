"""Reads candles: stored ones, those merged from them, and those of one second, computed from trades."""

from datetime import datetime
from typing import Final

import asyncpg

from db.json_rows import (
    JsonField,
    JsonPage,
    boolean,
    fetch_json_page,
    json_page_query,
    optional_text,
    text,
    time,
)
from db.pages import fetch_page
from tickplant.intervals import CANDLE_INTERVALS, SECOND_US
from tickplant.market import Candle, SymbolId
from tickplant.times import to_datetime, to_us

SECOND: Final = "1s"
"""The one interval that is computed and not stored."""

MAX_SECOND_TRADES: Final = 50_000
"""The most trades read for one page of candles of one second."""

_RANGE: Final = """
    select * from candles
    where venue = $1 and symbol = $2 and "interval" = $3 and open_time >= $4 and open_time < $5
"""

_MERGED_RANGE: Final = "select * from merged_candles($1, $2, $3, $4, $5)"

_ORDER: Final = "order by open_time {order} limit $6"

# The stored candle beyond enough others for a page; there may be fewer.
_BEYOND: Final = f"select open_time from ({_RANGE}) as parts order by open_time {{order}} offset $6 limit 1"  # noqa: S608 - constants only

CANDLE_JSON: Final = {
    "open_time": time("open_time"),
    "close_time": time("(open_time + $7::text::interval)"),
    "open": text("open"),
    "high": text("high"),
    "low": text("low"),
    "close": text("close"),
    "volume": text("volume"),
    "quote_volume": text("quote_volume"),
    "taker_buy_volume": optional_text("taker_buy_volume"),
    "taker_buy_quote_volume": optional_text("taker_buy_quote_volume"),
    "vwap": optional_text("vwap(quote_volume, volume)"),
    "trade_count": JsonField("trade_count"),
    "first_trade_id": JsonField("first_trade_id"),
    "last_trade_id": JsonField("last_trade_id"),
    "closed": boolean("closed"),
    "complete": boolean("complete"),
    "revision": JsonField("revision"),
}
"""The fields of a candle as JSON: those of the API's view."""

_READ_JSON, _READ_MERGED_JSON = (
    json_page_query(CANDLE_JSON, select, order=("open_time",), limit="$6::int8", partition="$8")
    for select in (_RANGE, _MERGED_RANGE)
)

TAKER_BUY_SUMS: Final = """
    case when count(side) = count(*) then sum(case side when 'buy' then size else 0 end) end
        as taker_buy_volume,
    case when count(side) = count(*) then sum(case side when 'buy' then price * size else 0 end) end
        as taker_buy_quote_volume
"""
"""Of trades; null unless every one has a side."""

_READ_SECONDS: Final = f"""
    with part as (
        select * from trades
        where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
            -- A late trade, whose neighbours were removed by age, is not the only one of its second.
            and event_time >= coalesce(
                (select before from expired where venue = $1 and symbol = $2), '-infinity'
            )
        order by event_time {{order}}, trade_id {{order}}
        limit $5
    ), second as (
        select venue, symbol, date_trunc('second', event_time) as open_time,
            (array_agg(price order by event_time, trade_id))[1] as open,
            max(price) as high,
            min(price) as low,
            (array_agg(price order by event_time desc, trade_id desc))[1] as close,
            sum(size) as volume,
            sum(price * size) as quote_volume,
            {TAKER_BUY_SUMS},
            count(*) as trade_count,
            min(event_time) as first_event_time,
            (array_agg(trade_id order by event_time, trade_id))[1] as first_trade_id,
            max(event_time) as last_event_time,
            (array_agg(trade_id order by event_time desc, trade_id desc))[1] as last_trade_id
        from part group by 1, 2, 3
    )
    select s.*, '1s' as "interval", 0::bigint as revision, t.closed,
        t.closed and is_complete(l, s.first_trade_id, s.last_trade_id) as complete
    from second s
    join ledger l using (venue, symbol)
    cross join lateral (select s.open_time + interval '1 second' <= l.watermark as closed) t
    order by s.open_time {{order}}
"""  # noqa: S608 - constants only


async def read_candles(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool = False,
) -> list[Candle]:
    """Return candles of a symbol in ascending order; intervals without trades have none.

    Args:
        connection: to the database.
        symbol: of the candles.
        interval: any but a second.
        start_us: the least open time, inclusive.
        end_us: the greatest open time, exclusive.
        limit: the most candles.
        newest: whether the limit leaves out the oldest candles rather than the newest.
    """
    bounds = await _bounds(connection, symbol, interval, start_us, end_us, limit, newest=newest)
    query = f"{_MERGED_RANGE if CANDLE_INTERVALS[interval].merged_from else _RANGE} {_ORDER}"
    rows = await fetch_page(connection, query, *symbol, interval, *bounds, limit, newest=newest)
    return [candle_of(row) for row in rows]


async def read_candles_as_json(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    interval: str,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool = False,
    partition: int | None = None,
) -> JsonPage:
    """Return a page of the candles that `read_candles` returns; its edge is an open time.

    Its `committed` is of the given partition. Candles of merged intervals take two statements, so a
    transaction that sees one snapshot.
    """
    bounds = await _bounds(connection, symbol, interval, start_us, end_us, limit, newest=newest)
    query = _READ_MERGED_JSON if CANDLE_INTERVALS[interval].merged_from else _READ_JSON
    return await fetch_json_page(
        connection,
        query,
        *symbol,
        interval,
        *bounds,
        limit,
        CANDLE_INTERVALS[interval].sql,
        partition,
        newest=newest,
    )


async def _bounds(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    name: str,
    start_us: int,
    end_us: int,
    limit: int,
    *,
    newest: bool,
) -> tuple[datetime, datetime]:
    """Return the range of open times to read; of merged candles only as much as a page and one more need."""
    interval = CANDLE_INTERVALS[name]
    if interval.merged_from is not None:
        bounds = to_datetime(start_us), to_datetime(end_us)
        query = _BEYOND.format(order="desc" if newest else "asc")
        parts = (limit + 1) * interval.parts
        beyond = await connection.fetchval(query, *symbol, interval.merged_from, *bounds, parts)
        if beyond is not None and newest:
            start_us = max(start_us, interval.floor(to_us(beyond)))
        elif beyond is not None:
            end_us = min(end_us, interval.after(interval.floor(to_us(beyond))))
    return to_datetime(start_us), to_datetime(end_us)


async def read_seconds(
    connection: asyncpg.Connection,
    symbol: SymbolId,
    *,
    start_us: int,
    end_us: int,
    limit: int,
    newest: bool = False,
    max_trades: int = MAX_SECOND_TRADES,
) -> tuple[list[Candle], bool]:
    """Compute candles of one second from trades, in ascending order.

    Args:
        connection: to the database.
        symbol: of the candles.
        start_us: the least open time, inclusive.
        end_us: the greatest open time, exclusive.
        limit: the most candles.
        newest: whether a limit leaves out the oldest candles rather than the newest.
        max_trades: the most trades to read, unless a single second has more.

    Returns:
        The candles, and whether there may be more in the range.
    """
    query = _READ_SECONDS.format(order="desc" if newest else "asc")
    start_us, end_us = _ceil_second(start_us), _ceil_second(end_us)
    bounds = to_datetime(start_us), to_datetime(end_us)
    candles = [candle_of(row) for row in await connection.fetch(query, *symbol, *bounds, max_trades)]
    more = False
    if sum(candle.trade_count for candle in candles) == max_trades:
        more = True
        if len(candles) > 1:
            candles.pop()  # the limit may have cut it
        else:
            open_us = candles[0].open_time_us
            bounds = to_datetime(open_us), to_datetime(open_us + SECOND_US)
            candles = [candle_of(row) for row in await connection.fetch(query, *symbol, *bounds, None)]
    more |= len(candles) > limit
    candles = candles[:limit]
    return (candles[::-1] if newest else candles), more


def _ceil_second(time_us: int) -> int:
    return -(-time_us // SECOND_US) * SECOND_US


def candle_of(row: asyncpg.Record) -> Candle:
    """Return the candle of a row."""
    return Candle(
        row["venue"],
        row["symbol"],
        row["interval"],
        to_us(row["open_time"]),
        row["open"],
        row["high"],
        row["low"],
        row["close"],
        row["volume"],
        row["quote_volume"],
        row["trade_count"],
        to_us(row["first_event_time"]),
        row["first_trade_id"],
        to_us(row["last_event_time"]),
        row["last_trade_id"],
        row["revision"],
        row["closed"],
        row["complete"],
        row["taker_buy_volume"],
        row["taker_buy_quote_volume"],
    )
