"""How long a venue wants to be left alone, by the Retry-After headers of its answer. Pure.

RFC 9110, section 10.2.3, knows whole seconds and dates. Venues and their proxies also send fractions, times
since the epoch in seconds or finer units, several headers, and nonsense. Whatever they send, the wait is
bounded: a venue that still refuses after it will say so again.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

UNSAID_S: Final = 60.0
"""How long to leave a venue alone that doesn't say for how long, or not so that it can be understood."""
LEAST_S: Final = 0.5
LONGEST_S: Final = 600.0
"""Binance bans for up to 3 days: it is asked once in this time whether it still does."""

_EPOCH_UNITS: Final = ((10**17, 1e9), (10**14, 1e6), (10**11, 1e3), (10**8, 1.0))
"""A number from the first on is a time since the epoch, with so many units a second."""


def retry_after_s(values: Sequence[str], now_us: int, *, unsaid_s: float = UNSAID_S) -> float:
    """Return the longest wait that any of the headers asks for, bounded.

    Args:
        values: of all Retry-After headers; none where there is none.
        now_us: the present.
        unsaid_s: the wait where none of them can be understood.
    """
    waits_s = [found for value in values if (found := _parse(value.strip(), now_us / 1e6)) is not None]
    return min(LONGEST_S, max(LEAST_S, max(waits_s, default=unsaid_s)))


def _parse(text: str, now_s: float) -> float | None:
    try:
        number = float(text)
    except ValueError:
        moment = _parse_moment(text)
        return None if moment is None else moment.timestamp() - now_s
    if math.isnan(number) or number < 0:
        return None
    # Without an end, or beyond every unit: as long as may be.
    units = next((units for least, units in _EPOCH_UNITS if least <= number < least * 1000), None)
    return number if units is None else number / units - now_s


def _parse_moment(text: str) -> datetime | None:
    """Return the moment of an HTTP date, or of ISO 8601; UTC where it names no zone."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
