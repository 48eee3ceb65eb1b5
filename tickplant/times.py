"""Times as users read them. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(time_us: int) -> str:
    """Write microseconds since the epoch as RFC 3339 in UTC, always with six digits of fraction.

    Readers that take the form of a list's times from its first, such as pandas, can then read any list.
    """
    second, fraction = divmod(time_us, 1_000_000)
    return f"{_format_second(second)}.{fraction:06d}Z"


@lru_cache(maxsize=4096)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
