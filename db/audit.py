"""The audit: the server recomputes candles and ledger from the stored trades, by separate SQL.

It shares no code with the workers: trades are grouped minute by minute, and the result is compared with what
workers stored. All queries read one snapshot, so workers may continue meanwhile.

Trades are removed by age, up to what the table `expired` records. Candles that open before that, and ids up
to the last one removed, are *not checkable*; they do not count as wrong.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import asyncpg
from msgspec import Struct

from tickplant.klines import Kline
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
_A_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
_Ids = list["asyncpg.Range[int]"]


class Difference(Struct, frozen=True):
    """A column of a row of `candles` that differs from what the trades give."""

    interval: str
    open_time: datetime
    kind: Literal["differs", "missing", "extra"]
    """`missing`: trades without a row; `extra`: a row without trades. Both are reported as `trade_count`."""
    column: str
    stored: str | None
    recomputed: str | None


class IdProblem(Struct, frozen=True):
    """A wrong range of trade ids."""

    kind: Literal["duplicate", "not stored", "not in the ledger", "no ledger"]
    """`not stored`: only the ledger has them; `not in the ledger`: only the table of trades has them."""
    first_trade_id: int
    last_trade_id: int
    """Inclusive."""


class SymbolAudit(Struct):
    """The result of the audit of one symbol."""

    symbol: SymbolId
    trades: int
    """Rows of trades read."""
    candles: int
    """Rows of candles compared."""
    not_checkable: int
    """Rows of candles whose trades were removed by age."""
    differences: list[Difference]
    ids: list[IdProblem]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.ids


@asynccontextmanager
async def snapshot_on(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Read the database as of one moment, without blocking other sessions."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


async def read_audit_symbols(connection: asyncpg.Connection) -> list[SymbolId]:
    """Return every symbol with rows in trades, candles or the ledger, in alphabetical order."""
    rows = await connection.fetch(_SYMBOLS)
    return [SymbolId(row["venue"], row["symbol"]) for row in rows]


async def audit_symbol(
    connection: asyncpg.Connection, symbol: SymbolId, on_progress: Callable[[int, int], None]
) -> SymbolAudit:
    """Compare a symbol's candles and ledger with its trades.

    It works week by week, since a week holds whole buckets of every interval. So it never sorts more than a
    day, and never groups more than a week.

    Args:
        connection: inside `snapshot_on`.
        symbol: to audit.
        on_progress: takes the days done and the days in all.
    """
    span = await _one_row(connection, _SPAN, *symbol)
    result = SymbolAudit(symbol, 0, span["checkable"], span["not_checkable"], [], [])
    seen: _Ids = []
    if span["first"] is not None:
        weeks = list(_slices(_A_MONDAY + (span["first"] - _A_MONDAY) // WEEK * WEEK, span["last"], WEEK))
        for number, (start, end) in enumerate(weeks):
            for day, (day_start, day_end) in enumerate(_slices(start, end - DAY, DAY)):
                kept = max(day_start, span["horizon"] or day_start)
                seen = await _check_ids(connection, result, kept, day_end, seen)
                on_progress(number * 7 + day, len(weeks) * 7)
            rows = await connection.fetch(_DIFFERENCES, *symbol, start, end, span["horizon"])
            result.differences += [Difference(*row) for row in rows]
            on_progress(number * 7 + 7, len(weeks) * 7)
    rows = await connection.fetch(_LEDGER, *symbol, seen, span["last_removed_id"])
    result.ids += [IdProblem(*row) for row in rows]
    return result


async def read_minutes(
    connection: asyncpg.Connection, symbol: SymbolId, open_times_us: Sequence[int]
) -> dict[int, Kline]:
    """Return the stored candles of one minute that open at given times, by open time."""
    times = [to_datetime(time_us) for time_us in open_times_us]
    rows = await connection.fetch(_MINUTES, *symbol, times)
    return {to_us(row["open_time"]): Kline(to_us(row["open_time"]), *row[1:]) for row in rows}


async def _check_ids(
    connection: asyncpg.Connection,
    result: SymbolAudit,
    start: datetime,
    end: datetime,
    seen: _Ids,
) -> _Ids:
    """Return the ids seen with a day's ids added; add duplicates, also of earlier days, to the result."""
    day = await _one_row(connection, _IDS, *result.symbol, start, end, seen)
    result.trades += day["trades"]
    if day["trades"] > day["distinct_ids"]:
        rows = await connection.fetch(_DUPLICATES, *result.symbol, start, end)
        result.ids += [IdProblem("duplicate", row["trade_id"], row["trade_id"]) for row in rows]
    result.ids += [IdProblem("duplicate", ids.lower, ids.upper - 1) for ids in day["again"]]
    union: _Ids = day["seen"]
    return union


async def _one_row(connection: asyncpg.Connection, query: str, *arguments: object) -> asyncpg.Record:
    row = await connection.fetchrow(query, *arguments)
    assert row is not None  # an aggregate
    return row


def _slices(start: datetime, last: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield consecutive slices of time from `start` until one holds `last`."""
    while start <= last:
        yield start, start + length
        start += length


# One index step per symbol instead of a scan of the table.
_SYMBOLS: Final = """
    with recursive traded as (
        (select venue, symbol from trades order by venue, symbol limit 1)
        union all
        select next.venue, next.symbol from traded, lateral (
            select venue, symbol from trades
            where (venue, symbol) > (traded.venue, traded.symbol) order by venue, symbol limit 1
        ) as next
    ), charted as (
        (select venue, symbol from candles order by venue, symbol limit 1)
        union all
        select next.venue, next.symbol from charted, lateral (
            select venue, symbol from candles
            where (venue, symbol) > (charted.venue, charted.symbol) order by venue, symbol limit 1
        ) as next
    )
    select venue, symbol from traded
    union select venue, symbol from charted
    union select venue, symbol from ledger
    order by venue, symbol
"""

# The horizon is null where no trade was removed by age.
_SPAN: Final = """
    with horizon as (
        select max(before) as horizon, max(last_trade_id) as last_removed_id
        from expired where venue = $1 and symbol = $2
    ), traded as (
        select min(event_time) as first, max(event_time) as last from trades, horizon
        where venue = $1 and symbol = $2 and event_time >= coalesce(horizon, '-infinity')
    ), charted as (
        select min(open_time) filter (where open_time >= coalesce(horizon, '-infinity')) as first,
            max(open_time) as last,
            count(*) filter (where open_time >= coalesce(horizon, '-infinity')) as checkable,
            count(*) filter (where open_time < horizon) as not_checkable
        from candles, horizon where venue = $1 and symbol = $2
    )
    select horizon, last_removed_id, least(traded.first, charted.first) as first,
        greatest(traded.last, charted.last) as last, checkable, not_checkable
    from traded, charted, horizon
"""

# Arrays compare element by element: the least (time, id, price) contains the price of the first trade,
# without a sort. 0001-01-01 was a Monday, so that one origin fits every interval.
_DIFFERENCES: Final = """
    with minute as materialized (
        select date_bin('1 minute', event_time, timestamptz '0001-01-01 00:00+00') as open_time,
            min(array[extract(epoch from event_time), trade_id, price]) as head,
            max(array[extract(epoch from event_time), trade_id, price]) as tail,
            max(price) as high, min(price) as low,
            sum(size) as volume, sum(price * size) as quote_volume, count(*) as trade_count,
            min(event_time) as first_event_time, max(event_time) as last_event_time
        from trades
        where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
        group by 1
    ), recomputed as (
        select "interval", length, date_bin(length, open_time, timestamptz '0001-01-01 00:00+00')
                as open_time,
            (min(head))[3] as open, max(high) as high, min(low) as low, (max(tail))[3] as close,
            sum(volume) as volume, sum(quote_volume) as quote_volume, sum(trade_count) as trade_count,
            min(first_event_time) as first_event_time, (min(head))[2]::bigint as first_trade_id,
            max(last_event_time) as last_event_time, (max(tail))[2]::bigint as last_trade_id
        from minute cross join (values
            ('1m', interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'),
            ('4h', '4 hours'), ('1d', '1 day'), ('1w', '7 days')
        ) as intervals ("interval", length)
        group by "interval", length, 3
    ), flagged as (
        select r.*, r.open_time + length <= l.watermark as closed,
            r.open_time + length <= l.watermark
                and is_complete(l, r.first_trade_id, r.last_trade_id) as complete
        from recomputed r left join ledger l on l.venue = $1 and l.symbol = $2
    ), stored as (
        select * from candles
        where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4
    )
    select "interval", open_time, kind, name, stored_value, recomputed_value
    from stored s full join flagged r using ("interval", open_time)
    cross join lateral (
        select case when r.open is null then 'extra' when s.open is null then 'missing'
            else 'differs' end as kind
    ) as kinds
    cross join lateral (values
        ('open', s.open is distinct from r.open, s.open::text, r.open::text),
        ('high', s.high is distinct from r.high, s.high::text, r.high::text),
        ('low', s.low is distinct from r.low, s.low::text, r.low::text),
        ('close', s.close is distinct from r.close, s.close::text, r.close::text),
        ('volume', s.volume is distinct from r.volume, s.volume::text, r.volume::text),
        ('quote_volume', s.quote_volume is distinct from r.quote_volume,
            s.quote_volume::text, r.quote_volume::text),
        ('trade_count', s.trade_count is distinct from r.trade_count,
            s.trade_count::text, r.trade_count::text),
        ('first_event_time', s.first_event_time is distinct from r.first_event_time,
            s.first_event_time::text, r.first_event_time::text),
        ('first_trade_id', s.first_trade_id is distinct from r.first_trade_id,
            s.first_trade_id::text, r.first_trade_id::text),
        ('last_event_time', s.last_event_time is distinct from r.last_event_time,
            s.last_event_time::text, r.last_event_time::text),
        ('last_trade_id', s.last_trade_id is distinct from r.last_trade_id,
            s.last_trade_id::text, r.last_trade_id::text),
        ('closed', s.closed is distinct from r.closed, s.closed::text, r.closed::text),
        ('complete', s.complete is distinct from r.complete, s.complete::text, r.complete::text)
    ) as columns (name, differs, stored_value, recomputed_value)
    where case when kind = 'differs' then differs else name = 'trade_count' end
        and ($5::timestamptz is null or open_time >= $5)
    order by array_position(array['1m', '5m', '15m', '1h', '4h', '1d', '1w'], "interval"), open_time
"""

# Id minus rank is the same for all ids of a consecutive run.
_IDS: Final = """
    with numbered as (
        select trade_id, trade_id - dense_rank() over (order by trade_id) as run
        from trades where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    ), runs as (
        select int8range(min(trade_id), max(trade_id), '[]') as ids, count(*) as trades
        from numbered group by run
    ), day as (
        select coalesce(range_agg(ids), '{}') as ids, coalesce(sum(trades), 0)::bigint as trades,
            coalesce(sum(upper(ids) - lower(ids)), 0)::bigint as distinct_ids
        from runs
    )
    select trades, distinct_ids, $5::int8multirange * ids as again, $5::int8multirange + ids as seen from day
"""

_MINUTES: Final = """
    select open_time, open, high, low, close, volume, trade_count, complete from candles
    where venue = $1 and symbol = $2 and "interval" = '1m' and open_time = any($3)
"""

_DUPLICATES: Final = """
    select trade_id from trades
    where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    group by trade_id having count(*) > 1 order by trade_id
"""

_LEDGER: Final = """
    with checkable as (
        select case when $4::bigint is null then '{(,)}'::int8multirange
            else int8multirange(int8range($4, null, '()')) end as ids
    ), seen as (
        select $3::int8multirange * checkable.ids as ids from checkable
    ), expected as (
        -- Gaps between ids that ingest assigned have no meaning.
        select case when numbered
            then int8multirange(int8range(first_trade_id, last_trade_id, '[]')) * checkable.ids
                - missing - void
            when not numbered then seen.ids end as ids
        from seen cross join checkable left join ledger on venue = $1 and symbol = $2
    ), problem as (
        select 'no ledger' as kind, unnest(seen.ids) as ids from seen, expected where expected.ids is null
        union all
        select 'not stored', unnest(expected.ids - seen.ids) from seen, expected
        union all
        select 'not in the ledger', unnest(seen.ids - expected.ids) from seen, expected
    )
    select kind, lower(ids) as first_trade_id, upper(ids) - 1 as last_trade_id from problem order by 2, 1
"""
