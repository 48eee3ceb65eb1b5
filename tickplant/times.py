"""Times as users read them. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(time_us: int) -> str:
    """Write microseconds since the epoch as RFC 3339, with no, 3 or 6 digits of fraction."""
    second, fraction = divmod(time_us, 1_000_000)
    text = _format_second(second)
    if not fraction:
        return f"{text}Z"
    if fraction % 1000:
        return f"{text}.{fraction:06d}Z"
    return f"{text}.{fraction // 1000:03d}Z"


@lru_cache(maxsize=4096)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
