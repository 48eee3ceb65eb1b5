"""Which input entries' trades were in which live update: the bridge from history to what is live. Pure."""

from bisect import bisect_right
from typing import Final

from api.live.cursor import BEGIN, Order

KEPT: Final = 4096
"""Updates remembered of a partition: many times what is published between two commits."""


class Timeline:
    """The recent updates of one partition that carried trades."""

    def __init__(self, base: Order = BEGIN) -> None:
        """Begin with nothing known.

        Args:
            base: the update up to which nothing is known; `BEGIN` if all there ever was will be appended.
        """
        self._base = base
        self._entries: list[Order] = []
        self._updates: list[Order] = []

    def append(self, entry: Order, update: Order) -> None:
        """Note an update and the last input entry in it; both rise."""
        self._entries.append(entry)
        self._updates.append(update)
        if len(self._entries) >= 2 * KEPT:
            self._base = self._updates[KEPT - 1]
            del self._entries[:KEPT], self._updates[:KEPT]

    def locate(self, entry: Order) -> Order | None:
        """Return the last update that holds no trade of a later entry than the given one.

        Returns:
            The update, `BEGIN` if it is before them all, or None if it can no longer be told.
        """
        index = bisect_right(self._entries, entry)
        if index:
            return self._updates[index - 1]
        return BEGIN if self._base == BEGIN else None
