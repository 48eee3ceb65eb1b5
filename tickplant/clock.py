"""Clocks, which are passed as arguments so that tests and replays can supply their own."""

import time
from collections.abc import Callable

NowUs = Callable[[], int]
"""Microseconds since the epoch."""


def now_us() -> int:
    """Return this machine's time in microseconds since the epoch."""
    return time.time_ns() // 1000


def least_skew_s(first_s: float, last_s: float, before_s: float, after_s: float) -> float:
    """Return how far another clock is ahead of ours at least; 0 where latency can explain the difference.

    Args:
        first_s: the earliest that the other clock can have shown, in seconds since the epoch.
        last_s: the latest.
        before_s: ours, before it was asked.
        after_s: ours, after the answer.
    """
    return max(0.0, first_s - after_s) + min(0.0, last_s - before_s)
