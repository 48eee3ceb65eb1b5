"""Parses times that users write: RFC 3339, and numbers since the epoch. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from tickplant.market import EXACT
from tickplant.times import to_us

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+ -]\d\d:\d\d)?", re.ASCII
)
"""RFC 3339, but for seconds and offset, which it requires."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_EPOCH_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_UNITS_NS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**20, 1))
"""Exclusive upper bounds of numbers in seconds, milliseconds, microseconds and nanoseconds, and the units'
lengths in nanoseconds. Any number is then a time between 1973 and 5138, or in seconds before that."""

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


def parse_time_us(text: str, *, lenient: bool = False) -> int:
    """Parse RFC 3339, or seconds, milli-, micro- or nanoseconds since the epoch, into microseconds.

    The magnitude of a number determines its unit. A date alone is its midnight in UTC. A space before the
    offset counts as the `+` that it was before the query string was decoded.

    Args:
        text: the time.
        lenient: accept times without seconds or offset, in UTC, and take eight digits for a date.

    Raises:
        ValueError: the text is neither, or lies outside the years 1 to 9999.
    """
    if lenient:
        text = _COMPACT_DATE.sub(r"\1-\2-\3", text) if len(text) == 8 else text
    if _EPOCH_NUMBER.fullmatch(text):
        time_us = _parse_number(text)
    elif _DATE.fullmatch(text):
        time_us = to_us(datetime.fromisoformat(f"{text}T00:00:00+00:00"))
    else:
        time_us = _parse_rfc3339(text, lenient=lenient)
    if not MIN_TIME_US <= time_us <= MAX_TIME_US:
        raise ValueError(f"{text[:40]!r} lies outside the years 1 to 9999")
    return time_us


def _parse_rfc3339(text: str, *, lenient: bool) -> int:
    match = _TIME.fullmatch(text)
    if match is None or not (lenient or (match[3] and match[5])):
        raise ValueError(
            f"{text[:40]!r} is not a time: write 2026-01-31, or 2026-01-31T12:00:00Z"
            " (an offset may replace Z), or seconds, milliseconds, microseconds or nanoseconds since 1970"
        )
    date, minute, second, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset.replace(" ", "+")
    time = datetime.fromisoformat(f"{date}T{minute}{second or ':00'}{zone}")
    return to_us(time) + int((fraction or "").ljust(6, "0")[:6])


def _parse_number(text: str) -> int:
    number = EXACT.create_decimal(text)
    unit_ns = next(unit_ns for limit, unit_ns in _UNITS_NS if abs(number) < limit)
    return int(EXACT.multiply(number, unit_ns)) // 1000
