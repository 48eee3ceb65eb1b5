"""The gaps table: ids that are or were missing, and their state."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from db.bulk import execute_rows
from tickplant.market import Gap
from tickplant.times import to_datetime, to_us
from tickplant.wire import Verdict

Symbol = tuple[str, str]

STATES: Final = ("open", "backfilling", "unrecoverable", "healed")
UNHEALED_STATES: Final = STATES[:-1]
MAX_GAPS_PUBLISHED: Final = 1_000
"""How many gaps of a symbol are published to ingest and live clients; the others once these have healed."""

_OPEN: Final = """
insert into gaps (venue, symbol, first_id, last_id, after_time)
select l.venue, l.symbol, lower(r), upper(r) - 1, t.after_time
from unnest($1::text[], $2::text[], $3::timestamptz[]) as t (venue, symbol, after_time)
join ledger l on l.venue = t.venue and l.symbol = t.symbol
cross join unnest(l.missing - coalesce(
    (select range_agg(int8range(first_id, last_id, '[]')) from gaps g
     where g.venue = l.venue and g.symbol = l.symbol and g.state <> 'healed'),
    '{}'::int8multirange)) as r
on conflict (venue, symbol, first_id, last_id) do update
    set state = 'open', cause = 'ours', reason = null, settled_at = null
"""

# A verdict on a part of a gap splits it into two or three, so that the rest stays unchanged. A healed gap of
# exactly these ids may exist from before.
_SPLIT: Final = """
with whole as (
    delete from gaps
    where venue = $1 and symbol = $2 and state <> 'healed' and first_id <= $4 and last_id >= $3
        and (first_id < $3 or last_id > $4) and (state, reason) is distinct from ($5, $6)
    returning *
)
insert into gaps
    (venue, symbol, first_id, last_id, after_time, detected_at, state, cause, reason, settled_at)
select venue, symbol, p.first, p.last, after_time, detected_at, state, cause, reason, settled_at
from whole cross join lateral (values
    (first_id, $3 - 1), (greatest(first_id, $3), least(last_id, $4)), ($4 + 1, last_id)
) as p (first, last)
where p.first <= p.last
on conflict (venue, symbol, first_id, last_id) do update set
    after_time = excluded.after_time, detected_at = excluded.detected_at, state = excluded.state,
    cause = excluded.cause, reason = excluded.reason, settled_at = excluded.settled_at
"""

_APPLY_VERDICT: Final = """
update gaps set state = $5, reason = $6,
    settled_at = case when $5 = 'unrecoverable' then clock_timestamp() end
where venue = $1 and symbol = $2 and state <> 'healed' and first_id >= $3 and last_id <= $4
    and (state, reason) is distinct from ($5, $6)
"""

_HEAL: Final = """
update gaps g set state = 'healed', settled_at = clock_timestamp(),
    cause = case when l.void @> int8range(g.first_id, g.last_id, '[]') then 'venue' else g.cause end
from unnest($1::text[], $2::text[]) as t (venue, symbol)
join ledger l on l.venue = t.venue and l.symbol = t.symbol
where g.venue = l.venue and g.symbol = l.symbol and g.state <> 'healed'
    and not l.missing && int8range(g.first_id, g.last_id, '[]')
returning g.*, 0::bigint as missing
"""

_READ: Final = """
select g.*, (
    select coalesce(sum(upper(r) - lower(r)), 0)::bigint
    from unnest(l.missing * int8multirange(int8range(g.first_id, g.last_id, '[]'))) r
) as missing
from gaps g join ledger l on l.venue = g.venue and l.symbol = g.symbol
"""


_READ_UNHEALED: Final = f"""
select g.* from unnest($1::text[], $2::text[]) as s (venue, symbol)
cross join lateral (
    {_READ} where g.venue = s.venue and g.symbol = s.symbol and g.state <> 'healed'
    order by g.state = 'unrecoverable', g.first_id limit $3
) g
order by g.venue, g.symbol, g.first_id
"""  # noqa: S608 - constants only


async def write_gaps(
    connection: asyncpg.Connection, changed: Sequence[tuple[str, str, int]], verdicts: Sequence[Verdict]
) -> tuple[list[Gap], dict[Symbol, list[Gap]]]:
    """Update the table to match the ledger, which was written before in the same transaction.

    Args:
        connection: in the worker's transaction.
        changed: venue, symbol and watermark before the change of those whose missing ids changed.
        verdicts: on missing ids.

    Returns:
        The gaps that changed, and the unhealed gaps of each of their symbols: at most `MAX_GAPS_PUBLISHED`.
    """
    symbols = list(
        dict.fromkeys(
            [(venue, symbol) for venue, symbol, _ in changed]
            + [(verdict.venue, verdict.symbol) for verdict in verdicts]
        )
    )
    if not symbols:
        return [], {}
    rows = [(venue, symbol, to_datetime(after_us)) for venue, symbol, after_us in changed]
    await execute_rows(connection, _OPEN, rows)
    for verdict in verdicts:
        values = (
            verdict.venue,
            verdict.symbol,
            verdict.first_id,
            verdict.last_id,
            verdict.verdict,
            verdict.reason,
        )
        await connection.execute(_SPLIT, *values)
        if verdict.verdict != "void":  # void ids are in the ledger, which heals the gap
            await connection.execute(_APPLY_VERDICT, *values)
    columns = [venue for venue, _ in symbols], [symbol for _, symbol in symbols]
    healed = [_gap_of(row) for row in await connection.fetch(_HEAL, *columns)]
    open_gaps = await _read_unhealed(connection, symbols)
    return healed + [gap for gaps in open_gaps.values() for gap in gaps], open_gaps


class GapKey(NamedTuple):
    """A gap's place in a list."""

    detected_at_us: int
    venue: str
    symbol: str
    first_id: int
    last_id: int


async def read_open_gaps(pool: asyncpg.Pool, partition: int) -> dict[Symbol, list[Gap]]:
    """Return the unhealed gaps of every symbol of a partition; empty lists for symbols without any."""
    rows = await pool.fetch("select venue, symbol from ledger where partition = $1", partition)
    return await _read_unhealed(pool, [(row["venue"], row["symbol"]) for row in rows])


async def _read_unhealed(
    connection: asyncpg.Connection | asyncpg.Pool, symbols: Sequence[Symbol]
) -> dict[Symbol, list[Gap]]:
    """Return at most `MAX_GAPS_PUBLISHED` unhealed gaps of each symbol, unrecoverable ones last."""
    gaps: dict[Symbol, list[Gap]] = {symbol: [] for symbol in symbols}
    columns = [venue for venue, _ in symbols], [symbol for _, symbol in symbols]
    for row in await connection.fetch(_READ_UNHEALED, *columns, MAX_GAPS_PUBLISHED):
        gaps[row["venue"], row["symbol"]].append(_gap_of(row))
    return gaps


async def read_gaps(
    connection: asyncpg.Connection,
    *,
    symbol: Symbol | None = None,
    states: Sequence[str] = STATES,
    before: GapKey | None = None,
    limit: int | None,
) -> list[Gap]:
    """Return gaps, newest first.

    Args:
        connection: any.
        symbol: venue and symbol; None for all.
        states: only those in one of these states.
        before: the last one of the previous page; None for the first page.
        limit: the most to return; None for all.
    """
    venue, name = symbol or (None, None)
    detected_at = to_datetime(before.detected_at_us) if before else None
    rows = await connection.fetch(
        f"{_READ} where ($1::text is null or g.venue = $1 and g.symbol = $2) and g.state = any($3)"
        " and ($4::timestamptz is null"
        " or (g.detected_at, g.venue, g.symbol, g.first_id, g.last_id) < ($4, $5, $6, $7, $8))"
        " order by g.detected_at desc, g.venue desc, g.symbol desc, g.first_id desc, g.last_id desc limit $9",
        venue,
        name,
        list(states),
        detected_at,
        *(before[1:] if before else (None,) * 4),
        limit,
    )
    return [_gap_of(row) for row in rows]


def _gap_of(row: asyncpg.Record) -> Gap:
    return Gap(
        row["venue"],
        row["symbol"],
        row["first_id"],
        row["last_id"],
        to_us(row["after_time"]),
        to_us(row["detected_at"]),
        row["state"],
        row["cause"],
        row["reason"],
        row["missing"],
    )
