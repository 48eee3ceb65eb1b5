"""Times in requests and answers: RFC 3339 in UTC, and milliseconds since the epoch. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII
)
_MILLISECONDS: Final = re.compile(r"-?\d{1,15}", re.ASCII)

LEAST_US: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
GREATEST_US: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def parse_time(text: str) -> int:
    """Read RFC 3339 or milliseconds since the epoch into microseconds since the epoch.

    A space before the offset counts as the `+` that it was before a query string was decoded.

    Raises:
        ValueError: it is neither, or lies outside the years 1 to 9999.
    """
    if _MILLISECONDS.fullmatch(text):
        time_us = int(text) * 1000
    else:
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text[:40]!r} is not a time: write 2026-01-31T12:00:00Z, or milliseconds since the epoch"
            )
        date, clock, fraction, zulu, offset = match.groups()
        zone = "+00:00" if zulu else offset.replace(" ", "+")
        moment = datetime.fromisoformat(f"{date}T{clock}{zone}")
        time_us = (moment - _EPOCH) // _MICROSECOND + int((fraction or "").ljust(6, "0")[:6])
    if not LEAST_US <= time_us <= GREATEST_US:
        raise ValueError(f"{text[:40]!r} lies outside the years 1 to 9999")
    return time_us
