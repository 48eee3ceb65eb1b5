"""Sets of integers held as ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Range = tuple[int, int]
"""First and last, both inclusive."""


class Ranges:
    """A set of integers: ascending ranges that neither overlap nor adjoin."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Take ascending ranges that neither overlap nor adjoin."""
        members = list(ranges)
        self._lows = [low for low, _ in members]
        self._highs = [high for _, high in members]

    def __contains__(self, number: int) -> bool:
        position = bisect_right(self._lows, number) - 1
        return position >= 0 and number <= self._highs[position]

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.members == other.members

    __hash__ = None  # type: ignore[assignment]  # mutable

    @property
    def members(self) -> list[Range]:
        """The ranges, ascending."""
        return list(zip(self._lows, self._highs, strict=True)) if self._lows else []

    @property
    def count(self) -> int:
        """How many integers are in the set."""
        return sum(self._highs) - sum(self._lows) + len(self._lows)

    def first_from(self, number: int) -> Range | None:
        """Return the first range that contains a number or follows it, cut to start there."""
        position = bisect_left(self._highs, number)
        if position == len(self._highs):
            return None
        return max(self._lows[position], number), self._highs[position]

    def reaches(self, number: int) -> bool:
        """Return whether any integer of the set is at least a number."""
        return bool(self._highs) and self._highs[-1] >= number

    def beyond(self, number: int) -> list[Range]:
        """Return the ranges that start after a number, ascending."""
        position = bisect_right(self._lows, number)
        return list(zip(self._lows[position:], self._highs[position:], strict=True))

    def add(self, low: int, high: int) -> None:
        """Add all integers of a range; none where `low > high`."""
        if low > high:
            return
        start = bisect_left(self._highs, low - 1)
        end = bisect_right(self._lows, high + 1)
        if start < end:
            low = min(low, self._lows[start])
            high = max(high, self._highs[end - 1])
        self._lows[start:end] = [low]
        self._highs[start:end] = [high]

    def discard(self, low: int, high: int) -> list[Range]:
        """Remove all integers of a range.

        Returns:
            The ranges that were removed.
        """
        start = bisect_left(self._highs, low)
        end = bisect_right(self._lows, high)
        if low > high or start >= end:
            return []
        hit = list(zip(self._lows[start:end], self._highs[start:end], strict=True))
        kept = [(first, low - 1) for first, _ in hit[:1] if first < low]
        kept += [(high + 1, last) for _, last in hit[-1:] if last > high]
        self._lows[start:end] = [first for first, _ in kept]
        self._highs[start:end] = [last for _, last in kept]
        return [(max(first, low), min(last, high)) for first, last in hit]
