"""Moments as `datetime`, as microseconds since 1970 and as text. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_datetime(time_us: int) -> datetime:
    """Return a moment in UTC.

    Args:
        time_us: microseconds since the epoch.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.
    """
    return _EPOCH + time_us * _MICROSECOND


def to_us(moment: datetime) -> int:
    """Return a moment, which must have an offset, in microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def format_time(time_us: int) -> str:
    """Write microseconds since the epoch as RFC 3339 in UTC, always with six digits of fraction.

    Readers that take the form of a list's times from its first, such as pandas, can then read any list.
    """
    second, fraction = divmod(time_us, 1_000_000)
    return f"{_format_second(second)}.{fraction:06d}Z"


def format_second(time_us: int) -> str:
    """Write microseconds since the epoch as RFC 3339 in UTC, cut to whole seconds."""
    return f"{_format_second(time_us // 1_000_000)}Z"


@lru_cache(maxsize=4096)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
