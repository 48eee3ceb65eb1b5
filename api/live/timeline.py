"""Maps input entries to the live updates that carried their trades. Pure."""

from bisect import bisect_right
from typing import Final

from api.live.cursor import STREAM_START, Order

MAX_UPDATES: Final = 4096
"""Updates stored per partition, at least: many times the number published between two commits."""


class Timeline:
    """The recent updates of one partition that carried trades."""

    def __init__(self, base: Order = STREAM_START) -> None:
        """Start without entries.

        Args:
            base: the update up to which updates are unknown; `STREAM_START` if every update will be appended.
        """
        self._base = base
        self._entries: list[Order] = []
        self._updates: list[Order] = []

    def append(self, entry: Order, update: Order) -> None:
        """Add an update and the last input entry in it; both rise."""
        self._entries.append(entry)
        self._updates.append(update)
        if len(self._entries) >= 2 * MAX_UPDATES:
            self._base = self._updates[MAX_UPDATES - 1]
            del self._entries[:MAX_UPDATES], self._updates[:MAX_UPDATES]

    def locate(self, entry: Order) -> Order | None:
        """Return the last update that holds no trade of a later entry than the given one.

        Returns:
            The update, `STREAM_START` if it is before them all, or None if it is no longer known.
        """
        index = bisect_right(self._entries, entry)
        if index:
            return self._updates[index - 1]
        return STREAM_START if self._base == STREAM_START else None
