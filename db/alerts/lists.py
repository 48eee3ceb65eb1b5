"""Reads alerts with their definitions and states."""

from typing import Final, NamedTuple

import asyncpg

from db.alerts.firings import format_decimal
from tickplant.derived import Alert
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
    key_id: str | None
    """The API key that it belongs to."""


class AlertKey(NamedTuple):
    """An alert's place in a list."""

    created_us: int
    alert_id: str


async def read_alert(
    connection: asyncpg.Connection, alert_id: str, *, owner: str | None = None
) -> AlertRow | None:
    """Return an alert of an API key, or of any, that is not deleted; None where there is none."""
    row = await connection.fetchrow(
        f"{_READ} and a.alert_id = $1 and ($2::text is null or a.key_id = $2)", alert_id, owner
    )
    return _row_of(row) if row else None


async def has_alert(connection: asyncpg.Connection, alert_id: str, *, owner: str | None = None) -> bool:
    """Return whether there is an alert of an API key, or of any, that may have been deleted.

    One that was deleted long ago is known by its firings.
    """
    known: bool = await connection.fetchval(
        "select exists (select from alerts where alert_id = $1 and ($2::text is null or key_id = $2))"
        " or ($2::text is null and exists (select from firings where alert_id = $1))",
        alert_id,
        owner,
    )
    return known


async def read_alerts(
    connection: asyncpg.Connection,
    *,
    user: str | None,
    symbol: SymbolId | None,
    active_only: bool,
    before: AlertKey | None,
    limit: int,
    owner: str | None = None,
) -> list[AlertRow]:
    """Return alerts that are not deleted, newest first.

    Args:
        connection: any.
        user: only those of one user; None for all.
        symbol: only those of one symbol; None for all.
        active_only: only those that can still fire.
        before: the last one of the previous page; None for the first page.
        limit: the most to return.
        owner: only those of one API key; None for all.
    """
    rows = await connection.fetch(
        f'{_READ} and ($1::text is null or a."user" = $1)'
        " and ($2::text is null or a.venue = $2 and a.symbol = $3)"
        " and (not $4 or a.active and not coalesce(s.version >= a.begun and s.done, false))"
        " and ($5::timestamptz is null or (a.created_at, a.alert_id) < ($5, $6))"
        " and ($8::text is null or a.key_id = $8)"
        " order by a.created_at desc, a.alert_id desc limit $7",
        user,
        *(symbol or (None, None)),
        active_only,
        *((to_datetime(before.created_us), before.alert_id) if before else (None, None)),
        limit,
        owner,
    )
    return [_row_of(row) for row in rows]


def alert_of(row: asyncpg.Record) -> Alert:
    """Return the definition in a row."""
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
        notify=tuple(row["notify"]),
    )


def _row_of(row: asyncpg.Record) -> AlertRow:
    return AlertRow(
        alert_of(row),
        to_us(row["created_at"]),
        to_us(row["changed_at"]),
        row["arrived"],
        row["done"],
        row["number"],
        to_us(row["fired_at"]) if row["fired_at"] else None,
        row["key_id"],
    )


_READ: Final = """
select a.*, coalesce(s.version = a.version, false) as arrived,
    coalesce(s.version >= a.begun and s.done, false) as done, coalesce(s.number, 0) as number, s.fired_at
from alerts a left join alert_state s on s.alert_id = a.alert_id
where a.deleted_at is null
"""
