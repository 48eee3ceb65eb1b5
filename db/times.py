"""Times as the database has them, and as microseconds since the epoch."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def time_of(time_us: int) -> datetime:
    """Return a moment as asyncpg takes it.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.
    """
    return _EPOCH + time_us * _MICROSECOND


def us_of(time: datetime) -> int:
    """Return a moment that asyncpg gave in microseconds since the epoch."""
    return (time - _EPOCH) // _MICROSECOND
