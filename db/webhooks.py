"""The outbox of webhooks: firings that go to addresses of users."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final, NamedTuple

import asyncpg

from db.alerts.firings import firing_of
from db.deliveries import Delivery, list_query, read_deliveries
from db.outbox import OutboxRow, OutboxTable, take_rows
from tickplant.derived import Firing

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
    delivery: Delivery


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


async def webhooks_are_overdue(pool: asyncpg.Pool, *, by_s: float) -> bool:
    """Return whether a webhook has been due for longer than `by_s`."""
    return bool(await pool.fetchval(_OVERDUE, timedelta(seconds=by_s)))


async def read_webhooks(
    connection: asyncpg.Connection,
    *,
    state: str | None,
    user: str | None,
    before: WebhookKey | None,
    limit: int,
    owner: str | None = None,
) -> list[WebhookRow]:
    """Return webhooks, newest first; see `read_deliveries`."""
    rows = await read_deliveries(
        connection,
        _READ,
        key_length=len(WEBHOOKS.key),
        state=state,
        before=before,
        limit=limit,
        owner=owner,
        user=user,
    )
    return [WebhookRow(firing_of(row), row["url"], delivery) for row, delivery in rows]


_WITH_FIRING: Final = """
select f.*, t.url, t.host, t.attempts, t.age_s
from taken t join firings f on f.alert_id = t.alert_id and f.number = t.number
"""

_OVERDUE: Final = """
select exists (select from webhooks where state = 'waiting' and due_at < clock_timestamp() - $1::interval)
"""

_READ: Final = list_query(
    WEBHOOKS,
    "f.*, w.url",
    join="join firings f on f.alert_id = w.alert_id and f.number = w.number",
    user='f."user"',
)
