"""Alerts on the change of a price over one window. Pure.

The change is that from the price one window ago: the last close at or before the start of the trade's minute,
less the window. So it spans the window and up to a minute more, and a minute's trades share the price that
they are compared with. The thresholds are prices, then: exact products, where a percentage is a quotient.
"""

from decimal import ROUND_UP, Context, Decimal
from typing import Final

from tickplant.intervals import SECOND_US
from tickplant.market import EXACT
from workers.roles.alerts.closes import MinuteCloses
from workers.roles.alerts.ladder import PriceLadder

_HUNDRED: Final = Decimal(100)
_SHOWN: Final = Decimal("0.000001")
_QUOTIENTS: Final = Context(prec=100)


class ChangeWindow:
    """One window's alerts, and the price that they compare with."""

    __slots__ = ("_length_us", "_reference", "ladder")

    def __init__(self, window_s: int) -> None:
        self._length_us = window_s * SECOND_US
        self._reference: Decimal | None = None
        self.ladder = PriceLadder(self._price_of)

    def enter(self, minute_us: int, closes: MinuteCloses) -> None:
        """Compare with the price one window before a minute's start; with nothing, if it is unknown."""
        self._reference = closes.as_of(minute_us - self._length_us) or None
        self.ladder.update_next()

    def percent(self, price: Decimal) -> str:
        """Return the change to a price in percent, to six places, away from 0."""
        assert self._reference is not None
        change = EXACT.multiply(EXACT.subtract(price, self._reference), _HUNDRED)
        percent = _QUOTIENTS.divide(change, self._reference)
        return format(percent.quantize(_SHOWN, ROUND_UP, _QUOTIENTS), "f")

    def _price_of(self, percent: Decimal) -> Decimal | None:
        if self._reference is None:
            return None
        return EXACT.multiply(self._reference, EXACT.add(_HUNDRED, percent)).scaleb(-2, EXACT)
