"""Alerts on a symbol without trades. Pure.

A silence ends with the next trade. Whether the venue's clock proves the silence before, or that trade does,
the alert fires for the same time.
"""

from bisect import bisect_left, insort
from collections.abc import Collection
from typing import Final

from tickplant.derived import Firing
from tickplant.intervals import SECOND_US
from workers.roles.alerts.watched import WatchedAlert

NEVER: Final = 2**63

_Wait = tuple[int, str, WatchedAlert]


class SilenceAlerts:
    """The alerts that wait for a silence, the shortest first, and those that fired in the current one."""

    __slots__ = ("_fired", "_waiting", "due_us", "last_us")

    def __init__(self, last_us: int | None) -> None:
        """Start after a trade, by its event time; None where there was none."""
        self.last_us = last_us
        self._waiting: list[_Wait] = []
        self._fired: dict[str, WatchedAlert] = {}
        self.due_us = NEVER
        """The venue time at which the next alert fires if no trade arrives before."""

    @property
    def awaiting_trade(self) -> bool:
        """Whether the next trade starts a silence for some of the alerts."""
        return bool(self._fired) or (self.last_us is None and bool(self._waiting))

    def add(self, watched: WatchedAlert) -> None:
        """Watch one more alert; the current silence counts from its start."""
        if watched.armed:
            insort(self._waiting, _wait(watched))
            self._update_due()
        else:
            self._fired[watched.alert.alert_id] = watched

    def remove(self, watched: WatchedAlert) -> None:
        """Watch an alert no longer; it must not have changed since it was added."""
        if self._fired.pop(watched.alert.alert_id, None) is None:
            del self._waiting[bisect_left(self._waiting, _wait(watched)[:2])]
            self._update_due()

    def advance_clock(self, time_us: int) -> list[tuple[WatchedAlert, Firing | None]]:
        """Return the alerts whose silence has lasted long enough, each with its firing, if it fires."""
        due: list[tuple[WatchedAlert, Firing | None]] = []
        while time_us >= self.due_us:
            length_us, alert_id, watched = self._waiting.pop(0)
            seconds = str(length_us // SECOND_US)
            due.append((watched, watched.fire(self.due_us, seconds, threshold=seconds)))
            if watched.live:
                self._fired[alert_id] = watched
            self._update_due()
        return due

    def end(self, time_us: int) -> Collection[WatchedAlert]:
        """End the silence with a trade, by its event time; return the alerts that are armed again."""
        if self.last_us is None or time_us > self.last_us:
            self.last_us = time_us
        fired, self._fired = self._fired, {}
        for watched in fired.values():
            watched.armed = True
            insort(self._waiting, _wait(watched))
        self._update_due()
        return fired.values()

    def _update_due(self) -> None:
        if self._waiting and self.last_us is not None:
            self.due_us = self.last_us + self._waiting[0][0]
        else:
            self.due_us = NEVER


def _wait(watched: WatchedAlert) -> _Wait:
    assert watched.alert.silence_s is not None
    return watched.alert.silence_s * SECOND_US, watched.alert.alert_id, watched
