"""Creates, changes, lists and deletes alerts."""

from collections.abc import Collection
from typing import Annotated, Final
from uuid import uuid4

from litestar import delete, get, patch, post
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, QueryParameter
from msgspec import Struct

from api.access.middleware import NEEDS_ALERTS
from api.http.paging import AlertListToken, cut_list
from api.http.problems import Problem
from api.queries.history import TIMEOUT_S, StoredHistory
from api.queries.symbols import SymbolDirectory
from api.requests.alerts import AlertPatch, AlertRequest, apply_alert_patch, check_tags, make_alert
from api.requests.idempotency import IdempotencyKey, create_once, repeatable_request
from api.requests.webhooks import WebhookAdmission
from api.routes.parameters import (
    AlertId,
    Page,
    Sender,
    SymbolFilter,
    UserFilter,
    resolve,
    resolve_filter,
    storable_id,
)
from api.routes.responses import (
    BAD_BODY,
    BAD_PARAMETER,
    CONFLICT,
    ORIGIN_REFUSED,
    UNAVAILABLE,
    UNKNOWN_SYMBOL,
    Next,
    Service,
    documented_problem,
)
from api.user_changes import UserChangeSender
from api.views.alerts import AlertView, alert_view
from db.alerts import definitions as alert_definitions
from db.alerts.definitions import TooManyAlertsError, create_alert
from db.alerts.lists import AlertKey, AlertRow, read_alert, read_alerts
from db.pool import Pool, snapshot

UNKNOWN_ALERT: Final = {
    404: documented_problem("There is no such alert, or it has been deleted."),
}
OTHER_REQUEST: Final = {
    422: documented_problem("The Idempotency-Key was used for another request within a day."),
}
TOO_MANY: Final = {
    409: documented_problem(
        "The user has as many alerts as TICKPLANT_ALERTS_PER_USER allows (`too_many_alerts`), or"
        " a field conflicts with the others or with the present state (`conflict`)."
    ),
}

ActiveOnly = Annotated[
    bool,
    QueryParameter(
        description="Only those that can still fire: no inactive ones, no one-time alerts that have fired.",
        examples=[Example(value="true")],
    ),
]


AlertBody = Annotated[
    AlertRequest,
    BodyKwarg(
        examples=[
            Example(
                summary="Once, when the price is above 62000",
                value={"symbol": "binance:BTCUSDT", "kind": "above", "price": "62000", "note": "sell half"},
            ),
            Example(
                summary="Whenever the price falls by 2.5 % in 5 minutes, but at most once an hour",
                value={
                    "symbol": "BTCUSDT",
                    "kind": "percent_change",
                    "percent": "-2.5",
                    "window_s": 300,
                    "repeat": True,
                    "cooldown_s": 3600,
                    "hysteresis": "0.1",
                },
            ),
            Example(
                summary="Whenever there was no trade for a minute",
                value={"symbol": "BTCUSDT", "kind": "silence", "silence_s": 60, "repeat": True},
            ),
        ]
    ),
]
AlertPatchBody = Annotated[
    AlertPatch, BodyKwarg(examples=[Example(summary="Another threshold", value={"price": "63000"})])
]


class AlertLimits(Struct, frozen=True):
    """What alerts are limited to."""

    per_user: int = 1000
    notify_tags: Collection[str] = ()
    """Of the notification targets."""


class AlertsPage(Struct, frozen=True):
    """Alerts, newest first."""

    alerts: list[AlertView]
    next: Next
    notify_tags: list[str]
    """The tags of notification targets that an alert may choose."""


@post(
    "/alerts",
    summary="Create an alert",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER
    | CONFLICT
    | ORIGIN_REFUSED
    | UNKNOWN_SYMBOL
    | TOO_MANY
    | BAD_BODY
    | OTHER_REQUEST
    | UNAVAILABLE,
)
async def post_alert(
    data: AlertBody,
    directory: Service[SymbolDirectory],
    history: Service[StoredHistory],
    webhook_admission: Service[WebhookAdmission],
    alert_limits: Service[AlertLimits],
    pool: Service[Pool],
    user_changes: Service[UserChangeSender],
    caller: Sender,
    idempotency_key: IdempotencyKey = None,
) -> AlertView:
    """Create an alert. It takes effect at a defined place among the symbol's trades, a moment later.

    A price equal to the threshold is on neither side of it. A condition that is already true
    fires at the next trade; a crossing needs a trade on the other side after the alert was created. The price
    one window ago is the close of the last minute that had ended one window before the start of the trade's
    minute.

    The alert belongs to the API key that creates it: other keys don't see it, unless their scope is admin.
    With an Idempotency-Key a request that is repeated within a day gets the first one's answer.
    """
    repeatable = repeatable_request(caller, idempotency_key, data)
    symbol = await resolve(directory, data.symbol)
    alert = make_alert(data, uuid4().hex, symbol)
    check_tags(alert.notify, alert_limits.notify_tags)
    if alert.webhook_url is not None:
        await webhook_admission.check(alert.webhook_url)
    partition = history.partition_of(symbol)
    try:
        view = await create_once(
            pool,
            repeatable,
            lambda connection: create_alert(
                connection, alert, partition, key_id=caller.key_id, max_alerts=alert_limits.per_user
            ),
        )
    except TooManyAlertsError as error:
        raise Problem(
            409,
            "too_many_alerts",
            f"{caller.key_id or alert.user!r} has {alert_limits.per_user} alerts already: delete some, or"
            " raise TICKPLANT_ALERTS_PER_USER",
        ) from error
    user_changes.send_soon()
    return view


@get(
    "/alerts",
    summary="Alerts",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | CONFLICT | UNKNOWN_SYMBOL | UNAVAILABLE,
)
async def get_alerts(
    directory: Service[SymbolDirectory],
    pool: Service[Pool],
    alert_limits: Service[AlertLimits],
    caller: Sender,
    user: UserFilter = None,
    symbol: SymbolFilter = None,
    active_only: ActiveOnly = False,
    *,
    page: Page,
) -> AlertsPage:
    """List alerts that are not deleted, newest first."""
    symbol_id = await resolve_filter(directory, symbol)
    list_key = f"alerts/{user or ''}/{symbol_id or ''}/{active_only}"
    last_key = page.last_key(AlertListToken, list_key)
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        rows = await read_alerts(
            connection,
            user=user,
            symbol=symbol_id,
            active_only=active_only,
            before=AlertKey(*last_key) if last_key else None,
            limit=page.limit + 1,
            owner=caller.owner,
        )
    shown, next_ = cut_list(
        rows, page.limit, lambda row: AlertListToken(list_key, (row.created_us, row.alert.alert_id))
    )
    return AlertsPage([alert_view(row) for row in shown], next_, list(alert_limits.notify_tags))


@get(
    "/alerts/{alert_id:str}",
    summary="An alert",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | UNKNOWN_ALERT | UNAVAILABLE,
)
async def get_alert(alert_id: AlertId, pool: Service[Pool], caller: Sender) -> AlertView:
    """Return an alert and its state."""
    async with snapshot(pool, timeout_s=TIMEOUT_S) as connection:
        return alert_view(_known(await read_alert(connection, storable_id(alert_id), owner=caller.owner)))


@patch(
    "/alerts/{alert_id:str}",
    summary="Change an alert",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | CONFLICT | ORIGIN_REFUSED | UNKNOWN_ALERT | BAD_BODY | UNAVAILABLE,
)
async def patch_alert(
    alert_id: AlertId,
    data: AlertPatchBody,
    webhook_admission: Service[WebhookAdmission],
    alert_limits: Service[AlertLimits],
    pool: Service[Pool],
    user_changes: Service[UserChangeSender],
    caller: Sender,
) -> AlertView:
    """Change an alert, except for its symbol and kind.

    Another threshold, window or silence, or `active: true`, restarts it as if just created, so it can fire
    again. The count of its firings continues, and the cooldown since the last one applies. Other changes
    do not affect its state: whether it is armed, and whether it has fired.
    """
    if isinstance(data.notify, tuple):
        check_tags(data.notify, alert_limits.notify_tags)
    if isinstance(data.webhook_url, str):
        await webhook_admission.check(data.webhook_url)
    row = _known(
        await alert_definitions.update_alert(
            pool, storable_id(alert_id), lambda alert: apply_alert_patch(alert, data), owner=caller.owner
        )
    )
    user_changes.send_soon()
    return alert_view(row)


@delete(
    "/alerts/{alert_id:str}",
    summary="Delete an alert",
    tags=["derived"],
    opt=NEEDS_ALERTS,
    responses=BAD_PARAMETER | CONFLICT | ORIGIN_REFUSED | UNKNOWN_ALERT | UNAVAILABLE,
)
async def remove_alert(
    alert_id: AlertId, pool: Service[Pool], user_changes: Service[UserChangeSender], caller: Sender
) -> None:
    """Delete an alert. Its firings stay, and so do pending webhooks and notifications."""
    if not await alert_definitions.delete_alert(pool, storable_id(alert_id), owner=caller.owner):
        raise _unknown()
    user_changes.send_soon()


def _known(row: AlertRow | None) -> AlertRow:
    if row is None:
        raise _unknown()
    return row


def _unknown() -> Problem:
    return Problem(404, "unknown_alert", "there is no such alert, or it has been deleted")
