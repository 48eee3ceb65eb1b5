"""Alerts sorted by the prices that they wait for. Pure.

However many there are, a price is compared with two: the nearest above it and the nearest below it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from workers.roles.alerts.watched import WatchedAlert

NO_RISE: Final = Decimal("Infinity")
NO_FALL: Final = Decimal("-Infinity")

_Rung = tuple[Decimal, str, WatchedAlert]


def _identity(value: Decimal) -> Decimal | None:
    return value


class PriceLadder:
    """Two sorted lists; a price reaches their last elements first."""

    __slots__ = ("_falls", "_price_of", "_rises", "next_fall", "next_rise")

    def __init__(self, price_of: Callable[[Decimal], Decimal | None] = _identity) -> None:
        """Create an empty ladder.

        Args:
            price_of: returns the price that reaches a value, greater for a greater value; None while the
                price is unknown.
        """
        self._price_of = price_of
        self._rises: list[_Rung] = []  # by the value's negative, so that the least is the last
        self._falls: list[_Rung] = []
        self.next_rise = NO_RISE
        """Prices above it reach an alert."""
        self.next_fall = NO_FALL
        """Prices below it reach an alert."""

    def __bool__(self) -> bool:
        return bool(self._rises or self._falls)

    def fill(self, watched: Iterable[WatchedAlert]) -> None:
        """Add many alerts at once."""
        for alert in watched:
            rises, value = alert.next
            self._side(rises).append(_rung(alert, rises, value))
        self._rises.sort()
        self._falls.sort()
        self.update_next()

    def add(self, watched: WatchedAlert) -> None:
        """Add an alert, by the value that it waits for now."""
        rises, value = watched.next
        insort(self._side(rises), _rung(watched, rises, value))
        self.update_next()

    def remove(self, watched: WatchedAlert) -> None:
        """Remove an alert, which must not have changed since it was added."""
        rises, value = watched.next
        side = self._side(rises)
        del side[bisect_left(side, _rung(watched, rises, value)[:2])]
        self.update_next()

    def take(self, price: Decimal) -> list[WatchedAlert]:
        """Remove and return the alerts that a price reaches, the nearest first."""
        taken = []
        while price > self.next_rise:
            taken.append(self._rises.pop()[2])
            self.update_next()
        while price < self.next_fall:
            taken.append(self._falls.pop()[2])
            self.update_next()
        return taken

    def update_next(self) -> None:
        """Update the next prices after a change of the alerts or of `price_of`."""
        rise = self._price_of(self._rises[-1][0].copy_negate()) if self._rises else None
        fall = self._price_of(self._falls[-1][0]) if self._falls else None
        self.next_rise = NO_RISE if rise is None else rise
        self.next_fall = NO_FALL if fall is None else fall

    def _side(self, rises: bool) -> list[_Rung]:
        return self._rises if rises else self._falls


def _rung(watched: WatchedAlert, rises: bool, value: Decimal) -> _Rung:
    return value.copy_negate() if rises else value, watched.alert.alert_id, watched
