"""Times in requests and answers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.times import GREATEST_US, LEAST_US, parse_time
from tickplant.times import format_time


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_723_161_255_342_000, "2024-08-08T23:54:15.342Z"),
        (1_723_161_255_342_001, "2024-08-08T23:54:15.342001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times_carry_as_many_digits_as_they_need(time_us: int, text: str) -> None:
    assert format_time(time_us) == text


@given(st.integers(LEAST_US, GREATEST_US))
def test_what_is_written_is_read_back(time_us: int) -> None:
    assert parse_time(format_time(time_us)) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08T23:54:15.342Z",
        "2024-08-09T01:54:15.342+02:00",
        "2024-08-09T01:54:15.342 02:00",  # the plus of a query string that was not escaped
        "2024-08-08 23:54:15.342000999z",
        "1723161255342",
    ],
)
def test_all_spellings_of_one_moment(text: str) -> None:
    moment = datetime(2024, 8, 8, 23, 54, 15, 342_000, tzinfo=UTC)
    assert parse_time(text) == round(moment.timestamp() * 1000) * 1000


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-08-08", "2024-08-08T23:54:15", "2024-13-01T00:00:00Z", "9" * 15, "1.5", "٣"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
