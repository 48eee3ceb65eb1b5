"""Outboxes: tables of pending deliveries, attempts and their outcome.

A process takes a row by moving its `due_at` to when the attempt counts as lost. Until then no other process
takes it; afterwards any process may.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import asyncpg


class OutboxTable(NamedTuple):
    """A table with the columns state, attempts, due_at, reason, created_at and settled_at."""

    table: str
    key: Mapping[str, str]
    """The columns of its primary key, with their types."""
    receiver: str
    """The column of the receiver, whose rows are taken together."""
    gathers: bool = False
    """Whether rows that have never been tried are taken before they are due, together with one that is."""


class OutboxRow(NamedTuple):
    """A row of which an attempt is being made."""

    key: tuple[Any, ...]
    receiver: str
    attempt: int
    """Counted from 1."""
    age_s: float
    """Since the row was written, by the database's clock."""


async def take_rows(
    pool: asyncpg.Pool,
    outbox: OutboxTable,
    *,
    receivers: int,
    rows: int,
    rows_per_receiver: int,
    busy: Collection[str],
    lost_after_s: float,
    select: str = "select t.* from taken t",
) -> list[tuple[OutboxRow, asyncpg.Record]]:
    """Take rows that are due, those of the receivers that have waited longest first.

    Args:
        pool: connections.
        outbox: the table.
        receivers: the most receivers.
        rows: the most rows.
        rows_per_receiver: the most rows of one receiver.
        busy: receivers to leave out.
        lost_after_s: when an attempt without an outcome counts as lost.
        select: reads the rows, `taken t`, with `age_s`; it may join other tables.
    """
    lost_after = timedelta(seconds=lost_after_s)
    query = _TAKE.format(
        table=outbox.table,
        receiver=outbox.receiver,
        key=", ".join(outbox.key),
        same=" and ".join(f"w.{column} = d.{column}" for column in outbox.key),
        due="(due_at <= clock_timestamp() or attempts = 0)"
        if outbox.gathers
        else "due_at <= clock_timestamp()",
        select=select,
    )
    records = await pool.fetch(query, receivers, rows_per_receiver, list(busy), lost_after, rows)
    return [
        (
            OutboxRow(
                tuple(record[column] for column in outbox.key),
                record[outbox.receiver],
                record["attempts"],
                record["age_s"],
            ),
            record,
        )
        for record in records
    ]


async def settle_rows(
    pool: asyncpg.Pool,
    outbox: OutboxTable,
    rows: Sequence[OutboxRow],
    state: str,
    reason: str | None,
    wait_s: float = 0.0,
) -> None:
    """Record the outcome of an attempt, unless another process has begun the next one.

    Args:
        pool: connections.
        outbox: the table.
        rows: of the attempt.
        state: delivered, dead, or waiting: for the next attempt.
        reason: what went wrong.
        wait_s: when the next attempt is due, from now.
    """
    columns = [*zip(*(row.key for row in rows), strict=True)]
    types = [*outbox.key.values(), "int4"]
    query = _SETTLE.format(
        table=outbox.table,
        arrays=", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 4)),
        columns=", ".join(outbox.key),
        same=" and ".join(f"w.{column} = r.{column}" for column in outbox.key),
    )
    await pool.execute(
        query, state, reason, timedelta(seconds=wait_s), *map(list, columns), [row.attempt for row in rows]
    )


_TAKE: Final = """
with due as (
    select {key} from (
        select {receiver} as receiver, min(due_at) as since from {table}
        where state = 'waiting' and due_at <= clock_timestamp() and {receiver} <> all($3::text[])
        group by {receiver} order by since limit $1
    ) h
    cross join lateral (
        select {key} from {table}
        where {receiver} = h.receiver and state = 'waiting' and {due}
        order by due_at limit $2 for update skip locked
    ) r
    order by h.since limit $5
), taken as (
    update {table} w set attempts = attempts + 1, due_at = clock_timestamp() + $4
    from due d where {same}
    returning w.*, extract(epoch from clock_timestamp() - w.created_at)::float8 as age_s
)
{select}
"""

_SETTLE: Final = """
update {table} w set state = $1, reason = $2,
    settled_at = case when $1 <> 'waiting' then clock_timestamp() end,
    due_at = case when $1 = 'waiting' then clock_timestamp() + $3 else due_at end
from unnest({arrays}) as r ({columns}, attempts)
where {same} and w.attempts = r.attempts and w.state = 'waiting'
"""
