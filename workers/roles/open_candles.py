"""A symbol's whole candles while they are open, and when they close. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from tickplant.intervals import BASE, INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, merge, rebucket

_PLACES: Final = {name: place for place, name in enumerate(INTERVALS)}


class OpenCandles:
    """The open candle of each interval; candles with the same close time close together."""

    __slots__ = ("_open", "_part", "minute_us")

    def __init__(self, candles: Iterable[Candle] = (), *, minute_us: int = 0) -> None:
        """Restore open candles.

        Args:
            candles: the open ones.
            minute_us: the start of the minute of the symbol's time.
        """
        self._open = {candle.interval: candle for candle in candles}
        self._part: Candle | None = None  # of the current minute, not yet in the candles
        self.minute_us = minute_us
        """The start of the current minute: candles that end by then have closed."""

    @property
    def candles(self) -> list[Candle]:
        """All open candles, shortest interval first."""
        self._merge_part()
        return [self._open[name] for name in INTERVALS if name in self._open]

    def add(self, run: Candle) -> list[Candle]:
        """Add trades of one minute.

        Args:
            run: their candle, of the base interval; `close_until` has been called for its minute.

        Returns:
            Parts of candles that had already closed, one per interval; usually none.
        """
        if run.open_time_us >= self.minute_us:
            self._part = merge(self._part, run) if self._part else run
            return []
        late = []
        for name, length in INTERVALS.items():
            part = rebucket(run, name, length)
            if part.open_time_us + length > self.minute_us:
                self._merge(part)
            else:
                late.append(part)
        return late

    def close_until(self, minute_us: int) -> Iterator[tuple[int, list[Candle]]]:
        """Close the candles that end by the start of a minute, and make it the current one.

        Yields:
            Each close time, in order, with its candles, shortest interval first.
        """
        if minute_us <= self.minute_us:
            return
        self._merge_part()
        self.minute_us = minute_us
        ends = {name: candle.open_time_us + INTERVALS[name] for name, candle in self._open.items()}
        for end in sorted({end for end in ends.values() if end <= minute_us}):
            names = sorted((name for name in ends if ends[name] == end), key=_PLACES.__getitem__)
            yield end, [self._open.pop(name) for name in names]

    def _merge_part(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            for name, length in INTERVALS.items():
                self._merge(part if name == BASE else rebucket(part, name, length))

    def _merge(self, part: Candle) -> None:
        known = self._open.get(part.interval)
        self._open[part.interval] = merge(known, part) if known else part


def minute_of(time_us: int) -> int:
    """Return the start of the minute of a time."""
    return floor(time_us, MINUTE_US)
