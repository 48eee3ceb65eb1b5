"""A venue's limits on its clients, and the counters that enforce them."""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_TOLERANCE: Final = 0.9
"""Windows are shorter than configured by this factor: the network may bunch what kept exactly to a limit."""


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """What a venue allows one address. An address that exceeds a websocket limit is banned."""

    messages_per_s: float
    """Incoming on one connection."""
    counts_control_frames: bool = False
    """Pings and pongs are messages, too."""
    streams_per_connection: int
    connects: int
    """Attempts in `connects_window_s`."""
    connects_window_s: float
    connection_age_s: float = 24 * 3600
    subscribe_within_s: float | None = None
    """A connection that has not subscribed by then is closed."""
    ban_s: float = 5.0
    """Real venues ban for minutes; here it is short, so that a test sees the end of it."""
    ban_status: int = 429
    """How connections are refused during a ban."""
    requests: int
    """REST requests in `requests_window_s`, or their weights."""
    requests_window_s: float


class WindowLimit:
    """A limit of so many events in any window of time.

    Args:
        count: how many.
        window_s: within so long.
    """

    def __init__(self, count: float, window_s: float) -> None:
        self._times_s: deque[float] = deque(maxlen=max(1, int(count)))
        scale = 1 / count if count < 1 else 1
        self._window_s = window_s * scale * _TOLERANCE

    def allows(self, now_s: float) -> bool:
        """Count an event; return whether it keeps to the limit."""
        times_s = self._times_s
        kept = len(times_s) < (times_s.maxlen or 0) or now_s - times_s[0] >= self._window_s
        times_s.append(now_s)
        return kept


class SandboxAdmission:
    """Admission of addresses: attempts and bans.

    Args:
        limits: the venue's.
    """

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._attempts: dict[str, WindowLimit] = {}
        self._banned_until_s: dict[str, float] = {}
        self.bans = 0
        """How many bans there have been."""

    def admit(self, address: str, now_s: float) -> float | None:
        """Count an attempt; return how many seconds longer the address is banned, None if it may connect."""
        left_s = self._banned_until_s.get(address, 0) - now_s
        if left_s > 0:
            return left_s
        limits = self._limits
        attempts = self._attempts.setdefault(address, WindowLimit(limits.connects, limits.connects_window_s))
        if attempts.allows(now_s):
            return None
        self.ban(address, now_s)
        return limits.ban_s

    def ban(self, address: str, now_s: float) -> None:
        """Refuse an address from now on, for as long as the venue's ban takes."""
        self._banned_until_s[address] = now_s + self._limits.ban_s
        self._attempts.pop(address, None)
        self.bans += 1


class Budget:
    """REST requests, or their weights, counted in windows that start at whole multiples of their length.

    Args:
        limits: the venue's.
        clock_us: this machine's time.
    """

    def __init__(self, limits: SandboxLimits, clock_us: Callable[[], int]) -> None:
        self._limit = limits.requests
        self._window_us = int(limits.requests_window_s * 1e6)
        self._clock_us = clock_us
        self._window = 0
        self.used = 0
        """In the running window."""

    @property
    def limit(self) -> int:
        """What may be used in a window."""
        return self._limit

    def charge(self, weight: int = 1) -> bool:
        """Count a request; return whether it keeps to the budget."""
        window = self._clock_us() // self._window_us
        if window != self._window:
            self._window, self.used = window, 0
        self.used += weight
        return self.used <= self._limit

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until the next window."""
        return -(-(self._window_us - self._clock_us() % self._window_us) // 1_000_000)
