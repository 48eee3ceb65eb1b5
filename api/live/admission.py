"""Who may open a websocket, and how fast a client may ask. Pure."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Say whether a page of some origin may open a websocket here.

    Args:
        origin: the Origin header; None from clients that are no browsers, which may.
        host: the Host header: pages of the API's own may.
        allowed: further origins, such as https://example.org; `*` for any.
    """
    if origin is None or ANY in allowed:
        return True
    if origin.rstrip("/").lower() in {other.rstrip("/").lower() for other in allowed}:
        return True
    return host is not None and urlsplit(origin).netloc.lower() == host.lower()


class Allowance:
    """A token bucket: so many at once, so many a second in the long run."""

    def __init__(self, *, burst: int, per_s: float, now_s: float) -> None:
        """Begin full.

        Args:
            burst: the most at once.
            per_s: how fast it fills.
            now_s: the present, on any clock that never goes back.
        """
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one; say whether there was one."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def charge(self, more: int) -> None:
        """Take more for what was more than one: the next has to wait, if there was not enough."""
        self._left -= more
