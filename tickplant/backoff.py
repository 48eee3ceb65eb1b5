"""Waits between attempts: exponential, capped, with full jitter.

Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (the variant called full jitter).
"""

import random


def bound_s(tries: int, *, first_s: float, cap_s: float) -> float:
    """Return the longest wait after so many tries before the last one."""
    return min(cap_s, first_s * 2.0 ** min(tries, 60))


class Backoff:
    """The waits between tries of one thing."""

    def __init__(self, *, first_s: float, cap_s: float, seed: int | None = None) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._seed = seed
        self._random: random.Random | None = None
        self._tries = 0

    def next_s(self) -> float:
        """Return the next wait in seconds: uniform between 0 and a bound that doubles up to the cap."""
        if self._random is None:  # made on the first wait: seeding costs more than a try that succeeds
            self._random = random.Random(self._seed)  # noqa: S311 - spreads load, guards no secret
        wait_s = self._random.uniform(0, bound_s(self._tries, first_s=self._first_s, cap_s=self._cap_s))
        self._tries += 1
        return wait_s

    def reset(self) -> None:
        """Start again with the shortest wait, after a success."""
        self._tries = 0
