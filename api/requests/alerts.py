"""Requests to create and change alerts. Pure."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from api.http.bodies import DECIMAL
from api.http.problems import bad_parameter, conflict
from tickplant.derived import ALERT_NEEDS, Alert, AlertKind
from tickplant.market import SymbolId
from tickplant.notifications import TAG

_DAY_S: Final = 86_400
TEXT: Final = "^[^\\x00-\\x1f\\x7f]*$(?!\\n)"
"""A line without control characters; `$` alone would let it end with one."""
MAX_USER_LENGTH: Final = 64
"""Characters of a user's name."""

Price = Annotated[str, Meta(extra=DECIMAL, description="Above 0: the threshold.", examples=["62000"])]
Percent = Annotated[
    str,
    Meta(
        extra=DECIMAL,
        description="Above -100, not 0, at most 6 places: the rise of the price over the window that"
        " fires the alert, or the fall if negative.",
        examples=["-2.5"],
    ),
]
WindowS = Annotated[
    int, Meta(ge=60, le=_DAY_S, multiple_of=60, description="The window: whole minutes, a day at the most.")
]
SilenceS = Annotated[int, Meta(ge=1, le=7 * _DAY_S, description="How long without a trade.")]
CooldownS = Annotated[
    int,
    Meta(
        ge=0,
        le=7 * _DAY_S,
        description="Minimum time between firings of a repeating alert, by the venue's clock.",
    ),
]
Hysteresis = Annotated[
    str,
    Meta(
        extra=DECIMAL,
        description="0 to 1: the share of the threshold by which the value has to return before the alert can"
        " fire again.",
        examples=["0.001"],
    ),
]
WebhookUrl = Annotated[
    str,
    Meta(description="A public URL to which firings are sent, too.", examples=["https://example.org/hook"]),
]
NotifyTags = Annotated[
    tuple[Annotated[str, Meta(pattern=f"^{TAG}$(?!\\n)")], ...],
    Meta(
        max_length=16,
        description="Tags of the targets in `TICKPLANT_NOTIFY` that firings go to, by chat or mail.",
        examples=[["ops"]],
    ),
]
Note = Annotated[
    str, Meta(max_length=500, pattern=TEXT, description="A note of your own, sent with each firing.")
]
User = Annotated[
    str, Meta(min_length=1, max_length=MAX_USER_LENGTH, pattern=TEXT, description="The owner: any name.")
]

_MEASURES: Final = ("price", "percent", "window_s", "silence_s")
_PLAIN: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,36})?")
_PLACES: Final = 6
"""Digits after the point that percentages may have."""

DECIMALS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "price": (r"^(?![0.]*$)\d{1,20}(?:\.\d{1,36})?$", {"minimum": 1e-18, "exclusive_maximum": 1e20}),
    "percent": (
        rf"^(?!-?[0.]*$)(?:-\d{{1,2}}|\d{{1,20}})(?:\.\d{{1,{_PLACES}}})?$",
        {"exclusive_minimum": -100, "maximum": 1e6, "multiple_of": 0.01},
    ),
    "hysteresis": (r"^(?:0(?:\.\d{1,36})?|1(?:\.0{1,36})?)$", {"minimum": 0, "maximum": 1}),
}
"""Decimals in the OpenAPI document: a pattern for text, and bounds for JSON numbers."""


class AlertRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert to create, with the fields that its kind needs, and none of other kinds."""

    symbol: Annotated[
        str,
        Meta(
            max_length=200,
            description="Written as in paths.",
            examples=["BTCUSDT"],
        ),
    ]
    kind: Annotated[
        AlertKind,
        Meta(
            description="`above` and `below` a price, even if it is there already; `crosses_above` and"
            " `crosses_below` it, coming from the other side; `percent_change` over a window;"
            " `silence`: no trade for some time; `gap`: trades are missing."
        ),
    ]
    user: User = "default"
    price: Price | None = None
    percent: Percent | None = None
    window_s: WindowS | None = None
    silence_s: SilenceS | None = None
    repeat: Annotated[bool, Meta(description="Whether it fires more than once.")] = False
    cooldown_s: CooldownS = 0
    hysteresis: Hysteresis = "0"
    webhook_url: WebhookUrl | None = None
    notify: NotifyTags = ()
    note: Note = ""
    active: bool = True


class AlertPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change; all others stay as they are.

    A threshold, window or silence, or `active: true`, restarts the alert as if just created, also if it has
    fired; the count of its firings continues.
    """

    price: Price | UnsetType = UNSET
    percent: Percent | UnsetType = UNSET
    window_s: WindowS | UnsetType = UNSET
    silence_s: SilenceS | UnsetType = UNSET
    repeat: bool | UnsetType = UNSET
    cooldown_s: CooldownS | UnsetType = UNSET
    hysteresis: Hysteresis | UnsetType = UNSET
    webhook_url: WebhookUrl | UnsetType | None = UNSET
    notify: NotifyTags | UnsetType = UNSET
    note: Note | UnsetType = UNSET
    active: bool | UnsetType = UNSET


def make_alert(request: AlertRequest, alert_id: str, symbol: SymbolId) -> Alert:
    """Return the requested alert in its first version.

    Raises:
        Problem: its fields are in conflict.
    """
    fields = asdict(request)
    del fields["symbol"]
    alert = Alert(alert_id=alert_id, version=1, venue=symbol.venue, symbol=symbol.symbol, **fields)
    _check(alert)
    return alert


def apply_alert_patch(alert: Alert, patch: AlertPatch) -> Alert:
    """Return the next version of an alert; raises as `make_alert`."""
    given: dict[str, Any] = {name: value for name, value in asdict(patch).items() if value is not UNSET}
    version = alert.version + 1
    restarts = given.get("active") is True or any(name in given for name in _MEASURES)
    changed = replace(alert, version=version, begun=version if restarts else alert.begun, **given)
    _check(changed)
    return changed


def check_tags(chosen: Collection[str], tags: Collection[str]) -> None:
    """Raise a problem for tags that no notification target has."""
    if unknown := [tag for tag in chosen if tag not in tags]:
        raise conflict(
            "notify",
            f"no target in TICKPLANT_NOTIFY has the tag {', '.join(unknown)}; "
            + (f"tags are {', '.join(tags)}" if tags else "it is not set"),
        )


def _check(alert: Alert) -> None:
    """Raise a problem for fields that are in conflict."""
    needed = ALERT_NEEDS[alert.kind]
    for name in _MEASURES:
        if name in needed and getattr(alert, name) is None:
            raise conflict(name, f"required for alerts of the kind {alert.kind}")
        if name not in needed and getattr(alert, name) is not None:
            raise conflict(name, f"not allowed for alerts of the kind {alert.kind}")
    if alert.price is not None and _decimal("price", alert.price) <= 0:
        raise bad_parameter("price", "must be above 0")
    if alert.percent is not None:
        _check_percent(alert.percent)
    hysteresis = _decimal("hysteresis", alert.hysteresis)
    if not 0 <= hysteresis <= 1:
        raise bad_parameter("hysteresis", "must be from 0 to 1")
    if hysteresis and alert.price is None and alert.percent is None:
        raise conflict("hysteresis", f"not allowed for alerts of the kind {alert.kind}")


def _check_percent(text: str) -> None:
    percent = _decimal("percent", text)
    if percent == 0 or percent <= -100:
        raise bad_parameter("percent", "must be above -100, and not 0")
    if len(text.partition(".")[2]) > _PLACES:
        raise bad_parameter("percent", f"has more than {_PLACES} digits after the point")


def _decimal(name: str, text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise bad_parameter(
            name, "must be a decimal of at most 20 digits before and 36 after the point, such as 62000.50"
        )
    return Decimal(text)
