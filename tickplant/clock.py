"""Where the present comes from: handed in, so that tests and replays bring their own."""

import time
from collections.abc import Callable

NowUs = Callable[[], int]
"""Microseconds since the epoch."""


def now_us() -> int:
    """Return this machine's time in microseconds since the epoch."""
    return time.time_ns() // 1000
