"""Candle intervals: their names, lengths and bounds, in microseconds since the epoch, UTC."""

from typing import Final

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
WEEK_US: Final = 7 * DAY_US

BASE: Final = "1m"
"""The interval that trades are folded into; all others are merged from it."""

INTERVALS: Final[dict[str, int]] = {
    BASE: MINUTE_US,
    "5m": 5 * MINUTE_US,
    "15m": 15 * MINUTE_US,
    "1h": HOUR_US,
    "4h": 4 * HOUR_US,
    "1d": DAY_US,
    "1w": WEEK_US,
}
"""The stored intervals, smallest first: name to length in microseconds."""

_FIRST_MONDAY_US: Final = 4 * DAY_US  # 1970-01-01 was a Thursday


def floor(time_us: int, length_us: int) -> int:
    """Return the open time of the bucket that holds a moment.

    Args:
        time_us: microseconds since the epoch; may be negative.
        length_us: the bucket's length; a week starts on Monday, all others divide the day.
    """
    if length_us == WEEK_US:
        return time_us - (time_us - _FIRST_MONDAY_US) % WEEK_US
    return time_us - time_us % length_us
