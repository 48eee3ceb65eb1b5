"""Times in requests and answers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.time_parsing import MAX_TIME_US, MIN_TIME_US, parse_time_us
from tickplant.times import format_time


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_723_161_255_342_000, "2024-08-08T23:54:15.342000Z"),
        (1_723_161_255_342_001, "2024-08-08T23:54:15.342001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times_carry_six_digits_always(time_us: int, text: str) -> None:
    assert format_time(time_us) == text


@given(st.integers(MIN_TIME_US, MAX_TIME_US))
def test_what_is_written_is_read_back(time_us: int) -> None:
    assert parse_time_us(format_time(time_us)) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08T23:54:15.342Z",
        "2024-08-09T01:54:15.342+02:00",
        "2024-08-09T01:54:15.342 02:00",  # the plus of a query string that was not escaped
        "2024-08-08 23:54:15.342000999z",
        "1723161255.342",
        "1723161255342",
        "1723161255342.0009",
        "1723161255342000",
        "1723161255342000999",
    ],
)
def test_all_spellings_of_one_moment(text: str) -> None:
    moment = datetime(2024, 8, 8, 23, 54, 15, 342_000, tzinfo=UTC)
    assert parse_time_us(text) == round(moment.timestamp() * 1000) * 1000


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-08-08T23:54:15", "2024-13-01T00:00:00Z", "2024-02-30", "9" * 21, "1.", "1e9", "٣"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time_us(text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1795820321", "2026-11-27T22:58:41Z"),
        ("-86400", "1969-12-31T00:00:00Z"),
        ("-0.000001", "1969-12-31T23:59:59.999999Z"),
        ("99999999999", "5138-11-16T09:46:39Z"),
        ("100000000000", "1973-03-03T09:46:40Z"),
        ("1795820321000", "2026-11-27T22:58:41Z"),
        ("1795820321000000", "2026-11-27T22:58:41Z"),
        ("2026-11-27", "2026-11-27T00:00:00Z"),
    ],
)
def test_the_unit_of_a_number_follows_from_its_magnitude(text: str, iso: str) -> None:
    assert parse_time_us(text) == parse_time_us(iso)


@given(st.integers(10**17, 9 * 10**17), st.sampled_from([9, 6, 3]))
def test_every_unit_of_a_moment_is_the_same_moment(time_ns: int, digits: int) -> None:
    whole, fraction = divmod(time_ns, 10**digits)
    assert parse_time_us(f"{whole}.{fraction:0{digits}d}") == time_ns // 1000


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08",
        "20240808",
        "2024-08-08T00:00",
        "2024-08-08 00:00:00",
        "2024-08-08T02:00+02:00",
        "1723075200",
    ],
)
def test_the_command_line_needs_neither_seconds_nor_offset_nor_hyphens(text: str) -> None:
    assert parse_time_us(text, lenient=True) == parse_time_us("2024-08-08T00:00:00Z")


@pytest.mark.parametrize("text", ["now", "2024-08-08T00", "2024-08-32", "20240832", "2024-08-08T24:01"])
def test_the_command_line_refuses_anything_else(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time_us(text, lenient=True)
