"""Reads the firings of alerts."""

from decimal import Decimal
from typing import NamedTuple

import asyncpg

from tickplant.derived import Firing
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us


class FiringKey(NamedTuple):
    """A firing's place in a list."""

    event_time_us: int
    alert_id: str
    number: int


async def read_firings(
    connection: asyncpg.Connection,
    *,
    alert_id: str | None = None,
    user: str | None = None,
    symbol: SymbolId | None = None,
    before: FiringKey | None,
    limit: int,
    owner: str | None = None,
) -> list[Firing]:
    """Return firings, newest first, also of deleted alerts; arguments as of `read_alerts`."""
    key = (to_datetime(before.event_time_us), before.alert_id, before.number) if before else (None,) * 3
    rows = await connection.fetch(
        "select * from firings where ($1::text is null or alert_id = $1)"
        ' and ($2::text is null or "user" = $2)'
        " and ($3::text is null or venue = $3 and symbol = $4)"
        " and ($5::timestamptz is null or (event_time, alert_id, number) < ($5, $6, $7))"
        " and ($9::text is null"
        " or exists (select from alerts a where a.alert_id = firings.alert_id and a.key_id = $9))"
        " order by event_time desc, alert_id desc, number desc limit $8",
        alert_id,
        user,
        *(symbol or (None, None)),
        *key,
        limit,
        owner,
    )
    return [firing_of(row) for row in rows]


async def read_firings_of_entry(pool: asyncpg.Pool, partition: int, entry_id: str) -> list[Firing]:
    """Return the firings of the transaction that ended with an entry, in order."""
    rows = await pool.fetch(
        "select * from firings where partition = $1 and entry_id = $2 order by stored_at, alert_id, number",
        partition,
        entry_id,
    )
    return [firing_of(row) for row in rows]


def firing_of(row: asyncpg.Record) -> Firing:
    """Return the firing in a row."""
    return Firing(
        row["alert_id"],
        row["number"],
        row["user"],
        row["venue"],
        row["symbol"],
        row["kind"],
        to_us(row["event_time"]),
        row["trade_id"],
        format_decimal(row["price"]),
        format_decimal(row["value"]),
        format_decimal(row["threshold"]),
        row["note"],
    )


def format_decimal(number: Decimal | None) -> str | None:
    """Write a decimal in plain notation."""
    return None if number is None else format(number, "f")
