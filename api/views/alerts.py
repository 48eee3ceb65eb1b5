"""JSON views of alerts and firings, the same over REST and websockets. Pure."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.views.fields import DecimalText, SymbolName, Time
from db.alerts.lists import AlertRow
from tickplant.derived import AlertKind, Firing
from tickplant.market import SymbolId
from tickplant.times import format_time

AlertViewState = Literal["pending", "active", "fired", "inactive"]


class AlertView(Struct, frozen=True):
    """An alert."""

    alert_id: str
    version: Annotated[int, Meta(description="Rises with every change.")]
    user: str
    key_id: Annotated[
        str | None, Meta(description="The API key that it belongs to; null if it was made without one.")
    ]
    symbol: SymbolName
    kind: AlertKind
    price: DecimalText | None
    percent: DecimalText | None
    window_s: int | None
    silence_s: int | None
    repeat: bool
    cooldown_s: int
    hysteresis: DecimalText
    webhook_url: str | None
    notify: Annotated[
        tuple[str, ...], Meta(description="Tags of the targets that firings go to, by chat or mail.")
    ]
    note: str
    active: Annotated[bool, Meta(description="Whether workers watch it.")]
    state: Annotated[
        AlertViewState,
        Meta(
            description="`pending` until workers have applied this version, a moment after it was created;"
            " then `active`, `inactive`, or `fired`: a one-time alert that has fired."
        ),
    ]
    firings: Annotated[int, Meta(description="How many times it has fired.")]
    last_fired: Annotated[Time | None, Meta(description="When it last fired, by the venue's clock.")]
    created_at: Time
    changed_at: Time


class FiringView(Struct, frozen=True):
    """A firing of an alert, identified by alert and number."""

    alert_id: str
    number: Annotated[int, Meta(description="Counts the alert's firings from 1.")]
    user: str
    symbol: SymbolName
    kind: AlertKind
    event_time: Time
    """When the condition was met, by the venue's clock."""
    trade_id: Annotated[
        int | None, Meta(description="The trade that met the condition; null for silence and gaps.")
    ]
    price: Annotated[DecimalText | None, Meta(description="Of that trade.")]
    value: Annotated[str | None, Meta(description="A price, percent, seconds, or the first id of a gap.")]
    threshold: Annotated[str | None, Meta(description="The value that it was compared with.")]
    note: Annotated[str, Meta(description="The user's note.")]


def firing_view(firing: Firing) -> FiringView:
    """Return the JSON view of a firing."""
    return FiringView(
        firing.alert_id,
        firing.number,
        firing.user,
        str(SymbolId(firing.venue, firing.symbol)),
        firing.kind,
        format_time(firing.event_time_us),
        firing.trade_id,
        firing.price,
        firing.value,
        firing.threshold,
        firing.note,
    )


def alert_view(row: AlertRow) -> AlertView:
    """Return the JSON view of an alert."""
    alert = row.alert
    return AlertView(
        alert.alert_id,
        alert.version,
        alert.user,
        row.key_id,
        str(SymbolId(alert.venue, alert.symbol)),
        alert.kind,
        alert.price,
        alert.percent,
        alert.window_s,
        alert.silence_s,
        alert.repeat,
        alert.cooldown_s,
        alert.hysteresis,
        alert.webhook_url,
        alert.notify,
        alert.note,
        alert.active,
        _state(row),
        row.number,
        None if row.fired_us is None else format_time(row.fired_us),
        format_time(row.created_us),
        format_time(row.changed_us),
    )


def _state(row: AlertRow) -> AlertViewState:
    if not row.arrived:
        return "pending"
    if not row.alert.active:
        return "inactive"
    return "fired" if row.done else "active"
