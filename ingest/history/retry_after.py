"""Parses Retry-After headers of venues. Pure.

RFC 9110, section 10.2.3, allows whole seconds and dates. Venues and their proxies also send fractions, times
since the epoch in seconds or finer units, several headers, and nonsense. The wait is bounded in any case: a
venue that still refuses afterwards sends the header again.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_S: Final = 60.0
"""The wait if the header is missing or can't be parsed."""
LEAST_S: Final = 0.5
LONGEST_S: Final = 600.0
"""Binance bans for up to 3 days; it is tried again once in this time."""

_EPOCH_UNITS: Final = ((10**17, 1e9), (10**14, 1e6), (10**11, 1e3), (10**8, 1.0))
"""A number from the first value on is a time since the epoch; the second is its units per second."""


def retry_after_s(values: Sequence[str], now_us: int, *, default_s: float = DEFAULT_S) -> float:
    """Return the longest wait that any of the headers asks for, bounded.

    Args:
        values: of all Retry-After headers; none where there is none.
        now_us: the current time.
        default_s: the wait if none can be parsed.
    """
    waits_s = [found for value in values if (found := _parse(value.strip(), now_us / 1e6)) is not None]
    return min(LONGEST_S, max(LEAST_S, max(waits_s, default=default_s)))


def _parse(text: str, now_s: float) -> float | None:
    try:
        number = float(text)
    except ValueError:
        moment = _parse_moment(text)
        return None if moment is None else moment.timestamp() - now_s
    if math.isnan(number) or number < 0:
        return None
    # Infinity, or beyond every unit: the longest wait.
    units = next((units for least, units in _EPOCH_UNITS if least <= number < least * 1000), None)
    return number if units is None else number / units - now_s


def _parse_moment(text: str) -> datetime | None:
    """Parse an HTTP date or ISO 8601; UTC if it has no zone."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
