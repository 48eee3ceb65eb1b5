"""Validates users' changes again, since entries in Redis need not come from the API. Pure."""

from typing import Final

from tickplant.derived import ALERT_NEEDS, Alert, AlertChange, Change
from tickplant.errors import PoisonError
from tickplant.market import check_decimal

_MOST: Final = 2**63 - 1


def check_change(change: Change) -> None:
    """Refuse a change that a worker can't apply, or the database can't store.

    Raises:
        PoisonError: the message says why.
    """
    if isinstance(change, AlertChange):
        _check_alert(change.alert)
        version = change.alert.version
    else:
        version = change.version
    if not 0 < version <= _MOST:
        raise PoisonError(f"version out of range: {version}")


def _check_alert(alert: Alert) -> None:
    texts = (alert.alert_id, alert.user, alert.note, alert.webhook_url or "", *alert.notify)
    if any("\0" in text for text in texts):
        raise PoisonError("an alert with a NUL character, which can't be stored")
    lacking = [name for name in ALERT_NEEDS[alert.kind] if getattr(alert, name) is None]
    if lacking:
        raise PoisonError(f"an alert of kind {alert.kind} without {', '.join(lacking)}")
    check_decimal(alert.hysteresis, "hysteresis")
    if alert.price is not None:
        check_decimal(alert.price, "price")
    if alert.percent is not None:
        check_decimal(alert.percent.removeprefix("-"), "percent")
