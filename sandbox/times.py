"""Moments as venues write them."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def time_us_of(moment: datetime) -> int:
    """Return a moment in microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def parse_rfc3339(text: str) -> int:
    """Return a time like `2026-07-07T22:58:16.156605Z` in microseconds; finer digits are cut off.

    Raises:
        ValueError: the text is no time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset: {text[:60]!r}")
    return time_us_of(moment)


def rfc3339(time_us: int) -> str:
    """Return a time as `2026-07-07T22:58:16.156605Z`."""
    return (_EPOCH + time_us * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def epoch_seconds(time_us: int) -> str:
    """Return a time as a JSON number of seconds since the epoch, exactly."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return f"{seconds}.{fraction:06}".rstrip("0").rstrip(".")
