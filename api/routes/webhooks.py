"""Webhooks: what became of deliveries."""

from typing import Annotated, Literal, cast

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from api.http.paging import USUAL, RestOfNumbered, cut_page, read_rest, write_rest
from api.queries.history import TIMEOUT_S
from api.routes.alerts import OfUser
from api.routes.answers import BAD_PARAMETER, UNAVAILABLE, UNKNOWN_PAGE, Next, Service
from api.routes.parameters import After, Limit
from api.views.alerts import FiringView, firing_view
from api.views.trades import Time
from db.pool import Pool, snapshot
from db.webhooks import WebhookKey, WebhookRow, read_webhooks
from tickplant.times import format_time

WebhookState = Literal["waiting", "delivered", "dead"]
InState = Annotated[
    WebhookState | None,
    QueryParameter(
        name="state",
        description="Only deliveries in this state; in any if not given.",
        examples=[Example(value="dead")],
    ),
]


class WebhookView(Struct, frozen=True):
    """A firing that goes to a webhook."""

    firing: FiringView
    url: str
    state: Annotated[
        WebhookState, Meta(description="`waiting` for an attempt; `delivered`; `dead`: given up.")
    ]
    attempts: Annotated[int, Meta(description="Begun so far.")]
    reason: Annotated[str | None, Meta(description="What went wrong last.")]
    created_at: Time
    due_at: Annotated[Time | None, Meta(description="Of one that waits: when the next attempt may begin.")]
    settled_at: Annotated[Time | None, Meta(description="When it was delivered or given up.")]


class WebhooksPage(Struct, frozen=True):
    """Deliveries, the newest first."""

    webhooks: list[WebhookView]
    next: Next


@get(
    "/alerts/webhooks",
    summary="Deliveries to webhooks",
    tags=["derived"],
    responses=BAD_PARAMETER | UNKNOWN_PAGE | UNAVAILABLE,
)
async def get_webhooks(
    pool: Service[Pool],
    user: OfUser = None,
    state_: InState = None,
    limit: Limit = USUAL,
    after: After = None,
) -> WebhooksPage:
    """List deliveries to webhooks, the newest first: those under way, done, and given up, with the reason."""
    of = f"webhooks/{user or ''}/{state_ or ''}"
    before = WebhookKey(*read_rest(after, RestOfNumbered, of).beyond) if after is not None else None
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        rows = await read_webhooks(connection, state=state_, user=user, before=before, limit=limit + 1)
    page = cut_page(rows, limit)
    rest = None
    if page.following:
        last = page.rows[-1]
        rest = RestOfNumbered(of, (last.created_us, last.firing.alert_id, last.firing.number))
    return WebhooksPage([_view(row) for row in page.rows], write_rest(rest))


def _view(row: WebhookRow) -> WebhookView:
    return WebhookView(
        firing_view(row.firing),
        row.url,
        cast(WebhookState, row.state),
        row.attempts,
        row.reason,
        format_time(row.created_us),
        format_time(row.due_us) if row.state == "waiting" else None,
        None if row.closed_us is None else format_time(row.closed_us),
    )
