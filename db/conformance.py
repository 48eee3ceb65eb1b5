"""What is stored about minutes that are compared with the venue's own: evidence of a conformance report."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


class StoredSpan(Struct, frozen=True):
    """The stored candles of one minute in a time range."""

    minutes: int
    trades: int
    """The sum of their counts."""
    late: int
    """Candles with trades that arrived after they had closed."""
    missing: int
    """Ids of trades that are not stored: from the trade before the range to the one after it."""
    void: int
    """Ids for which the venue has no trades, likewise."""


class StoredMinute(Struct, frozen=True):
    """What is stored about one minute."""

    open_time_us: int
    revision: int
    """How many of its trades arrived late; 0 where there is no candle."""
    is_first: bool
    """Whether no candle is stored before it."""
    missing: int
    """Ids that are not stored, from the trade before the minute to the one after it."""
    void: int
    """Ids for which the venue has no trades, likewise."""


_NEIGHBOURS: Final = """
    (select greatest(first_trade_id, last_trade_id) from candles p
        where p.venue = $1 and p.symbol = $2 and p."interval" = '1m' and p.open_time < {start}
        order by p.open_time desc limit 1) as before,
    (select least(first_trade_id, last_trade_id) from candles n
        where n.venue = $1 and n.symbol = $2 and n."interval" = '1m' and n.open_time >= {end}
        order by n.open_time limit 1) as after
"""

_COUNT_IDS: Final = """
    (select coalesce(sum(upper(r) - lower(r)), 0)
        from unnest(l.{column} * int8multirange(int8range(b.before, b.after, '()'))) r)::int8 as {column}
"""

_SPAN: Final = f"""
    with b as materialized (select {_NEIGHBOURS.format(start="$3", end="$4")}), c as materialized (
        select count(*) as minutes, coalesce(sum(trade_count), 0)::int8 as trades,
            count(*) filter (where revision > 0) as late
        from candles
        where venue = $1 and symbol = $2 and "interval" = '1m' and open_time >= $3 and open_time < $4
    )
    select c.*, {_COUNT_IDS.format(column="missing")}, {_COUNT_IDS.format(column="void")}
    from c, b, ledger l where l.venue = $1 and l.symbol = $2
"""  # noqa: S608 - constants only

_MINUTES: Final = f"""
    with b as materialized (
        select t.open_time, coalesce(c.revision, 0) as revision,
            {_NEIGHBOURS.format(start="t.open_time", end="t.open_time + interval '1 minute'")}
        from unnest($3::timestamptz[]) as t (open_time) left join candles c
            on c.venue = $1 and c.symbol = $2 and c."interval" = '1m' and c.open_time = t.open_time
    )
    select b.open_time, b.revision, b.before is null as is_first,
        {_COUNT_IDS.format(column="missing")}, {_COUNT_IDS.format(column="void")}
    from b, ledger l where l.venue = $1 and l.symbol = $2 order by b.open_time
"""  # noqa: S608 - constants only


async def read_stored_span(
    connection: asyncpg.Connection, symbol: SymbolId, start_us: int, end_us: int
) -> StoredSpan:
    """Return what is stored of a symbol that has a ledger, from a minute's start to another's."""
    row: Any = await connection.fetchrow(_SPAN, *symbol, to_datetime(start_us), to_datetime(end_us))
    return StoredSpan(*row)


async def read_stored_minutes(
    connection: asyncpg.Connection, symbol: SymbolId, open_times_us: Sequence[int]
) -> list[StoredMinute]:
    """Return what is stored about some minutes of a symbol that has a ledger, in order of time."""
    rows = await connection.fetch(_MINUTES, *symbol, [to_datetime(time_us) for time_us in open_times_us])
    return [StoredMinute(to_us(row[0]), *row[1:]) for row in rows]
