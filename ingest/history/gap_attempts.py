"""How often, and how long, history is asked for what is missing, and what is said when it doesn't come. Pure.

A venue's history may lag behind its sockets, and so may one of its replicas. So ids that it doesn't give are
asked for again: soon while they are fresh, then ever more rarely. What is said of them in the end depends on
the evidence, which has to last: history that has later trades but not these, or that comes no further.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ingest.history.page import UnavailableIds, UnavailableReason
from ingest.venues.base import MissingRange

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
REFUSED_DELAY_S: Final = 600.0
"""After so long a venue that would not give trades is asked once more."""
STORED_DELAY_S: Final = 10.0
"""How long trades that history gave may take to be stored before they are asked for again."""
SUSPECT_DELAY_S: Final = 5.0
"""Between two looks at trades that a connection suspects to be lost."""
CONFIRM_DELAY_S: Final = 60.0
"""After so long ids that were found to be void are asked for once more."""
PATIENCE_S: Final[Mapping[UnavailableReason, float]] = {
    UnavailableReason.OMITTED: 6.0,
    UnavailableReason.REFUSED: 15.0,
    UnavailableReason.EARLY: 15.0,
    UnavailableReason.LATE: 300.0,
}
"""How long a venue has to give the same answer, at two looks or more, until it is believed."""


class GapAttempts:
    """What is known of one gap, from its first look to its last."""

    def __init__(
        self, gap: MissingRange, *, due_s: float, suspected: bool = False, most_tries: int | None = None
    ) -> None:
        """Take what is missing.

        Args:
            gap: the ids.
            due_s: when to look first, by the loop's clock.
            suspected: whether the ledger doesn't know of it, so that nothing is to be said of it.
            most_tries: looks after which a suspected gap is given up; None for any number.
        """
        self.gap = gap
        self.due_s = due_s
        self.suspected = suspected
        self.lacking = [self._whole()]
        self._first_s: float | None = None
        self._tries = 0
        self._most_tries = most_tries

    @property
    def over(self) -> bool:
        """Whether a suspected gap need not be looked at again."""
        return not self.lacking or (self._most_tries is not None and self._tries >= self._most_tries)

    @property
    def missing(self) -> int:
        """How many ids no look has given."""
        return sum(lack.last_id - lack.first_id + 1 for lack in self.lacking)

    def renew(self, gap: MissingRange) -> None:
        """Ask for all of a gap again: what history has given has not been stored, or its begin has moved."""
        self.gap = gap
        self.lacking = [self._whole()]

    def settle(self, found: Iterable[UnavailableIds], now_s: float) -> list[UnavailableIds]:
        """Take what a look has found to be lacking.

        Returns:
            What is believed now, and is to be said.
        """
        self.lacking = self._still_lacking(found)
        self._tries += 1
        self._first_s = now_s if self._first_s is None else self._first_s
        lasted_s = now_s - self._first_s
        believed = [lack for lack in self.lacking if self._tries > 1 and lasted_s >= PATIENCE_S[lack.why]]
        if self._most_tries is not None:
            self.due_s = now_s + SUSPECT_DELAY_S
        elif not self.lacking:
            self.due_s = now_s + STORED_DELAY_S
        elif len(believed) == len(self.lacking):
            self.due_s = now_s + REFUSED_DELAY_S
        else:
            self.due_s = now_s + min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._tries - 1, 10))
        return believed

    def interrupt(self, found: Iterable[UnavailableIds], due_s: float) -> None:
        """Take what a look has found that couldn't be ended, for want of answers."""
        self.lacking = self._still_lacking(found)
        self.due_s = due_s

    def _still_lacking(self, found: Iterable[UnavailableIds]) -> list[UnavailableIds]:
        wanted = [(lack.first_id, lack.last_id) for lack in self.lacking]
        return [part for lack in found for whole in wanted if (part := lack.within(whole)) is not None]

    def _whole(self) -> UnavailableIds:
        return UnavailableIds(
            self.gap.first_id, self.gap.last_id, UnavailableReason.LATE, "it has not been asked for"
        )


def missing_ranges(looks: Sequence[GapAttempts]) -> list[tuple[int, int]]:
    """Return the ids that looks ask for, in any order."""
    return [(lack.first_id, lack.last_id) for look in looks for lack in look.lacking]
