"""Which trade ids of a symbol have been taken: all from the first to the last but the missing ranges."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence


class Ledger:
    """The ids of one symbol. Pure; the worker saves it with the trades it speaks of."""

    __slots__ = ("_highs", "_lows", "first", "last")

    def __init__(self, first: int, last: int, missing: Iterable[tuple[int, int]] = ()) -> None:
        """Take what is known.

        Args:
            first: smallest id taken; `first > last` says that none has been.
            last: greatest id taken.
            missing: inclusive ranges between them that were not, ascending and apart.
        """
        self.first = first
        self.last = last
        self._lows = [low for low, _ in missing]
        self._highs = [high for _, high in missing]

    @classmethod
    def empty(cls) -> "Ledger":
        """Return a ledger in which no id has been taken."""
        return cls(1, 0)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Inclusive ranges of ids that are missing, ascending."""
        return list(zip(self._lows, self._highs, strict=True))

    @property
    def missing_count(self) -> int:
        """How many ids are missing."""
        return sum(self._highs) - sum(self._lows) + len(self._lows)

    def admit_all(self, ids: Sequence[int]) -> bool:
        """Take ids that follow on the last one without a hole, or none of them.

        Returns:
            Whether they did; if not, nothing has changed.
        """
        start = self.last + 1
        if self.first > self.last or ids[0] != start or ids != list(range(start, start + len(ids))):
            return False
        self.last = ids[-1]
        return True

    def admit(self, trade_id: int) -> bool:
        """Take one id, in any order.

        Returns:
            Whether it is new; False for a duplicate.
        """
        if self.first > self.last:
            self.first = self.last = trade_id
        elif trade_id > self.last:
            self._open(self.last + 1, trade_id - 1, at_end=True)
            self.last = trade_id
        elif trade_id < self.first:
            self._open(trade_id + 1, self.first - 1, at_end=False)
            self.first = trade_id
        else:
            return self._fill(trade_id)
        return True

    def _open(self, low: int, high: int, *, at_end: bool) -> None:
        if low <= high:
            position = len(self._lows) if at_end else 0
            self._lows.insert(position, low)
            self._highs.insert(position, high)

    def _fill(self, trade_id: int) -> bool:
        position = bisect_right(self._lows, trade_id) - 1
        if position < 0 or trade_id > self._highs[position]:
            return False
        low, high = self._lows[position], self._highs[position]
        left = [(low, trade_id - 1)] if low < trade_id else []
        right = [(trade_id + 1, high)] if trade_id < high else []
        self._lows[position : position + 1] = [low for low, _ in left + right]
        self._highs[position : position + 1] = [high for _, high in left + right]
        return True
