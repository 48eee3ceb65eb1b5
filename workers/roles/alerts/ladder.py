"""Alerts in order of the prices that they wait for. Pure.

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


def _same(value: Decimal) -> Decimal | None:
    return value


class PriceLadder:
    """Two sorted lists, of which the last is what a price reaches next."""

    __slots__ = ("_falls", "_price_of", "_rises", "next_fall", "next_rise")

    def __init__(self, price_of: Callable[[Decimal], Decimal | None] = _same) -> None:
        """Begin empty.

        Args:
            price_of: the price that stands for a value to be watched, greater for a greater value; None while
                no price does.
        """
        self._price_of = price_of
        self._rises: list[_Rung] = []  # by the value's negative, so that the least is the last
        self._falls: list[_Rung] = []
        self.next_rise = NO_RISE
        """Prices above it reach something."""
        self.next_fall = NO_FALL
        """Prices below it do."""

    def __bool__(self) -> bool:
        return bool(self._rises or self._falls)

    def fill(self, watched: Iterable[WatchedAlert]) -> None:
        """Add many at once."""
        for it in watched:
            rises, value = it.next
            self._side(rises).append(_rung(it, rises, value))
        self._rises.sort()
        self._falls.sort()
        self.update_next()

    def add(self, watched: WatchedAlert) -> None:
        """Add one, by what it waits for now."""
        rises, value = watched.next
        insort(self._side(rises), _rung(watched, rises, value))
        self.update_next()

    def remove(self, watched: WatchedAlert) -> None:
        """Take one out, which must not have changed since it was added."""
        rises, value = watched.next
        side = self._side(rises)
        del side[bisect_left(side, _rung(watched, rises, value)[:2])]
        self.update_next()

    def take(self, price: Decimal) -> list[WatchedAlert]:
        """Take out those that a price reaches, in the order in which it does."""
        taken = []
        while price > self.next_rise:
            taken.append(self._rises.pop()[2])
            self.update_next()
        while price < self.next_fall:
            taken.append(self._falls.pop()[2])
            self.update_next()
        return taken

    def update_next(self) -> None:
        """Find what comes next: after any change, here or in what `price_of` gives."""
        rise = self._price_of(self._rises[-1][0].copy_negate()) if self._rises else None
        fall = self._price_of(self._falls[-1][0]) if self._falls else None
        self.next_rise = NO_RISE if rise is None else rise
        self.next_fall = NO_FALL if fall is None else fall

    def _side(self, rises: bool) -> list[_Rung]:
        return self._rises if rises else self._falls


def _rung(watched: WatchedAlert, rises: bool, value: Decimal) -> _Rung:
    return value.copy_negate() if rises else value, watched.alert.alert_id, watched
