"""Moments as venues write them."""

from datetime import datetime

from tickplant.times import to_datetime, to_us


def parse_rfc3339(text: str) -> int:
    """Return a time like `2026-07-07T22:58:16.156605Z` in microseconds; finer digits are cut off.

    Raises:
        ValueError: the text is no time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset: {text[:60]!r}")
    return to_us(moment)


def rfc3339(time_us: int) -> str:
    """Return a time as `2026-07-07T22:58:16.156605Z`."""
    return to_datetime(time_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def epoch_seconds(time_us: int) -> str:
    """Return a time as a JSON number of seconds since the epoch, exactly."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return f"{seconds}.{fraction:06}".rstrip("0").rstrip(".")
