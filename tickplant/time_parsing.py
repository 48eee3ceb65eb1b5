"""Parses times that users write: RFC 3339, and numbers since the epoch. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from tickplant.market import EXACT
from tickplant.times import to_us

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_UNITS_NS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**20, 1))
"""Upper bounds of numbers in seconds, milliseconds, microseconds and nanoseconds, with the unit's length.
Each number is then a time in the years 1973 to 5138, or in seconds before that."""

PATTERN: Final = (
    r"^(?:(?:000[2-9]|00[1-9]\d|0[1-9]\d\d|[1-8]\d{3}|9[0-8]\d\d|99[0-8]\d|999[0-8])"
    r"-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
    r"(?:T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?"
    r"|-?\d{1,10}(?:\.\d{1,9})?|\d{11,20}(?:\.\d{1,9})?)$"
)
"""The format of times in the OpenAPI document, as a regular expression of JSON Schema."""

MIN_TIME_US: Final = to_us(datetime.min.replace(tzinfo=UTC))
MAX_TIME_US: Final = to_us(datetime.max.replace(tzinfo=UTC))


def is_epoch_number(text: str) -> bool:
    """Return whether a text is a number since the epoch, in whatever unit."""
    return _EPOCH_NUMBER.fullmatch(text) is not None


def parse_time_us(text: str) -> int:
    """Parse RFC 3339, or seconds, milli-, micro- or nanoseconds since the epoch, into microseconds.

    The magnitude of a number tells its unit. A date alone is its midnight in UTC. A space before the offset
    counts as the `+` that it was before the query string was decoded.

    Raises:
        ValueError: the text is neither, or lies outside the years 1 to 9999.
    """
    if is_epoch_number(text):
        time_us = _read_number(text)
    elif _DATE.fullmatch(text):
        time_us = to_us(datetime.fromisoformat(f"{text}T00:00:00+00:00"))
    else:
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text[:40]!r} is not a time: write 2026-01-31, or 2026-01-31T12:00:00Z with an offset or Z,"
                " or seconds, milliseconds, microseconds or nanoseconds since 1970"
            )
        date, clock, fraction, zulu, offset = match.groups()
        zone = "+00:00" if zulu else offset.replace(" ", "+")
        moment = datetime.fromisoformat(f"{date}T{clock}{zone}")
        time_us = to_us(moment) + int((fraction or "").ljust(6, "0")[:6])
    if not MIN_TIME_US <= time_us <= MAX_TIME_US:
        raise ValueError(f"{text[:40]!r} lies outside the years 1 to 9999")
    return time_us


def _read_number(text: str) -> int:
    number = EXACT.create_decimal(text)
    unit_ns = next(unit_ns for limit, unit_ns in _UNITS_NS if abs(number) < limit)
    return int(EXACT.multiply(number, unit_ns)) // 1000
