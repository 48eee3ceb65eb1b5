"""A clock for waiting symbols, driven by the entries of their stream alone. Pure.

Entry ids carry Redis's clock, which can step: forwards; or back, and then all entries have one time until
it has come there again. So a step counts for a few seconds at the most. While the ids stand still, each clock
entry counts for a second, since a connection writes one a second. So the same entries always measure alike.
"""

from typing import Final

from msgspec import Struct

MOST_STEP_MS: Final = 5_000
"""What an entry adds at the most."""
CLOCK_MS: Final = 1_000
"""How often a connection writes a clock entry."""


class WaitClock(Struct, array_like=True):
    """Time that passes with the entries that concern a symbol."""

    now_ms: int = 0
    """Since the clock began."""
    entry_ms: int | None = None
    """The time of the last entry."""
    clock_entry_ms: int | None = None
    """The time of the last clock entry."""

    def pass_entry(self, entry_ms: int, *, clock: bool, most_step_ms: int = MOST_STEP_MS) -> None:
        """Take the next entry.

        Args:
            entry_ms: its time, by its id.
            clock: whether it is a clock entry.
            most_step_ms: what it adds at the most.
        """
        if self.entry_ms is not None:
            self.now_ms += min(max(0, entry_ms - self.entry_ms), most_step_ms)
        self.entry_ms = entry_ms
        if clock:
            if self.clock_entry_ms is not None and entry_ms <= self.clock_entry_ms:
                self.now_ms += CLOCK_MS
            self.clock_entry_ms = entry_ms
