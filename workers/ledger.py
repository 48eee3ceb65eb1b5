"""Which trade ids of a symbol are stored: all from the first to the last but missing and void ones. Pure."""

from collections.abc import Iterable

from workers.ranges import Range, Ranges


class Ledger:
    """The ids of one symbol, saved in the transaction that stores their trades."""

    __slots__ = ("first", "last", "missing", "numbered", "void")

    def __init__(
        self,
        first: int,
        last: int,
        missing: Iterable[Range] = (),
        void: Iterable[Range] = (),
        *,
        numbered: bool = True,
    ) -> None:
        """Restore a ledger.

        Args:
            first: smallest id stored; `first > last` where there is none.
            last: greatest id stored.
            missing: ranges between them that are not stored.
            void: ranges for which the venue has no trades; they may lie beyond `first` and `last`.
            numbered: whether the venue numbers its trades consecutively; else ids are ours and only ascend.
        """
        self.first = first
        self.last = last
        self.missing = Ranges(missing)
        self.void = Ranges(void)
        self.numbered = numbered

    @classmethod
    def empty(cls, *, numbered: bool = True) -> "Ledger":
        """Return a ledger without ids."""
        return cls(1, 0, numbered=numbered)

    def append(self, first: int, last: int) -> bool:
        """Add ids that continue from the last one, or none of them.

        Args:
            first: the first of them.
            last: the last; the ids between are consecutive where they are the venue's, else they ascend.

        Returns:
            Whether they were added; if not, nothing has changed.
        """
        if self.first > self.last or first <= self.last:
            return False
        if self.numbered and (first != self.last + 1 or self.void.reaches(first)):
            return False
        self.last = last
        return True

    def fill(self, first: int, last: int) -> bool:
        """Add consecutive ids below the last one, if all of them are missing or below the first, or none.

        Args:
            first: the first of them.
            last: the last.

        Returns:
            Whether they were added; if not, nothing has changed, and each id has to be added alone.
        """
        void = self.void.first_from(first)
        if not self.numbered or (void is not None and void[0] <= last):
            return False
        if last < self.first <= self.last:
            self._miss(last + 1, self.first - 1)
            self.first = first
            return True
        gap = self.missing.first_from(first)
        if gap is None or gap[0] > first or gap[1] < last:
            return False
        self.missing.discard(first, last)
        return True

    def add(self, trade_id: int) -> bool:
        """Add one id, in any order.

        Returns:
            Whether the id is new; False for a duplicate.
        """
        if self.first > self.last:
            self.first = self.last = trade_id
        elif trade_id > self.last:
            if self.numbered:
                self._miss(self.last + 1, trade_id - 1)
                self.void.discard(trade_id, trade_id)
            self.last = trade_id
        elif not self.numbered:
            return False
        elif trade_id < self.first:
            self._miss(trade_id + 1, self.first - 1)
            self.void.discard(trade_id, trade_id)
            self.first = trade_id
        else:
            return bool(self.missing.discard(trade_id, trade_id) or self.void.discard(trade_id, trade_id))
        return True

    def mark_void(self, low: int, high: int) -> bool:
        """Mark missing ids as void: the venue has no trades under them.

        Returns:
            Whether any of them was missing.
        """
        voided = self.missing.discard(low, high)
        for first, last in voided:
            self.void.add(first, last)
        return bool(voided)

    def mark_void_beyond(self, trade_id: int) -> None:
        """Mark an id before the first or after the last one as void."""
        if not self.first <= trade_id <= self.last:
            self.void.add(trade_id, trade_id)

    def _miss(self, low: int, high: int) -> None:
        """Add ids to the missing ones, except void ones."""
        self.missing.add(low, high)
        while (known := self.void.first_from(low)) is not None and known[0] <= high:
            self.missing.discard(*known)
            low = known[1] + 1
