"""How often, and how long, history is asked for what is missing, and what is said when it doesn't come. Pure.

A venue's history may lag behind its sockets, and so may one of its replicas. So ids that it doesn't give are
asked for again: soon while they are fresh, then ever more rarely. What is said of them in the end depends on
the evidence, which has to last: history that has later trades but not these, or that comes no further.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ingest.history.page import UnavailableCause, UnavailableIds
from ingest.venues.base import MissingRange

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
REFUSED_DELAY_S: Final = 600.0
"""After so long a venue that would not give trades is asked once more."""
STORED_DELAY_S: Final = 10.0
"""How long trades that history gave may take to be stored before they are asked for again."""
SUSPECT_DELAY_S: Final = 5.0
"""Between two fetches at trades that a connection suspects to be lost."""
CONFIRM_DELAY_S: Final = 60.0
"""After so long ids that were found to be void are asked for once more."""
PATIENCE_S: Final[Mapping[UnavailableCause, float]] = {
    UnavailableCause.OMITTED: 6.0,
    UnavailableCause.REFUSED: 15.0,
    UnavailableCause.EARLY: 15.0,
    UnavailableCause.LATE: 300.0,
}
"""How long a venue has to give the same answer, at two fetches or more, until it is believed."""


class GapFetch:
    """What is known of one gap, from its first look to its last."""

    def __init__(
        self, gap: MissingRange, *, due_s: float, suspected: bool = False, max_attempts: int | None = None
    ) -> None:
        """Take what is missing.

        Args:
            gap: the ids.
            due_s: when to look first, by the loop's clock.
            suspected: whether the ledger doesn't know of it, so that nothing is to be said of it.
            max_attempts: fetches after which a suspected gap is given up; None for any number.
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
        """Whether a suspected gap need not be looked at again."""
        return not self.unavailable or (
            self._max_attempts is not None and self._attempts >= self._max_attempts
        )

    @property
    def missing(self) -> int:
        """How many ids no look has given."""
        return sum(ids.last_id - ids.first_id + 1 for ids in self.unavailable)

    def reset(self, gap: MissingRange) -> None:
        """Ask for all of a gap again: what history has given has not been stored, or its begin has moved."""
        self.gap = gap
        self.unavailable = [self._all_ids()]

    def record(self, found: Iterable[UnavailableIds], now_s: float) -> list[UnavailableIds]:
        """Take what a look has found to be unavailable.

        Returns:
            What is believed now, and is to be said.
        """
        self.unavailable = self._still_unavailable(found)
        self._attempts += 1
        self._first_s = now_s if self._first_s is None else self._first_s
        lasted_s = now_s - self._first_s
        believed = [
            ids for ids in self.unavailable if self._attempts > 1 and lasted_s >= PATIENCE_S[ids.cause]
        ]
        if self._max_attempts is not None:
            self.due_s = now_s + SUSPECT_DELAY_S
        elif not self.unavailable:
            self.due_s = now_s + STORED_DELAY_S
        elif len(believed) == len(self.unavailable):
            self.due_s = now_s + REFUSED_DELAY_S
        else:
            self.due_s = now_s + min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._attempts - 1, 10))
        return believed

    def record_interrupted(self, found: Iterable[UnavailableIds], due_s: float) -> None:
        """Take what a look has found that couldn't be ended, for want of answers."""
        self.unavailable = self._still_unavailable(found)
        self.due_s = due_s

    def _still_unavailable(self, found: Iterable[UnavailableIds]) -> list[UnavailableIds]:
        wanted = [(ids.first_id, ids.last_id) for ids in self.unavailable]
        return [part for ids in found for whole in wanted if (part := ids.within(whole)) is not None]

    def _all_ids(self) -> UnavailableIds:
        return UnavailableIds(
            self.gap.first_id, self.gap.last_id, UnavailableCause.LATE, "it has not been asked for"
        )


def missing_ranges(fetches: Sequence[GapFetch]) -> list[tuple[int, int]]:
    """Return the ids that fetches ask for, in any order."""
    return [(ids.first_id, ids.last_id) for fetch in fetches for ids in fetch.unavailable]
