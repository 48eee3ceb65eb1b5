"""Alert definitions: only the API writes them, and workers confirm each version that they have applied.

Every change raises the version, and is sent again until a worker confirms it.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import asyncpg

from db.alerts.lists import AlertRow, alert_of, read_alert
from db.pool import DatabaseConnection, transaction
from tickplant.derived import Alert, AlertChange


class TooManyAlertsError(Exception):
    """The key or user has as many alerts as allowed."""


async def create_alert(
    connection: DatabaseConnection, alert: Alert, partition: int, *, key_id: str | None, max_alerts: int
) -> AlertRow:
    """Store a new alert.

    Args:
        connection: in a transaction.
        alert: in its first version.
        partition: of its symbol.
        key_id: the API key that it belongs to; None: to no key.
        max_alerts: how many the key may have, or without a key the user.

    Raises:
        TooManyAlertsError: there are that many already.
    """
    # One transaction at a time: two at once could both take the last free place.
    await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", _LOCK, key_id or alert.user)
    count = await connection.fetchval(_COUNT, key_id, alert.user)
    if count >= max_alerts:
        raise TooManyAlertsError
    await connection.execute(_CREATE, partition, *_identity(alert), *_changeable(alert), key_id)
    return await _send(connection, alert.alert_id, alert.version)


async def update_alert(
    pool: asyncpg.Pool, alert_id: str, change: Callable[[Alert], Alert], *, owner: str | None = None
) -> AlertRow | None:
    """Store the next version of an alert; return None where there is no such alert.

    Args:
        pool: connections.
        alert_id: of the alert.
        change: makes the next version of the current one; if it raises, nothing changes.
        owner: the API key that it has to belong to; None: any.
    """
    async with transaction(pool) as connection:
        row = await connection.fetchrow(
            "select * from alerts where alert_id = $1 and deleted_at is null"
            " and ($2::text is null or key_id = $2) for update",
            alert_id,
            owner,
        )
        if row is None:
            return None
        alert = change(alert_of(row))
        await connection.execute(_CHANGE, alert_id, alert.version, alert.begun, *_changeable(alert))
        return await _send(connection, alert_id, alert.version)


async def delete_alert(pool: asyncpg.Pool, alert_id: str, *, owner: str | None = None) -> bool:
    """Delete an alert, of one API key or any, but not its firings; return whether it existed."""
    async with transaction(pool) as connection:
        version = await connection.fetchval(
            "update alerts set version = version + 1, changed_at = clock_timestamp(),"
            " deleted_at = clock_timestamp() where alert_id = $1 and deleted_at is null"
            " and ($2::text is null or key_id = $2) returning version",
            alert_id,
            owner,
        )
        if version is None:
            return False
        await connection.execute(_SEND, alert_id, version)
        return True


async def read_pending_alerts(pool: asyncpg.Pool) -> list[tuple[int, AlertChange]]:
    """Return the changes to send now, each with its partition, and mark them as sent.

    A change that was sent is sent again after some seconds, and then at growing intervals: there may be no
    workers.
    """
    rows = await pool.fetch(_PENDING)
    return [(row["partition"], AlertChange(alert_of(row), row["deleted_at"] is not None)) for row in rows]


async def _send(connection: DatabaseConnection, alert_id: str, version: int) -> AlertRow:
    await connection.execute(_SEND, alert_id, version)
    row = await read_alert(connection, alert_id)
    assert row is not None
    return row


def _identity(alert: Alert) -> tuple[Any, ...]:
    return alert.alert_id, alert.version, alert.user, alert.venue, alert.symbol, alert.kind, alert.begun


def _changeable(alert: Alert) -> tuple[Any, ...]:
    """Return the columns that an update may change."""
    return (
        None if alert.price is None else Decimal(alert.price),
        None if alert.percent is None else Decimal(alert.percent),
        alert.window_s,
        alert.silence_s,
        alert.repeat,
        alert.cooldown_s,
        Decimal(alert.hysteresis),
        alert.webhook_url,
        alert.note,
        alert.active,
        list(alert.notify),
    )


_LOCK: Final = 0x75736572  # 'user'

_COUNT: Final = """
select count(*) from alerts where deleted_at is null and case
    when $1::text is null then key_id is null and "user" = $2 else key_id = $1 end
"""

_CREATE: Final = """
insert into alerts (
    partition, alert_id, version, "user", venue, symbol, kind, begun, price, percent, window_s, silence_s,
    repeat, cooldown_s, hysteresis, webhook_url, note, active, notify, key_id, created_at, changed_at
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    statement_timestamp(), statement_timestamp()
)
"""

_CHANGE: Final = """
update alerts set version = $2, begun = $3, price = $4, percent = $5, window_s = $6, silence_s = $7,
    repeat = $8, cooldown_s = $9, hysteresis = $10, webhook_url = $11, note = $12, active = $13,
    notify = $14, changed_at = clock_timestamp()
where alert_id = $1
"""

_SEND: Final = """
insert into alert_changes (alert_id, version) values ($1, $2)
on conflict (alert_id) do update set
    version = excluded.version, made_at = clock_timestamp(), sent_at = null
"""

_PENDING: Final = """
with due as (
    select alert_id from alert_changes
    where sent_at is null
        or clock_timestamp() - sent_at > greatest(interval '5 seconds', sent_at - made_at)
    order by made_at limit 1000 for update skip locked
), sent as (
    update alert_changes c set sent_at = clock_timestamp() from due where c.alert_id = due.alert_id
    returning c.alert_id, c.made_at
)
select a.* from sent join alerts a on a.alert_id = sent.alert_id order by sent.made_at
"""
