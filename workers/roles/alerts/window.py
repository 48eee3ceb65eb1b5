"""Alerts on the change of a price over one window. Pure.

The change is from the price one window ago: the last close at or before the start of the trade's minute, less
the window. So it spans the window and up to a minute more, and all trades of a minute are compared with the
same price. So thresholds are prices: exact products, where a percentage would be a quotient.
"""

from decimal import ROUND_UP, Context, Decimal
from typing import Final

from tickplant.intervals import SECOND_US
from tickplant.market import EXACT
from workers.roles.alerts.closes import MinuteCloses
from workers.roles.alerts.ladder import PriceLadder

_HUNDRED: Final = Decimal(100)
_DIGITS: Final = Decimal("0.000001")
_QUOTIENTS: Final = Context(prec=100)


class ChangeWindow:
    """The alerts of one window, and the price that trades are compared with."""

    __slots__ = ("_length_us", "_reference", "ladder")

    def __init__(self, window_s: int) -> None:
        self._length_us = window_s * SECOND_US
        self._reference: Decimal | None = None
        self.ladder = PriceLadder(self._price_of)

    def enter(self, minute_us: int, closes: MinuteCloses) -> None:
        """Compare with the price one window before the start of a minute, if it is known."""
        self._reference = closes.as_of(minute_us - self._length_us) or None
        self.ladder.update_next()

    def percent(self, price: Decimal) -> str:
        """Return the change to a price in percent, rounded away from 0 to six places."""
        assert self._reference is not None
        change = EXACT.multiply(EXACT.subtract(price, self._reference), _HUNDRED)
        percent = _QUOTIENTS.divide(change, self._reference)
        return format(percent.quantize(_DIGITS, ROUND_UP, _QUOTIENTS), "f")

    def _price_of(self, percent: Decimal) -> Decimal | None:
        if self._reference is None:
            return None
        return EXACT.multiply(self._reference, EXACT.add(_HUNDRED, percent)).scaleb(-2, EXACT)
