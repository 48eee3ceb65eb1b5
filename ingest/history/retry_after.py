"""Parses Retry-After headers of venues. Pure.

RFC 9110, section 10.2.3, allows whole seconds and dates. Venues and their proxies also send fractions, times
since the epoch in seconds or finer units, several headers, and invalid text. The wait is always bounded: a
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
"""Binance bans for up to 3 days; meanwhile a request is made once in this time."""

_EPOCH_UNITS: Final = ((10**17, 1e9), (10**14, 1e6), (10**11, 1e3), (10**8, 1.0))
"""Numbers from the first value on are times since the epoch; the second is the number of units per second."""


def retry_after_s(values: Sequence[str], now_us: int, *, default_s: float = DEFAULT_S) -> float:
    """Return the longest wait of all headers, bounded.

    Args:
        values: of all Retry-After headers; empty if there is none.
        now_us: the current time.
        default_s: the wait if no value can be parsed.
    """
    waits_s = [found for value in values if (found := _parse(value.strip(), now_us / 1e6)) is not None]
    return min(LONGEST_S, max(LEAST_S, max(waits_s, default=default_s)))


def _parse(text: str, now_s: float) -> float | None:
    try:
        number = float(text)
    except ValueError:
        moment = _parse_time(text)
        return None if moment is None else moment.timestamp() - now_s
    if math.isnan(number) or number < 0:
        return None
    # Infinity, or a number beyond all units, results in the longest wait.
    units = next((units for least, units in _EPOCH_UNITS if least <= number < least * 1000), None)
    return number if units is None else number / units - now_s


def _parse_time(text: str) -> datetime | None:
    """Parse an HTTP date or an ISO 8601 time; without a zone, it is UTC."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
