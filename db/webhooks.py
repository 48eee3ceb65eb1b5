"""The outbox of webhooks: pending deliveries, attempts and their outcome.

A process takes a row by moving its `due_at` to when the attempt counts as lost. Until then no other process
takes it; afterwards any process may.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final, NamedTuple

import asyncpg

from db.alerts.firings import firing_of
from tickplant.derived import Firing
from tickplant.times import to_datetime, to_us

STATES: Final = ("waiting", "delivered", "dead")


class WebhookAttempt(NamedTuple):
    """An attempt to deliver a webhook."""

    firing: Firing
    url: str
    host: str
    attempt: int
    """Counted from 1."""
    age_s: float
    """Since the alert fired, by the database's clock."""


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
    rows = await pool.fetch(_TAKE, limit, limit_per_host, list(busy), timedelta(seconds=lost_after_s))
    return [
        WebhookAttempt(firing_of(row), row["url"], row["host"], row["attempts"], row["age_s"]) for row in rows
    ]


async def close_webhook(pool: asyncpg.Pool, attempt: WebhookAttempt, state: str, reason: str | None) -> None:
    """Record that a webhook was delivered, or given up."""
    await pool.execute(
        "update webhooks set state = $4, reason = $5, settled_at = clock_timestamp()"
        " where alert_id = $1 and number = $2 and attempts = $3 and state = 'waiting'",
        *_attempt_key(attempt),
        state,
        reason,
    )


async def retry_webhook(pool: asyncpg.Pool, attempt: WebhookAttempt, reason: str, wait_s: float) -> None:
    """Record that an attempt has failed, and when the next one is due."""
    await pool.execute(
        "update webhooks set reason = $4, due_at = clock_timestamp() + $5"
        " where alert_id = $1 and number = $2 and attempts = $3 and state = 'waiting'",
        *_attempt_key(attempt),
        reason,
        timedelta(seconds=wait_s),
    )


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


def _attempt_key(attempt: WebhookAttempt) -> tuple[str, int, int]:
    return attempt.firing.alert_id, attempt.firing.number, attempt.attempt


_TAKE: Final = """
with taken as (
    select w.alert_id, w.number
    from (
        select host, min(due_at) as since from webhooks
        where state = 'waiting' and due_at <= clock_timestamp() and host <> all($3::text[])
        group by host order by since limit $1
    ) h
    cross join lateral (
        select alert_id, number from webhooks
        where host = h.host and state = 'waiting' and due_at <= clock_timestamp()
        order by due_at limit $2 for update skip locked
    ) w
    order by h.since limit $1
)
update webhooks w set attempts = attempts + 1, due_at = clock_timestamp() + $4
from taken t join firings f on f.alert_id = t.alert_id and f.number = t.number
where w.alert_id = t.alert_id and w.number = t.number
returning f.*, w.url, w.host, w.attempts,
    extract(epoch from clock_timestamp() - w.created_at)::float8 as age_s
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
