"""Deliveries to webhooks."""

from litestar import get
from msgspec import Struct

from api.access.middleware import NEEDS_ALERTS
from api.http.paging import FiringListToken, cut_list
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
from api.routes.parameters import Page, Sender, UserFilter
from api.routes.responses import BAD_PARAMETER, UNAVAILABLE, UNKNOWN_PAGE, Next, Service
from api.views.alerts import FiringView, firing_view
from api.views.fields import Time
from db.pool import Pool, snapshot
from db.webhooks import WebhookKey, WebhookRow, read_webhooks


class WebhookView(Struct, frozen=True):
    """A firing that goes to a webhook."""

    firing: FiringView
    url: str
    state: DeliveryState
    attempts: Attempts
    reason: Reason
    created_at: Time
    due_at: DueTime
    settled_at: SettledTime


class WebhooksPage(Struct, frozen=True):
    """Deliveries, newest first."""

    webhooks: list[WebhookView]
    next: Next


@get(
    "/alerts/webhooks",
    summary="Deliveries to webhooks",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_webhooks(
    pool: Service[Pool],
    caller: Sender,
    user: UserFilter = None,
    state_: StateFilter = None,
    *,
    page: Page,
) -> WebhooksPage:
    """List deliveries to webhooks, newest first: waiting, delivered, or given up, with the reason."""
    list_key = f"webhooks/{user or ''}/{state_ or ''}"
    last_key = page.last_key(FiringListToken, list_key)
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        rows = await read_webhooks(
            connection,
            state=state_,
            user=user,
            before=WebhookKey(*last_key) if last_key else None,
            limit=page.limit + 1,
            owner=caller.owner,
        )
    shown, next_ = cut_list(rows, page.limit, lambda row: FiringListToken(list_key, _key(row)))
    return WebhooksPage([_view(row) for row in shown], next_)


def _key(row: WebhookRow) -> WebhookKey:
    return WebhookKey(row.delivery.created_us, row.firing.alert_id, row.firing.number)


def _view(row: WebhookRow) -> WebhookView:
    return WebhookView(
        firing_view(row.firing),
        row.url,
        *delivery_values(row.delivery),
    )
