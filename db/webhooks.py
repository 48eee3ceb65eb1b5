"""The outbox of webhooks: firings that go to addresses of users."""

from collections.abc import Collection
from typing import Final, NamedTuple

import asyncpg

from db.alerts.firings import firing_of
from db.outbox import OutboxRow, OutboxTable, take_rows
from tickplant.derived import Firing
from tickplant.times import to_datetime, to_us

WEBHOOKS: Final = OutboxTable("webhooks", {"alert_id": "text", "number": "int8"}, receiver="host")


class WebhookAttempt(NamedTuple):
    """An attempt to deliver a webhook."""

    rows: tuple[OutboxRow]
    firing: Firing
    url: str


class WebhookRow(NamedTuple):
    """A row of the outbox."""

    firing: Firing
    url: str
    state: str
    attempts: int
    reason: str | None
    created_us: int
    due_us: int
    closed_us: int | None
    """When it was delivered or given up; None while it is pending."""


class WebhookKey(NamedTuple):
    """A webhook's place in a list."""

    created_us: int
    alert_id: str
    number: int


async def take_webhooks(
    pool: asyncpg.Pool, *, limit: int, limit_per_host: int, busy: Collection[str], lost_after_s: float
) -> list[WebhookAttempt]:
    """Take webhooks that are due, those of the hosts that have waited longest first.

    Args:
        pool: connections.
        limit: the most webhooks.
        limit_per_host: the most webhooks of one host.
        busy: hosts to leave out.
        lost_after_s: when an attempt without an outcome counts as lost.
    """
    taken = await take_rows(
        pool,
        WEBHOOKS,
        receivers=limit,
        rows=limit,
        rows_per_receiver=limit_per_host,
        busy=busy,
        lost_after_s=lost_after_s,
        select=_WITH_FIRING,
    )
    return [WebhookAttempt((row,), firing_of(record), record["url"]) for row, record in taken]


async def read_webhooks(
    connection: asyncpg.Connection,
    *,
    state: str | None,
    user: str | None,
    before: WebhookKey | None,
    limit: int,
    owner: str | None = None,
) -> list[WebhookRow]:
    """Return webhooks, newest first.

    Args:
        connection: any.
        state: only those in this state; None for all.
        user: only those of one user's alerts; None for all.
        before: the last one of the previous page; None for the first page.
        limit: the most to return.
        owner: only those of the alerts of one API key; None for all.
    """
    key = (to_datetime(before.created_us), before.alert_id, before.number) if before else (None,) * 3
    rows = await connection.fetch(_READ, state, user, *key, limit, owner)
    return [
        WebhookRow(
            firing_of(row),
            row["url"],
            row["state"],
            row["attempts"],
            row["reason"],
            to_us(row["created_at"]),
            to_us(row["due_at"]),
            to_us(row["settled_at"]) if row["settled_at"] else None,
        )
        for row in rows
    ]


_WITH_FIRING: Final = """
select f.*, t.url, t.host, t.attempts, t.age_s
from taken t join firings f on f.alert_id = t.alert_id and f.number = t.number
"""

_READ: Final = """
select f.*, w.url, w.state, w.attempts, w.reason, w.created_at, w.due_at, w.settled_at
from webhooks w join firings f on f.alert_id = w.alert_id and f.number = w.number
where ($1::text is null or w.state = $1) and ($2::text is null or f."user" = $2)
    and ($3::timestamptz is null or (w.created_at, w.alert_id, w.number) < ($3, $4, $5))
    and ($7::text is null
        or exists (select from alerts a where a.alert_id = w.alert_id and a.key_id = $7))
order by w.created_at desc, w.alert_id desc, w.number desc limit $6
"""
