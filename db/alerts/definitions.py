"""Alert definitions, written by the API alone, and how far workers have applied them.

Every change raises the version, and is sent again until a worker has stored that it is applied.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import asyncpg

from db.alerts.firings import format_decimal
from db.pool import DatabaseConnection, transaction
from tickplant.derived import Alert, AlertChange
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


class AlertRow(NamedTuple):
    """An alert's definition and state."""

    alert: Alert
    created_us: int
    changed_us: int
    arrived: bool
    """Whether workers have applied this version."""
    done: bool
    """Whether it fires once only, and has fired."""
    number: int
    """How many times it has fired, in all versions."""
    fired_us: int | None
    """Venue time of the last firing."""


class AlertKey(NamedTuple):
    """An alert's place in a list."""

    created_us: int
    alert_id: str


class TooManyAlertsError(Exception):
    """The user has as many alerts as allowed."""


async def create_alert(pool: asyncpg.Pool, alert: Alert, partition: int, *, max_alerts: int) -> AlertRow:
    """Store a new alert.

    Args:
        pool: connections.
        alert: in its first version.
        partition: of its symbol.
        max_alerts: how many the user may have.

    Raises:
        TooManyAlertsError: the user has that many already.
    """
    async with transaction(pool) as connection:
        # One after the other: two at once would both take the last free place.
        await connection.execute("select pg_advisory_xact_lock($1, hashtext($2))", _USER_LOCK, alert.user)
        count = await connection.fetchval(
            'select count(*) from alerts where "user" = $1 and deleted_at is null', alert.user
        )
        if count >= max_alerts:
            raise TooManyAlertsError
        await connection.execute(_CREATE, partition, *_identity(alert), *_changeable(alert))
        return await _send(connection, alert.alert_id, alert.version)


async def update_alert(
    pool: asyncpg.Pool, alert_id: str, change: Callable[[Alert], Alert]
) -> AlertRow | None:
    """Store the next version of an alert; return None where there is no such alert.

    Args:
        pool: connections.
        alert_id: of the alert.
        change: makes the next version of the current one; if it raises, nothing changes.
    """
    async with transaction(pool) as connection:
        row = await connection.fetchrow(
            "select * from alerts where alert_id = $1 and deleted_at is null for update", alert_id
        )
        if row is None:
            return None
        alert = change(_alert_of(row))
        await connection.execute(_CHANGE, alert_id, alert.version, alert.begun, *_changeable(alert))
        return await _send(connection, alert_id, alert.version)


async def delete_alert(pool: asyncpg.Pool, alert_id: str) -> bool:
    """Delete an alert, but not its firings; return whether there was one."""
    async with transaction(pool) as connection:
        version = await connection.fetchval(
            "update alerts set version = version + 1, changed_at = clock_timestamp(),"
            " deleted_at = clock_timestamp() where alert_id = $1 and deleted_at is null returning version",
            alert_id,
        )
        if version is None:
            return False
        await connection.execute(_SEND, alert_id, version)
        return True


async def read_alert(connection: asyncpg.Connection, alert_id: str) -> AlertRow | None:
    """Return an alert that is not deleted; None where there is none."""
    row = await connection.fetchrow(f"{_READ} and a.alert_id = $1", alert_id)
    return _row_of(row) if row else None


async def read_alerts(
    connection: asyncpg.Connection,
    *,
    user: str | None,
    symbol: SymbolId | None,
    active_only: bool,
    before: AlertKey | None,
    limit: int,
) -> list[AlertRow]:
    """Return alerts that are not deleted, newest first.

    Args:
        connection: any.
        user: only those of one user; None for all.
        symbol: only those of one symbol; None for all.
        active_only: only those that can still fire.
        before: the last one of the previous page; None for the first page.
        limit: the most to return.
    """
    rows = await connection.fetch(
        f'{_READ} and ($1::text is null or a."user" = $1)'
        " and ($2::text is null or a.venue = $2 and a.symbol = $3)"
        " and (not $4 or a.active and not coalesce(s.version >= a.begun and s.done, false))"
        " and ($5::timestamptz is null or (a.created_at, a.alert_id) < ($5, $6))"
        " order by a.created_at desc, a.alert_id desc limit $7",
        user,
        *(symbol or (None, None)),
        active_only,
        *((to_datetime(before.created_us), before.alert_id) if before else (None, None)),
        limit,
    )
    return [_row_of(row) for row in rows]


async def read_pending_alerts(pool: asyncpg.Pool) -> list[tuple[int, AlertChange]]:
    """Return the changes to send now, each with its partition, and mark them as sent.

    A change that was sent is sent again after some seconds, and later less and less often: there may be no
    workers.
    """
    rows = await pool.fetch(_PENDING)
    return [(row["partition"], AlertChange(_alert_of(row), row["deleted_at"] is not None)) for row in rows]


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
    )


def _alert_of(row: asyncpg.Record) -> Alert:
    return Alert(
        alert_id=row["alert_id"],
        version=row["version"],
        user=row["user"],
        venue=row["venue"],
        symbol=row["symbol"],
        kind=row["kind"],
        price=format_decimal(row["price"]),
        percent=format_decimal(row["percent"]),
        window_s=row["window_s"],
        silence_s=row["silence_s"],
        repeat=row["repeat"],
        cooldown_s=row["cooldown_s"],
        hysteresis=format_decimal(row["hysteresis"]) or "0",
        webhook_url=row["webhook_url"],
        note=row["note"],
        active=row["active"],
        begun=row["begun"],
    )


def _row_of(row: asyncpg.Record) -> AlertRow:
    return AlertRow(
        _alert_of(row),
        to_us(row["created_at"]),
        to_us(row["changed_at"]),
        row["arrived"],
        row["done"],
        row["number"],
        to_us(row["fired_at"]) if row["fired_at"] else None,
    )


_USER_LOCK: Final = 0x75736572  # 'user'

_CREATE: Final = """
insert into alerts (
    partition, alert_id, version, "user", venue, symbol, kind, begun, price, percent, window_s, silence_s,
    repeat, cooldown_s, hysteresis, webhook_url, note, active, created_at, changed_at
) values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    statement_timestamp(), statement_timestamp()
)
"""

_CHANGE: Final = """
update alerts set version = $2, begun = $3, price = $4, percent = $5, window_s = $6, silence_s = $7,
    repeat = $8, cooldown_s = $9, hysteresis = $10, webhook_url = $11, note = $12, active = $13,
    changed_at = clock_timestamp()
where alert_id = $1
"""

_SEND: Final = """
insert into alert_changes (alert_id, version) values ($1, $2)
on conflict (alert_id) do update set
    version = excluded.version, made_at = clock_timestamp(), sent_at = null
"""

_READ: Final = """
select a.*, coalesce(s.version = a.version, false) as arrived,
    coalesce(s.version >= a.begun and s.done, false) as done, coalesce(s.number, 0) as number, s.fired_at
from alerts a left join alert_state s on s.alert_id = a.alert_id
where a.deleted_at is null
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
