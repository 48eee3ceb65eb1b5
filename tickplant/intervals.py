"""Candle intervals: their names, lengths and bounds, in microseconds since the epoch, UTC.

This module decides which intervals exist. Candles of the stored ones are in the database; the others are
computed from them, or from trades, on request.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from tickplant.times import to_datetime, to_us

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


class Interval(NamedTuple):
    """An interval of candles, stored or not."""

    name: str
    length_us: int | None
    """None: a calendar month."""
    merged_from: str | None = None
    """The stored interval whose candles are merged into those of this one; None for all others."""

    @property
    def sql(self) -> str:
        """The length as PostgreSQL's type `interval` reads it."""
        return "1 month" if self.length_us is None else f"{self.length_us // SECOND_US} seconds"

    @property
    def parts(self) -> int:
        """The most candles that are merged into one."""
        if self.merged_from is None:
            return 1
        return (31 * DAY_US if self.length_us is None else self.length_us) // INTERVALS[self.merged_from]

    def floor(self, time_us: int) -> int:
        """Return the open time of the candle that holds a moment."""
        if self.length_us is not None:
            return floor(time_us, self.length_us)
        return to_us(to_datetime(time_us).replace(day=1, hour=0, minute=0, second=0, microsecond=0))

    def after(self, open_time_us: int, count: int = 1) -> int:
        """Return the open time `count` candles after that of a candle; earlier where `count` is negative.

        Of one it is the candle's close time. No month is later than the last of the year 9999.
        """
        if self.length_us is not None:
            return open_time_us + count * self.length_us
        opened = to_datetime(open_time_us)
        month = min(max(12 * opened.year + opened.month - 1 + count, 12), 12 * 9999 + 11)
        return to_us(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))

    def ceil(self, time_us: int) -> int:
        """Return the earliest open time that is not before a moment."""
        floored = self.floor(time_us)
        return floored if floored == time_us else self.after(floored)


CANDLE_INTERVALS: Final = {
    interval.name: interval
    for interval in (
        Interval("1s", SECOND_US),
        Interval(BASE, MINUTE_US),
        Interval("3m", 3 * MINUTE_US, BASE),
        Interval("5m", 5 * MINUTE_US),
        Interval("15m", 15 * MINUTE_US),
        Interval("30m", 30 * MINUTE_US, "15m"),
        Interval("1h", HOUR_US),
        Interval("2h", 2 * HOUR_US, "1h"),
        Interval("4h", 4 * HOUR_US),
        Interval("6h", 6 * HOUR_US, "1h"),
        Interval("8h", 8 * HOUR_US, "4h"),
        Interval("12h", 12 * HOUR_US, "4h"),
        Interval("1d", DAY_US),
        Interval("3d", 3 * DAY_US, "1d"),
        Interval("1w", WEEK_US),
        Interval("1M", None, "1d"),
    )
}
"""All intervals of candles by name, smallest first: Binance's. Those of 3d are counted from 1970-01-01."""

MERGED: Final = tuple(name for name, interval in CANDLE_INTERVALS.items() if interval.merged_from)
"""The intervals whose candles are merged from stored ones on request, smallest first."""
