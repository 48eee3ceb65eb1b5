"""A symbol's price as of any minute of the last day. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

MOST: Final = 24 * 60 + 1
"""Closes kept: enough to say what the price was a day ago, and no more: a new owner reads as many."""


class Closes:
    """The closes of the newest closed minutes that had trades."""

    __slots__ = ("_prices", "_times_us")

    def __init__(self, closes: Iterable[tuple[int, Decimal]] = ()) -> None:
        """Begin with close times, ascending, and closes."""
        kept = list(closes)[-MOST:]
        self._times_us = [time_us for time_us, _ in kept]
        self._prices = [price for _, price in kept]

    def put(self, time_us: int, price: Decimal) -> None:
        """Add the close of a minute, or correct it."""
        place = bisect_left(self._times_us, time_us)
        if place < len(self._times_us) and self._times_us[place] == time_us:
            self._prices[place] = price
            return
        self._times_us.insert(place, time_us)
        self._prices.insert(place, price)
        if len(self._times_us) > MOST:
            del self._times_us[0], self._prices[0]

    def as_of(self, time_us: int) -> Decimal | None:
        """Return the close of the last minute that had closed by then; None where that isn't known."""
        place = bisect_right(self._times_us, time_us)
        return self._prices[place - 1] if place else None
