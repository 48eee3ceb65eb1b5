"""The rows that the files of an archived day are made of, and those of a file as a table of a session."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
from msgspec import Struct

from db.copy_in import copy_blocks
from db.widths import ColumnWidth, read_widths
from tickplant.market import SymbolId

_DAY: Final = timedelta(days=1)

ARCHIVED_INTERVALS: Final = ("1m", "5m", "15m", "1h", "4h", "1d")
"""Of the candles in a day's file: those that lie within a day."""


class DayFacts(Struct, frozen=True, kw_only=True):
    """What the database knows of a symbol's day, besides its rows."""

    state: str
    """See `day_state()` in the migrations; empty without a candle."""
    complete: bool | None
    """Whether the day is proven to be complete; None if the venue has no trade ids."""
    minutes: int
    """With trades."""
    incomplete_minutes: int
    candle_trades: int
    """How many trades the day's candle counts."""
    expired: bool
    """Whether trades of the day were removed by age."""
    numbered: bool
    source: str | None
    """Of the plant's trades."""


class IdFacts(Struct, frozen=True, kw_only=True):
    """The ids of the trades of a day."""

    trades: int
    first_trade_id: int | None
    last_trade_id: int | None
    missing: list[tuple[int, int]]
    """Inclusive ranges from the first id to the one before the next stored one; so is `void`."""
    void: list[tuple[int, int]]


def day_start(day: date) -> datetime:
    """Return the first moment of a day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def read_day_facts(connection: asyncpg.Connection, symbol: SymbolId, day: date) -> DayFacts:
    """Read what is known of a day; in the snapshot that its rows are read in."""
    start = day_start(day)
    row = await connection.fetchrow(_FACTS, *symbol, start, start + _DAY)
    assert row is not None  # without a condition
    return DayFacts(**dict(row))


_FACTS: Final = """
    select coalesce(day_state($1, $2, $3), '') as state, d.complete,
        coalesce(d.trade_count, 0) as candle_trades, m.minutes, m.incomplete as incomplete_minutes,
        coalesce((select before > $3 from expired where venue = $1 and symbol = $2), false) as expired,
        coalesce((select numbered from ledger where venue = $1 and symbol = $2), true) as numbered,
        (select source from plant) as source
    from (
        select count(*) as minutes, count(*) filter (where complete is not true) as incomplete
        from candles
        where venue = $1 and symbol = $2 and "interval" = '1m' and open_time >= $3 and open_time < $4
    ) m
    left join candles d on d.venue = $1 and d.symbol = $2 and d."interval" = '1d' and d.open_time = $3
"""


@asynccontextmanager
async def day_rows(
    connection: asyncpg.Connection, former: "AsyncIterator[bytes] | None" = None
) -> AsyncIterator[str]:
    """Yield what a day's trades are read from, inside a snapshot: the table, and those of a former revision.

    Args:
        connection: outside a transaction.
        former: CSV as `load_trades` takes it, with trades that may have been removed since; those whose ids
            are stored are not taken.
    """
    if former is None:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield "trades"
        return
    async with (
        temporary_trades(connection, "former_trades", former),
        connection.transaction(isolation="repeatable_read"),
    ):
        yield _UNION.format(former="former_trades")


_UNION: Final = """(
    select * from trades where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    union all
    select * from {former} f where not exists (
        select from trades t where t.venue = $1 and t.symbol = $2
            and t.event_time >= $3 and t.event_time < $4 and t.trade_id = f.trade_id
    )
) as trades"""


@asynccontextmanager
async def temporary_trades(
    connection: asyncpg.Connection,
    name: str,
    blocks: AsyncIterator[bytes],
    stored: tuple[SymbolId, date] | None = None,
) -> AsyncIterator[None]:
    """Store trades in a temporary table of this session, which has the columns and the index of `trades`.

    Args:
        connection: outside a transaction.
        name: of the table. The name `trades` hides the stored ones from all statements of the session.
        blocks: CSV without a header: the columns of `trades`, and the decimal places of price and size.
        stored: a symbol's day whose stored trades are in the table, too, each in place of one with its id.
    """
    rows, arguments = f"{_DECODED} as trades", tuple[Any, ...]()
    if stored is not None:
        symbol, day = stored
        rows, arguments = _UNION.format(former=_DECODED), (*symbol, day_start(day), day_start(day) + _DAY)
    await connection.execute(f"create temporary table pg_temp.archived_text {_TEXT_COLUMNS}")
    try:
        await copy_blocks(connection, "archived_text", blocks, schema="pg_temp")
        # A temporary table's name comes first in every search path.
        await connection.execute(f"create temporary table {name} as select * from {rows}", *arguments)  # noqa: S608 - our own names
    finally:
        await _drop(connection, "archived_text")
    try:
        await connection.execute(
            f"create index on pg_temp.{name} (symbol, event_time, venue, trade_id); analyze pg_temp.{name};"
            " discard plans"  # a statement that was prepared before would still read the stored trades
        )
        yield
    finally:
        await _drop(connection, name)


_DECODED: Final = """(
    select venue, symbol, trade_id, round(price, price_scale) as price, round(size, size_scale) as size, side,
        event_time, ingest_time
    from pg_temp.archived_text
)"""


async def _drop(connection: asyncpg.Connection, name: str) -> None:
    if not connection.is_closed():
        await connection.execute(f"drop table if exists pg_temp.{name}")


_TEXT_COLUMNS: Final = """(
    venue text collate "C", symbol text collate "C", trade_id bigint, price numeric, size numeric, side text,
    event_time timestamptz, ingest_time timestamptz, price_scale integer, size_scale integer
)"""

_TRADES: Final = """
    select venue, symbol, trade_id, price, size, side, event_time, ingest_time,
        scale(price) as price_scale, scale(size) as size_scale
    from {rows}
    where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
    order by event_time, trade_id
"""

_CANDLES: Final = f"""
    select venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume, trade_count,
        first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed, complete,
        taker_buy_volume, taker_buy_quote_volume
    from {{rows}}
    where venue = $1 and symbol = $2 and open_time >= $3 and open_time < $4
        and "interval" = any(array{list(ARCHIVED_INTERVALS)})
    order by array_position(array{list(ARCHIVED_INTERVALS)}, "interval"), open_time
"""  # noqa: S608 - constants only


async def read_ids(connection: asyncpg.Connection, symbol: SymbolId, day: date, rows: str) -> IdFacts:
    """Return the ids of a day's trades, and which between them the ledger lists as missing or void.

    Args:
        connection: inside `day_rows`.
        symbol: of the trades.
        day: of the trades.
        rows: from `day_rows`.
    """
    query = f"""
        select s.trades, s.low, s.high,
            coalesce(l.missing * i.ids, '{{}}') as missing, coalesce(l.void * i.ids, '{{}}') as void
        from (
            select count(*) as trades, min(trade_id) as low, max(trade_id) as high from {rows}
            where venue = $1 and symbol = $2 and event_time >= $3 and event_time < $4
        ) s left join ledger l on l.venue = $1 and l.symbol = $2 and l.numbered
        cross join lateral (
            select lower(int8multirange(int8range(s.high, l.last_trade_id, '(]')) - missing - void) as next
        ) n
        cross join lateral (
            select int8multirange(int8range(s.low, coalesce(n.next - 1, s.high), '[]')) as ids
        ) i
    """  # noqa: S608 - constants only
    row = await connection.fetchrow(query, *symbol, day_start(day), day_start(day) + _DAY)
    assert row is not None  # an aggregate
    return IdFacts(
        trades=row["trades"],
        first_trade_id=row["low"],
        last_trade_id=row["high"],
        missing=_inclusive(row["missing"]),
        void=_inclusive(row["void"]),
    )


async def copy_day(
    connection: asyncpg.Connection,
    what: str,
    symbol: SymbolId,
    day: date,
    rows: str,
    decimals: Sequence[str],
    write: Callable[[dict[str, ColumnWidth]], Callable[[bytes], Coroutine[Any, Any, None]]],
) -> int:
    """Write the trades or candles of a day as CSV without a header, and return how many rows there are.

    Args:
        connection: inside `day_rows`.
        what: `trades` or `candles`.
        symbol: of the rows.
        day: of the rows.
        rows: from `day_rows`, or `candles`.
        decimals: the columns of decimals.
        write: takes how wide these are, and returns what takes the lines, in blocks of any length.
    """
    query = (_TRADES if what == "trades" else _CANDLES).format(rows=rows)
    arguments = *symbol, day_start(day), day_start(day) + _DAY
    widths = await read_widths(connection, query, arguments, decimals)
    # Read along the index in this order instead of sorting everything before the first line.
    await connection.execute("set local enable_sort = off")
    status = await connection.copy_from_query(query, *arguments, output=write(widths), format="csv", null="")
    await connection.execute("set local enable_sort = on")
    return int(status.split()[-1])


def _inclusive(ranges: Iterable[Any]) -> list[tuple[int, int]]:
    return [(part.lower, part.upper - 1) for part in ranges]
