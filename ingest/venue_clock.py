"""A venue's time, as its own trades tell it."""

from typing import Final

CLOCK_GRACE_US: Final = 2_000_000
"""How long a trade may be on its way before a silent socket's clock passes it."""


class VenueClock:
    """The venue's time as its own trades tell it, going on while the socket is silent."""

    def __init__(self) -> None:
        self._event_time_us = 0
        self._heard_s = 0.0

    def hear(self, event_time_us: int, now_s: float) -> None:
        """Note the latest event time in what has just been received."""
        self._event_time_us = max(self._event_time_us, event_time_us)
        self._heard_s = now_s

    def read_us(self, now_s: float) -> int | None:
        """Return a time before which every trade has been received; None before the first trade.

        Right as long as everything received has been parsed, and no trade takes longer than the grace.
        """
        if not self._event_time_us:
            return None
        silent_us = int((now_s - self._heard_s) * 1e6)
        return self._event_time_us + max(0, silent_us - CLOCK_GRACE_US)
