"""Deletes minutes as if their trades had never been received, so that they can be stored again."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg

from db.averages import CandleKey, correct_averages
from db.candle_rows import insert_candles, part_columns
from db.candles import TAKER_BUY_SUMS
from db.gaps import write_gaps
from db.pool import transaction
from tickplant.averages import AverageSpecs
from tickplant.intervals import BASE, INTERVALS, MINUTE_US, floor
from tickplant.market import Gap, SymbolId
from tickplant.times import to_datetime, to_us


async def delete_minutes(
    pool: asyncpg.Pool,
    partition: int,
    symbol: SymbolId,
    start_us: int,
    end_us: int,
    ids: tuple[int, int],
    *,
    specs: AverageSpecs | None,
) -> list[Gap]:
    """Delete the trades of some minutes, record their ids as missing, and recompute candles and averages.

    It is one transaction, which ends the partition's leases: owners discard their memory and reload what is
    written here. Locks are taken in the order of the workers' commits, the lease last.

    Args:
        pool: connections.
        partition: of the symbol.
        symbol: of the trades; it must have a ledger.
        start_us: start of a minute.
        end_us: start of another, exclusive.
        ids: first and last id, inclusive; trades with these ids are deleted, too, if their event times are
            within a day of the minutes.
        specs: which averages are computed; None for none.

    Returns:
        The symbol's unhealed gaps.
    """
    async with transaction(pool) as connection:
        await connection.execute(_LOCK, *symbol)
        bounds = *symbol, to_datetime(start_us), to_datetime(end_us)
        deleted = await connection.fetch(_DELETE_TRADES, *bounds)
        deleted += await connection.fetch(_DELETE_BY_ID, *bounds, *ids)
        await connection.execute(_WRITE_LEDGER, *symbol, [row["trade_id"] for row in deleted], *ids)
        minutes = set(range(start_us, end_us, MINUTE_US))
        minutes |= {floor(to_us(row["event_time"]), MINUTE_US) for row in deleted}
        candles = await recompute_candles(connection, symbol, minutes)
        await flag_candles(connection, symbol)
        if specs is not None:
            await correct_averages(connection, candles, specs)
        _, open_gaps = await write_gaps(connection, [(*symbol, min(minutes))], [])
        await connection.execute(_END_LEASES, partition)
    return open_gaps[symbol]


async def holds_trades_below(
    connection: asyncpg.Connection, symbol: SymbolId, start_us: int, end_us: int, trade_id: int
) -> bool:
    """Return whether trades of some minutes are stored whose ids are below one; the end is exclusive."""
    bounds = *symbol, to_datetime(start_us), to_datetime(end_us)
    return bool(await connection.fetchval(_HOLDS_BELOW, *bounds, trade_id))


async def recompute_candles(
    connection: asyncpg.Connection, symbol: SymbolId, minutes: Iterable[int]
) -> list[CandleKey]:
    """Recompute the candles that minutes belong to from the stored trades, without flags.

    Returns:
        Those candles, including those that no longer exist.
    """
    keys = sorted({(name, floor(minute, length)) for minute in minutes for name, length in INTERVALS.items()})
    open_times = [to_datetime(open_time_us) for _, open_time_us in keys]
    bounds = min(open_times, default=None), max(open_times, default=None)
    deleted = await connection.fetch(_DELETE_CANDLES, *symbol, *_columns(keys), *bounds)
    deleted += await connection.fetch(_DELETE_OPEN, *symbol, *_columns(keys))
    revisions = {(row["interval"], to_us(row["open_time"])): row["revision"] for row in deleted}
    for query, group in (
        (_FROM_TRADES, [key for key in keys if key[0] == BASE]),
        (_FROM_MINUTES, [key for key in keys if key[0] != BASE]),
    ):
        lengths = [timedelta(microseconds=INTERVALS[name]) for name, _ in group]
        await connection.execute(
            query, *symbol, *_columns(group), lengths, [revisions.get(key, 0) for key in group]
        )
    await connection.execute(_MOVE_OPEN, *symbol, *_lengths(), *bounds)
    return [CandleKey(*symbol, *key) for key in keys]


async def flag_candles(connection: asyncpg.Connection, symbol: SymbolId) -> None:
    """Update whether a symbol's candles are closed and complete, by its ledger."""
    await connection.execute(_FLAG, *symbol, *_lengths())


def _columns(keys: Sequence[tuple[str, int]]) -> tuple[list[str], list[Any]]:
    return [name for name, _ in keys], [to_datetime(open_time_us) for _, open_time_us in keys]


def _lengths() -> tuple[list[str], list[timedelta]]:
    return list(INTERVALS), [timedelta(microseconds=length) for length in INTERVALS.values()]


_LOCK: Final = "select watermark from ledger where venue = $1 and symbol = $2 for update"

_HOLDS_BELOW: Final = """
select exists (
    select from trades
    where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4 and trade_id < $5
)
"""

_DELETE_TRADES: Final = """
delete from trades where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
returning trade_id, event_time
"""

_DELETE_BY_ID: Final = """
delete from trades where venue = $1 and symbol = $2 and trade_id between $5 and $6
    and event_time >= $3::timestamptz - interval '1 day' and event_time < $4::timestamptz + interval '1 day'
returning trade_id, event_time
"""

_WRITE_LEDGER: Final = """
update ledger set missing = missing + (
    int8multirange(int8range(first_trade_id, last_trade_id, '[]')) - void
    ) * (
    int8multirange(int8range($4, $5, '[]'))
    + coalesce((select range_agg(int8range(id, id, '[]')) from unnest($3::int8[]) id), '{}')
)
where venue = $1 and symbol = $2
"""

# The bounds limit which part of the columnstore TimescaleDB unpacks.
_DELETE_CANDLES: Final = """
delete from closed_candles c using unnest($3::text[], $4::timestamptz[]) as k (name, opened)
where c.venue = $1 and c.symbol = $2 and c."interval" = k.name and c.open_time = k.opened
    and c.open_time >= $5 and c.open_time <= $6
returning c."interval", c.open_time, c.revision
"""

_DELETE_OPEN: Final = """
delete from open_candle_rows c using unnest($3::text[], $4::timestamptz[]) as k (name, opened)
where c.venue = $1 and c.symbol = $2 and c."interval" = k.name and c.open_time = k.opened
returning c."interval", c.open_time, c.revision
"""

# An open candle has never closed, so no trade has changed it since.
_MOVE_OPEN: Final = f"""
with opened as (
    delete from closed_candles c
    using ledger l, unnest($3::text[], $4::interval[]) as i (name, length)
    where l.venue = $1 and l.symbol = $2 and c.venue = $1 and c.symbol = $2 and c."interval" = i.name
        and c.open_time >= $5 and c.open_time <= $6 and not c.closed and c.open_time + i.length > l.watermark
    returning c.*
)
{insert_candles("open_candle_rows")}
select {part_columns(revision="0")}, false, false
from opened
"""  # noqa: S608 - constants only

_INSERT: Final = insert_candles("closed_candles")

_KEYS: Final = """
    unnest($3::text[], $4::timestamptz[], $5::interval[], $6::int8[]) as k (name, opened, length, revision)
"""

_FROM_TRADES: Final = f"""
{_INSERT}
select $1, $2, k.name, k.opened,
    (array_agg(price order by event_time, trade_id))[1], max(price), min(price),
    (array_agg(price order by event_time desc, trade_id desc))[1],
    sum(size), sum(price * size), count(*),
    min(event_time), (array_agg(trade_id order by event_time, trade_id))[1],
    max(event_time), (array_agg(trade_id order by event_time desc, trade_id desc))[1],
    k.revision, {TAKER_BUY_SUMS}, false, false
from {_KEYS}
join trades t on t.venue = $1 and t.symbol = $2 and t.event_time >= k.opened
    and t.event_time < k.opened + k.length
group by k.name, k.opened, k.revision
"""  # noqa: S608 - constants only

# Like every stored row of a longer interval, without the watermark's minute.
_FROM_MINUTES: Final = f"""
{_INSERT}
select $1, $2, k.name, k.opened,
    (array_agg(open order by first_event_time, first_trade_id))[1], max(high), min(low),
    (array_agg(close order by last_event_time desc, last_trade_id desc))[1],
    sum(volume), sum(quote_volume), sum(trade_count),
    min(first_event_time), (array_agg(first_trade_id order by first_event_time, first_trade_id))[1],
    max(last_event_time), (array_agg(last_trade_id order by last_event_time desc, last_trade_id desc))[1],
    k.revision,
    case when count(taker_buy_volume) = count(*) then sum(taker_buy_volume) end,
    case when count(taker_buy_quote_volume) = count(*) then sum(taker_buy_quote_volume) end,
    false, false
from {_KEYS}
join closed_candles m on m.venue = $1 and m.symbol = $2 and m."interval" = '{BASE}'
    and m.open_time >= k.opened and m.open_time < k.opened + k.length and m.open_time < (
        select date_trunc('minute', watermark, 'UTC') from ledger where venue = $1 and symbol = $2
    )
group by k.name, k.opened, k.revision
"""  # noqa: S608 - constants only

# Also of neighbours, which may have become incomplete. Rows are inserted over themselves, as in
# `db.candle_rows`, so that only the changed part of the columnstore is unpacked.
_FLAG: Final = f"""
{_INSERT}
select {part_columns("c")}, s.closed, s.complete
from ledger l
join closed_candles c on c.venue = l.venue and c.symbol = l.symbol
join unnest($3::text[], $4::interval[]) as i (name, length) on i.name = c."interval"
cross join lateral (
    select c.open_time + i.length <= l.watermark as closed,
        c.open_time + i.length <= l.watermark
            and is_complete(l, c.first_trade_id, c.last_trade_id) as complete
) s
where l.venue = $1 and l.symbol = $2 and (c.closed, c.complete) is distinct from (s.closed, s.complete)
on conflict (venue, symbol, "interval", open_time) do update
    set closed = excluded.closed, complete = excluded.complete
"""  # noqa: S608 - constants only

_END_LEASES: Final = """
update lease set owner = null, epoch = epoch + 1, expires_at = '-infinity' where partition = $1
"""
