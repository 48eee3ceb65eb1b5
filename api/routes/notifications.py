"""Deliveries of notifications."""

from typing import Annotated

from litestar import get
from msgspec import Meta, Struct

from api.access.middleware import NEEDS_ALERTS
from api.http.paging import NotificationListToken, cut_list
from api.queries.history import TIMEOUT_S
from api.routes.deliveries import (
    Attempts,
    DeliveryState,
    DueTime,
    Reason,
    SettledTime,
    StateFilter,
    delivery_values,
)
from api.routes.parameters import Page, Sender
from api.routes.responses import BAD_PARAMETER, UNAVAILABLE, UNKNOWN_PAGE, Next, Service
from api.views.fields import Time
from db.notifications import NotificationKey, NotificationRow, read_notifications
from db.pool import Pool, snapshot


class NotificationView(Struct, frozen=True):
    """A text that goes to a target of `TICKPLANT_NOTIFY`."""

    notification_id: int
    target: Annotated[
        str,
        Meta(description="The tag, for the second target of a tag with `/2`, and so on.", examples=["ops"]),
    ]
    text: str
    alert_id: Annotated[str | None, Meta(description="The alert that fired; null for a signal.")]
    state: DeliveryState
    attempts: Attempts
    reason: Reason
    created_at: Time
    due_at: DueTime
    settled_at: SettledTime


class NotificationsPage(Struct, frozen=True):
    """Notifications, newest first."""

    notifications: list[NotificationView]
    next: Next


@get(
    "/alerts/notifications",
    summary="Notifications by chat and mail",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_notifications(
    pool: Service[Pool], caller: Sender, state_: StateFilter = None, *, page: Page
) -> NotificationsPage:
    """List notifications, newest first: waiting, delivered, or given up, with the reason.

    Keys without the scope admin see those of their own alerts.
    """
    list_key = f"notifications/{state_ or ''}"
    last_key = page.last_key(NotificationListToken, list_key)
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        rows = await read_notifications(
            connection,
            state=state_,
            before=NotificationKey(*last_key) if last_key else None,
            limit=page.limit + 1,
            owner=caller.owner,
        )
    shown, next_ = cut_list(
        rows,
        page.limit,
        lambda row: NotificationListToken(list_key, (row.delivery.created_us, row.notification_id)),
    )
    return NotificationsPage([_view(row) for row in shown], next_)


def _view(row: NotificationRow) -> NotificationView:
    return NotificationView(
        row.notification_id,
        row.target,
        row.text,
        row.alert_id,
        *delivery_values(row.delivery),
    )
