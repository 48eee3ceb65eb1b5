"""The closes of a symbol's minutes over the last day. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

MOST: Final = 24 * 60 + 1
"""Closes kept: enough for the price a day ago; a new owner loads as many."""


class MinuteClose(NamedTuple):
    """The close of a minute that had trades."""

    time_us: int
    """When the minute ended."""
    price: Decimal
    last: tuple[int, int]
    """Event time in us and id of the trade that made it."""


class MinuteCloses:
    """The closes of the newest closed minutes that had trades."""

    __slots__ = ("_lasts", "_prices", "_times_us")

    def __init__(self, closes: Iterable[MinuteClose] = ()) -> None:
        """Begin with closes in order of time."""
        kept = list(closes)[-MOST:]
        self._times_us = [close.time_us for close in kept]
        self._prices = [close.price for close in kept]
        self._lasts = [close.last for close in kept]

    def put(self, close: MinuteClose) -> None:
        """Add the close of a minute, or of a late part of one: the last trade makes it."""
        place = bisect_left(self._times_us, close.time_us)
        if place < len(self._times_us) and self._times_us[place] == close.time_us:
            if close.last > self._lasts[place]:
                self._prices[place], self._lasts[place] = close.price, close.last
            return
        self._times_us.insert(place, close.time_us)
        self._prices.insert(place, close.price)
        self._lasts.insert(place, close.last)
        if len(self._times_us) > MOST:
            del self._times_us[0], self._prices[0], self._lasts[0]

    def as_of(self, time_us: int) -> Decimal | None:
        """Return the close of the last minute that had closed by then; None where that isn't known."""
        place = bisect_right(self._times_us, time_us)
        return self._prices[place - 1] if place else None
