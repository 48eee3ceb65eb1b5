"""The outbox of notifications: texts that go to chat and mail."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import asyncpg
from msgspec import Struct

from db.bulk import execute_rows
from db.deliveries import Delivery, list_query, read_deliveries
from db.outbox import OutboxRow, OutboxTable, take_rows
from tickplant.notifications import Notification

NOTIFICATIONS: Final = OutboxTable(
    "notifications", {"notification_id": "int8"}, receiver="target", gathers=True
)


class NotificationRows(Struct, frozen=True):
    """The notifications that a transaction writes; implements `db.commit.DerivedRows`."""

    notifications: Sequence[Notification]

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows inside the worker's transaction."""
        await execute_rows(
            connection,
            "insert into notifications (target, text, alert_id)"
            " select * from unnest($1::text[], $2::text[], $3::text[])",
            self.notifications,
        )


class NotificationMessage(NamedTuple):
    """An attempt to deliver notifications of one target as one message."""

    rows: tuple[OutboxRow, ...]
    texts: tuple[str, ...]
    """In order of their creation."""


class NotificationRow(NamedTuple):
    """A row of the outbox."""

    notification_id: int
    target: str
    text: str
    alert_id: str | None
    delivery: Delivery


class NotificationKey(NamedTuple):
    """A notification's place in a list."""

    created_us: int
    notification_id: int


async def take_messages(
    pool: asyncpg.Pool, *, targets: int, texts: int, busy: Collection[str], lost_after_s: float
) -> list[NotificationMessage]:
    """Take notifications that are due, and all new ones of the same target, as one message for each target.

    Args:
        pool: connections.
        targets: the most targets.
        texts: the most notifications of one target.
        busy: targets to leave out.
        lost_after_s: when an attempt without an outcome counts as lost.
    """
    taken = await take_rows(
        pool,
        NOTIFICATIONS,
        receivers=targets,
        rows=targets * texts,
        rows_per_receiver=texts,
        busy=busy,
        lost_after_s=lost_after_s,
        select="select t.* from taken t order by notification_id",
    )
    of_target: dict[str, list[tuple[OutboxRow, str]]] = {}
    for row, record in taken:
        of_target.setdefault(row.receiver, []).append((row, record["text"]))
    return [
        NotificationMessage(tuple(row for row, _ in pairs), tuple(text for _, text in pairs))
        for pairs in of_target.values()
    ]


async def read_notifications(
    connection: asyncpg.Connection,
    *,
    state: str | None,
    before: NotificationKey | None,
    limit: int,
    owner: str | None = None,
) -> list[NotificationRow]:
    """Return notifications, newest first; see `read_deliveries`."""
    rows = await read_deliveries(
        connection,
        _READ,
        key_length=len(NOTIFICATIONS.key),
        state=state,
        before=before,
        limit=limit,
        owner=owner,
    )
    return [
        NotificationRow(row["notification_id"], row["target"], row["text"], row["alert_id"], delivery)
        for row, delivery in rows
    ]


_READ: Final = list_query(NOTIFICATIONS, "w.notification_id, w.target, w.text, w.alert_id")
