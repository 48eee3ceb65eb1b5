"""Intervals of candles: their bounds, and that there is one list of them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.intervals import CANDLE_INTERVALS, INTERVALS, MERGED
from tickplant.times import to_us

BINANCE = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
"""https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints"""

MOMENTS = st.integers(-2_200_000_000_000_000, 7_200_000_000_000_000)


def us(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def test_they_are_binances() -> None:
    assert tuple(CANDLE_INTERVALS) == BINANCE


def test_each_is_stored_or_merged_from_a_stored_one_but_for_a_second() -> None:
    assert set(CANDLE_INTERVALS) - {"1s"} == set(INTERVALS) | set(MERGED)
    assert not set(INTERVALS) & set(MERGED)
    for name in MERGED:
        assert CANDLE_INTERVALS[name].merged_from in INTERVALS
    for name, length_us in INTERVALS.items():
        assert CANDLE_INTERVALS[name].length_us == length_us


@pytest.mark.parametrize(
    ("interval", "moment", "opened", "closes"),
    [
        ("1w", "2024-08-09T10:00", "2024-08-05T00:00", "2024-08-12T00:00"),
        ("3d", "1970-01-03T23:59", "1970-01-01T00:00", "1970-01-04T00:00"),
        ("3d", "2024-08-09T10:00", "2024-08-09T00:00", "2024-08-12T00:00"),
        ("1M", "2024-02-29T23:59:59.999999", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("1M", "2023-12-01T00:00", "2023-12-01T00:00", "2024-01-01T00:00"),
        ("8h", "2024-08-09T07:59", "2024-08-09T00:00", "2024-08-09T08:00"),
    ],
)
def test_bounds(interval: str, moment: str, opened: str, closes: str) -> None:
    bounds = CANDLE_INTERVALS[interval]
    assert bounds.floor(us(moment)) == us(opened)
    assert bounds.after(us(opened)) == us(closes)


@pytest.mark.parametrize("name", BINANCE)
@given(moment_us=MOMENTS, count=st.integers(1, 400))
def test_every_moment_is_in_one_candle(name: str, moment_us: int, count: int) -> None:
    interval = CANDLE_INTERVALS[name]
    opened_us = interval.floor(moment_us)
    assert opened_us <= moment_us < interval.after(opened_us)
    assert interval.floor(opened_us) == interval.ceil(opened_us) == opened_us
    assert interval.ceil(opened_us + 1) == interval.after(opened_us)
    assert interval.after(interval.after(opened_us, count), -count) == opened_us
    if interval.merged_from is not None:
        part = CANDLE_INTERVALS[interval.merged_from]
        assert interval.floor(part.floor(moment_us)) == opened_us
        assert interval.after(opened_us) <= part.after(opened_us, interval.parts)
