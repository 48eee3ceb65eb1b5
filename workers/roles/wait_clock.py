"""A clock for waiting symbols, driven only by the entries of their stream. Pure.

Entry ids carry Redis's clock, which can step: forwards; or back, and then all entries have one time until it
has caught up. So a step counts for a few seconds at most. While the ids stand still, each clock entry counts
as a second, since a connection writes one a second. So the same entries always measure the same time.
"""

from typing import Final

from msgspec import Struct

MAX_STEP_MS: Final = 5_000
"""The most that one entry adds."""
CLOCK_MS: Final = 1_000
"""How often a connection writes a clock entry."""


class WaitClock(Struct, array_like=True):
    """Time measured by the entries that concern a symbol."""

    now_ms: int = 0
    """Since the clock began."""
    entry_ms: int | None = None
    """The time of the last entry."""
    clock_entry_ms: int | None = None
    """The time of the last clock entry."""

    def note_entry(self, entry_ms: int, *, clock: bool, max_step_ms: int = MAX_STEP_MS) -> None:
        """Advance by the next entry.

        Args:
            entry_ms: the time in its id.
            clock: whether it is a clock entry.
            max_step_ms: the most that it adds.
        """
        if self.entry_ms is not None:
            self.now_ms += min(max(0, entry_ms - self.entry_ms), max_step_ms)
        self.entry_ms = entry_ms
        if clock:
            if self.clock_entry_ms is not None and entry_ms <= self.clock_entry_ms:
                self.now_ms += CLOCK_MS
            self.clock_entry_ms = entry_ms
