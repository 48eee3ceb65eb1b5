"""One alert while it is watched. Pure.

An alert on a price or a percentage waits for one value at a time: while it is armed, for its threshold; after
firing, for the value at which its hysteresis arms it again. A crossing starts unarmed: the value must have
been on the other side since the alert was created. A value equal to the threshold is on neither side.
Triggers within the cooldown are suppressed.
"""

from decimal import Decimal
from typing import Final

from tickplant.derived import Alert, AlertState, Firing
from tickplant.intervals import SECOND_US
from tickplant.market import EXACT, Trade

_RISING: Final = ("above", "crosses_above")
_CROSSING: Final = ("crosses_above", "crosses_below")


class WatchedAlert:
    """An alert's definition, and its state, which changes."""

    __slots__ = ("alert", "armed", "deleted", "done", "fired_us", "number", "rearm", "rising", "threshold")

    def __init__(self, state: AlertState) -> None:
        self.deleted = state.deleted
        self.armed = state.armed
        self.done = state.done
        self.number = state.number
        self.fired_us = state.fired_us
        self._define(state.alert)

    def _define(self, alert: Alert) -> None:
        self.alert = alert
        text = alert.price if alert.percent is None else alert.percent
        self.threshold = Decimal(text or 0)
        self.rising = alert.kind in _RISING or (alert.percent is not None and self.threshold > 0)
        """Whether it fires when the value rises."""
        self.rearm = self.threshold
        """The value that arms it again when it is passed in the other direction."""
        if alert.hysteresis != "0":
            band = EXACT.multiply(EXACT.abs(self.threshold), Decimal(alert.hysteresis))
            self.rearm = (EXACT.subtract if self.rising else EXACT.add)(self.threshold, band)

    def change(self, alert: Alert, *, deleted: bool) -> None:
        """Apply a later version; `armed` and `done` do not change unless the alert restarts."""
        if alert.begun > self.alert.begun:
            self.restart(alert)
        else:
            self._define(alert)
        self.deleted = deleted

    def restart(self, alert: Alert) -> None:
        """Restart; the count of firings and the cooldown continue."""
        self._define(alert)
        self.armed = alert.kind not in _CROSSING
        self.done = False

    @property
    def live(self) -> bool:
        """Whether it can fire."""
        return self.alert.active and not self.deleted and not self.done

    @property
    def next(self) -> tuple[bool, Decimal]:
        """Whether it waits for a rise or a fall, and past which value."""
        return (self.rising, self.threshold) if self.armed else (not self.rising, self.rearm)

    @property
    def state(self) -> AlertState:
        """The state to store."""
        return AlertState(self.alert, self.deleted, self.armed, self.done, self.number, self.fired_us)

    def fire(
        self, time_us: int, value: str, trade: Trade | None = None, threshold: str | None = None
    ) -> Firing | None:
        """Disarm, and fire unless the cooldown since the last firing lasts.

        Args:
            time_us: venue time at which the condition became true.
            value: that was compared.
            trade: that made it true.
            threshold: that the value was compared with.
        """
        alert = self.alert
        self.armed = False
        cooldown_us = alert.cooldown_s * SECOND_US
        if cooldown_us and self.fired_us is not None and abs(time_us - self.fired_us) < cooldown_us:
            return None
        self.number += 1
        self.fired_us = time_us
        self.done = not alert.repeat
        return Firing(
            alert.alert_id,
            self.number,
            alert.user,
            alert.venue,
            alert.symbol,
            alert.kind,
            time_us,
            trade.trade_id if trade else None,
            trade.price if trade else None,
            value,
            threshold,
            alert.note,
        )
