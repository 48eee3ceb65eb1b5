"""Which origins may connect, and the rate limit of a client's requests. Pure."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Return whether a page of an origin may connect.

    Args:
        origin: the Origin header; None from clients that are no browsers, which may connect.
        host: the Host header; pages of the same host may connect.
        allowed: further origins, such as https://example.org; `*` for any.
    """
    if origin is None or ANY in allowed:
        return True
    if origin.rstrip("/").lower() in {other.rstrip("/").lower() for other in allowed}:
        return True
    try:
        return host is not None and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


class TokenBucket:
    """A token bucket, which limits bursts and the long-run rate."""

    def __init__(self, *, burst: int, per_s: float, now_s: float) -> None:
        """Start full.

        Args:
            burst: the capacity, in tokens.
            per_s: tokens added per second.
            now_s: the time on a monotonic clock.
        """
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one token; return whether there was one."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def charge(self, more: int) -> None:
        """Take more tokens, which may leave a debt that the next request has to wait for."""
        self._left -= more
