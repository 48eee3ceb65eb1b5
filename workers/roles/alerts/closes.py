"""The closes of a symbol's minutes over the last day. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from db.alerts.states import MinuteClose

MAX_CLOSES: Final = 24 * 60 + 1
"""Closes in memory: enough for the price a day ago; a new owner loads as many."""


class MinuteCloses:
    """The closes of the newest closed minutes that had trades."""

    __slots__ = ("_last_trades", "_prices", "_times_us")

    def __init__(self, closes: Iterable[MinuteClose] = ()) -> None:
        """Start with closes in order of time."""
        newest = list(closes)[-MAX_CLOSES:]
        self._times_us = [close.time_us for close in newest]
        self._prices = [close.price for close in newest]
        self._last_trades = [_last_trade(close) for close in newest]

    def put(self, close: MinuteClose) -> None:
        """Add the close of a minute, or of a late part of one; the last trade decides."""
        index, last = bisect_left(self._times_us, close.time_us), _last_trade(close)
        if index < len(self._times_us) and self._times_us[index] == close.time_us:
            if last > self._last_trades[index]:
                self._prices[index], self._last_trades[index] = close.price, last
            return
        self._times_us.insert(index, close.time_us)
        self._prices.insert(index, close.price)
        self._last_trades.insert(index, last)
        if len(self._times_us) > MAX_CLOSES:
            del self._times_us[0], self._prices[0], self._last_trades[0]

    def as_of(self, time_us: int) -> Decimal | None:
        """Return the close of the last minute that had closed at a time; None if it is unknown."""
        index = bisect_right(self._times_us, time_us)
        return self._prices[index - 1] if index else None


def _last_trade(close: MinuteClose) -> tuple[int, int]:
    """Return the event time and id of the trade that made a close."""
    return close.last_event_time_us, close.last_trade_id
