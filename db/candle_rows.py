"""The candles of a partition: its owner reads them when it takes the partition, and writes them.

Open candles have a table of their own. Its rows of longer intervals hold the minutes that have ended by the
symbol's watermark; the view `open_candles` adds the watermark's own minute.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg

from db.bulk import columns_of
from db.candles import candle_of
from tickplant.intervals import INTERVALS
from tickplant.market import Candle
from tickplant.times import to_datetime

PART_COLUMNS: Final = (
    "venue",
    "symbol",
    "interval",
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
    "first_event_time",
    "first_trade_id",
    "last_event_time",
    "last_trade_id",
    "revision",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
"""Of both tables of candles, without the flags `closed` and `complete`."""


def part_columns(alias: str = "", *, revision: str | None = None) -> str:
    """Return `PART_COLUMNS` as SQL, of a table's alias, with an expression in place of the revision."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(
        revision if revision is not None and name == "revision" else f'{prefix}"{name}"'
        for name in PART_COLUMNS
    )


def insert_candles(table: str) -> str:
    """Return the start of a statement that inserts `PART_COLUMNS` and the two flags, as `c`."""
    return f"insert into {table} as c ({part_columns()}, closed, complete)"


CandlesByKey = dict[tuple[str, str, str, int], Candle]
"""By venue, symbol, interval and open time."""


async def merge_candles(
    connection: asyncpg.Connection,
    parts: Sequence[Candle],
    watermarks_us: Mapping[tuple[str, str], int],
    symbols: Sequence[tuple[str, str]],
) -> CandlesByKey:
    """Move open candles that have ended to the closed ones, then merge parts of candles into their rows.

    Args:
        connection: in a transaction that has written the ledger.
        parts: at most one per row.
        watermarks_us: by venue and symbol of all parts.
        symbols: of which candles may have ended.

    Returns:
        The candles that had already closed.
    """
    if symbols:
        await connection.execute(_MOVE, *columns_of(symbols), *_lengths())
    opened: list[Candle] = []
    ended: list[Candle] = []
    for part in parts:
        end_us = part.open_time_us + INTERVALS[part.interval]
        (ended if end_us <= watermarks_us[part.venue, part.symbol] else opened).append(part)
    if opened:
        await connection.execute(_MERGE_OPEN, *columns_of(map(part_values, opened)))
    if not ended:
        return {}
    return _by_key(await connection.fetch(_MERGE_ENDED, *columns_of(map(part_values, ended))))


async def close_candles(connection: asyncpg.Connection, symbols: Sequence[tuple[str, str]]) -> CandlesByKey:
    """Update the flags of symbols' candles, given the ledger; return those that closed or became complete."""
    if not symbols:
        return {}
    return _by_key(await connection.fetch(_CLOSE, *columns_of(symbols), *_lengths()))


async def read_open_candles(pool: asyncpg.Pool, partition: int) -> list[Candle]:
    """Return the open candles of a partition's symbols."""
    rows = await pool.fetch(
        "select c.* from ledger l join open_candles c on c.venue = l.venue and c.symbol = l.symbol"
        " where l.partition = $1",
        partition,
    )
    return list(_by_key(rows).values())


async def read_last_closed(pool: asyncpg.Pool, partition: int) -> list[Candle]:
    """Return the newest closed candle of each interval of a partition's symbols."""
    rows = await pool.fetch(
        "select c.* from ledger l cross join unnest($2::text[]) as i (name) cross join lateral ("
        " select * from closed_candles where venue = l.venue and symbol = l.symbol"
        ' and "interval" = i.name order by open_time desc limit 1'
        ") c where l.partition = $1",
        partition,
        list(INTERVALS),
    )
    return list(_by_key(rows).values())


# The same rule as tickplant.market.merge.
_MERGE: Final = """
{insert}
select *, false, false from {parts}
on conflict {key} do update set
    open = case when (excluded.first_event_time, excluded.first_trade_id)
        < (c.first_event_time, c.first_trade_id) then excluded.open else c.open end,
    high = greatest(c.high, excluded.high),
    low = least(c.low, excluded.low),
    close = case when (excluded.last_event_time, excluded.last_trade_id)
        > (c.last_event_time, c.last_trade_id) then excluded.close else c.close end,
    volume = c.volume + excluded.volume,
    quote_volume = c.quote_volume + excluded.quote_volume,
    trade_count = c.trade_count + excluded.trade_count,
    first_trade_id = case when (excluded.first_event_time, excluded.first_trade_id)
        < (c.first_event_time, c.first_trade_id) then excluded.first_trade_id else c.first_trade_id end,
    first_event_time = least(c.first_event_time, excluded.first_event_time),
    last_trade_id = case when (excluded.last_event_time, excluded.last_trade_id)
        > (c.last_event_time, c.last_trade_id) then excluded.last_trade_id else c.last_trade_id end,
    last_event_time = greatest(c.last_event_time, excluded.last_event_time),
    revision = c.revision + excluded.revision,
    taker_buy_volume = c.taker_buy_volume + excluded.taker_buy_volume,
    taker_buy_quote_volume = c.taker_buy_quote_volume + excluded.taker_buy_quote_volume
"""

_PARTS: Final = """unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::numeric[],
    $8::numeric[], $9::numeric[], $10::numeric[], $11::int8[], $12::timestamptz[], $13::int8[],
    $14::timestamptz[], $15::int8[], $16::int8[], $17::numeric[], $18::numeric[]
)"""
_OPEN_KEY: Final = '(venue, symbol, "interval")'
_CLOSED_KEY: Final = '(venue, symbol, "interval", open_time)'

_MERGE_OPEN: Final = _MERGE.format(insert=insert_candles("open_candle_rows"), parts=_PARTS, key=_OPEN_KEY)

# Only rows that had closed before are returned.
_MERGE_ENDED: Final = f"""
with merged as (
    {_MERGE.format(insert=insert_candles("closed_candles"), parts=_PARTS, key=_CLOSED_KEY)} returning c.*
)
select * from merged where closed
"""  # noqa: S608 - constants only

_ENDED: Final = f"(select {part_columns()} from ended) as parts"  # noqa: S608 - constants only

_MOVE: Final = f"""
with ended as (
    delete from open_candle_rows o
    using unnest($1::text[], $2::text[]) as r (venue, symbol), ledger l,
        unnest($3::text[], $4::interval[]) as i (name, length)
    where o.venue = r.venue and o.symbol = r.symbol and l.venue = r.venue and l.symbol = r.symbol
        and o."interval" = i.name and o.open_time + i.length <= l.watermark
    returning o.*
)
{_MERGE.format(insert=insert_candles("closed_candles"), parts=_ENDED, key=_CLOSED_KEY)}
"""  # noqa: S608 - constants only

# A candle closes when the watermark passes its end, and is complete when ids prove it. The row is inserted
# over itself: an update by a join would unpack the whole columnstore, this unpacks only what changes.
_CLOSE: Final = f"""
{insert_candles("closed_candles")}
select {part_columns("c")}, true, s.complete
from unnest($1::text[], $2::text[]) as r (venue, symbol)
join ledger l on l.venue = r.venue and l.symbol = r.symbol
join closed_candles c on c.venue = l.venue and c.symbol = l.symbol and (not c.closed or not c.complete)
join unnest($3::text[], $4::interval[]) as i (name, length) on i.name = c."interval"
cross join lateral (select is_complete(l, c.first_trade_id, c.last_trade_id) as complete) s
where c.open_time + i.length <= l.watermark and (not c.closed or s.complete)
on conflict (venue, symbol, "interval", open_time) do update set closed = true, complete = excluded.complete
returning c.*
"""  # noqa: S608 - constants only


def _lengths() -> tuple[list[str], list[timedelta]]:
    return list(INTERVALS), [timedelta(microseconds=length) for length in INTERVALS.values()]


def part_values(candle: Candle) -> tuple[Any, ...]:
    """Return a candle's values of `PART_COLUMNS`."""
    return (
        candle.venue,
        candle.symbol,
        candle.interval,
        to_datetime(candle.open_time_us),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trade_count,
        to_datetime(candle.first_event_time_us),
        candle.first_trade_id,
        to_datetime(candle.last_event_time_us),
        candle.last_trade_id,
        candle.revision,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
    )


def _by_key(rows: Sequence[asyncpg.Record]) -> CandlesByKey:
    candles = map(candle_of, rows)
    return {(candle.venue, candle.symbol, candle.interval, candle.open_time_us): candle for candle in candles}
