"""The lists of outboxes: rows with the state of their delivery, newest first."""

from typing import Any, Final, NamedTuple

import asyncpg

from db.outbox import OutboxTable
from tickplant.times import to_datetime, to_us


class Delivery(NamedTuple):
    """How far a delivery is."""

    state: str
    attempts: int
    reason: str | None
    created_us: int
    due_us: int
    closed_us: int | None
    """When it was delivered or given up; None while it is pending."""


_LIST: Final = """
select {columns}, w.state, w.attempts, w.reason, w.created_at, w.due_at, w.settled_at
from {table} w {join}
where ($1::text is null or w.state = $1)
    and ($2::text is null
        or exists (select from alerts a where a.alert_id = w.alert_id and a.key_id = $2))
    and ($3::text is null or {user} = $3)
    and ($5::timestamptz is null or (w.created_at, {key}) < ($5, {last}))
order by w.created_at desc, {descending} limit $4
"""


def list_query(outbox: OutboxTable, columns: str, *, join: str = "", user: str = "null::text") -> str:
    """Return the query of `read_deliveries`.

    Args:
        outbox: the table, `w` in the query.
        columns: what to read besides the delivery.
        join: other tables.
        user: the column of the user whose alert it is; none unless given.
    """
    return _LIST.format(
        columns=columns,
        table=outbox.table,
        join=join,
        user=user,
        key=", ".join(f"w.{column}" for column in outbox.key),
        last=", ".join(f"${number}::{kind}" for number, kind in enumerate(outbox.key.values(), 6)),
        descending=", ".join(f"w.{column} desc" for column in outbox.key),
    )


async def read_deliveries(
    connection: asyncpg.Connection,
    query: str,
    *,
    key_length: int,
    state: str | None,
    before: tuple[Any, ...] | None,
    limit: int,
    owner: str | None,
    user: str | None = None,
) -> list[tuple[asyncpg.Record, Delivery]]:
    """Return rows of an outbox, newest first.

    Args:
        connection: any.
        query: of `list_query`.
        key_length: the number of columns of the table's key.
        state: only those in this state; None for all.
        before: the last one of the previous page: when it was created, and its key; None for the first page.
        limit: the most to return.
        owner: only those of the alerts of one API key; None for all.
        user: only those of one user's alerts; None for all.
    """
    place = (to_datetime(before[0]), *before[1:]) if before else (None,) * (1 + key_length)
    rows = await connection.fetch(query, state, owner, user, limit, *place)
    return [(row, _delivery(row)) for row in rows]


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        row["state"],
        row["attempts"],
        row["reason"],
        to_us(row["created_at"]),
        to_us(row["due_at"]),
        to_us(row["settled_at"]) if row["settled_at"] else None,
    )
