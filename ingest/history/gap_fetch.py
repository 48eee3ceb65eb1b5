"""The schedule of requests for missing ids, and the evidence for a verdict on them. Pure.

A venue's history, or one of its replicas, may lag behind its websocket. So missing ids are requested again,
with backoff. A verdict requires evidence that persists: history has later trades but not these, or it ends
before them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ingest.history.page import UnavailableCause, UnavailableIds
from ingest.venues.base_rest import MissingRange

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
REFUSED_DELAY_S: Final = 600.0
"""The delay after a venue refused trades."""
STORED_DELAY_S: Final = 10.0
"""How long fetched trades may take to be stored before they are requested again."""
SUSPECT_DELAY_S: Final = 5.0
"""The delay between two attempts at a suspected gap."""
CONFIRM_DELAY_S: Final = 60.0
"""The delay after which void ids are requested once more."""
PATIENCE_S: Final[Mapping[UnavailableCause, float]] = {
    UnavailableCause.OMITTED: 6.0,
    UnavailableCause.REFUSED: 15.0,
    UnavailableCause.EARLY: 15.0,
    UnavailableCause.LATE: 300.0,
}
"""How long a venue must give the same answer, in two attempts or more, before it is accepted."""


class GapFetch:
    """The attempts to fetch one gap, and the ids still unavailable."""

    def __init__(
        self, gap: MissingRange, *, due_s: float, suspected: bool = False, max_attempts: int | None = None
    ) -> None:
        """Initialize the fetch.

        Args:
            gap: the missing ids.
            due_s: when to make the first attempt, by a monotonic clock.
            suspected: whether the gap is not in the ledger, so that no verdict is published.
            max_attempts: attempts after which a suspected gap is dropped; None for any number.
        """
        self.gap = gap
        self.due_s = due_s
        self.suspected = suspected
        self.unavailable = [self._all_ids()]
        self._first_s: float | None = None
        self._attempts = 0
        self._max_attempts = max_attempts

    @property
    def finished(self) -> bool:
        """Whether a suspected gap needs no further attempt."""
        return not self.unavailable or (
            self._max_attempts is not None and self._attempts >= self._max_attempts
        )

    @property
    def missing(self) -> int:
        """The number of ids that no attempt has returned."""
        return sum(ids.last_id - ids.first_id + 1 for ids in self.unavailable)

    def reset(self, gap: MissingRange) -> None:
        """Start again with the whole gap: fetched trades were not stored, or its start has moved."""
        self.gap = gap
        self.unavailable = [self._all_ids()]

    def record(self, found: Iterable[UnavailableIds], now_s: float) -> list[UnavailableIds]:
        """Record which ids an attempt found to be unavailable.

        Returns:
            The ids for which a verdict is due.
        """
        self.unavailable = self._still_unavailable(found)
        self._attempts += 1
        self._first_s = now_s if self._first_s is None else self._first_s
        elapsed_s = now_s - self._first_s
        proven = [
            ids for ids in self.unavailable if self._attempts > 1 and elapsed_s >= PATIENCE_S[ids.cause]
        ]
        if self._max_attempts is not None:
            self.due_s = now_s + SUSPECT_DELAY_S
        elif not self.unavailable:
            self.due_s = now_s + STORED_DELAY_S
        elif len(proven) == len(self.unavailable):
            self.due_s = now_s + REFUSED_DELAY_S
        else:
            self.due_s = now_s + min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._attempts - 1, 10))
        return proven

    def record_interrupted(self, found: Iterable[UnavailableIds], due_s: float) -> None:
        """Record an attempt that ended early, as the venue did not answer or refused."""
        self.unavailable = self._still_unavailable(found)
        self.due_s = due_s

    def _still_unavailable(self, found: Iterable[UnavailableIds]) -> list[UnavailableIds]:
        wanted = [(ids.first_id, ids.last_id) for ids in self.unavailable]
        return [part for ids in found for id_range in wanted if (part := ids.within(id_range)) is not None]

    def _all_ids(self) -> UnavailableIds:
        return UnavailableIds(self.gap.first_id, self.gap.last_id, UnavailableCause.LATE, "not requested yet")


def missing_ranges(fetches: Sequence[GapFetch]) -> list[tuple[int, int]]:
    """Return the ranges of ids that fetches request, in any order."""
    return [(ids.first_id, ids.last_id) for fetch in fetches for ids in fetch.unavailable]
