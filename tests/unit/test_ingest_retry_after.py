"""Retry-After in every form that has been seen, and in some that only a broken venue sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.history.retry_after import DEFAULT_S, LEAST_S, LONGEST_S, retry_after_s

NOW_S = 1_700_000_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], DEFAULT_S),
        (["7"], 7),
        (["1.5"], 1.5),
        (["+3"], 3),
        (["0"], LEAST_S),
        (["Tue, 14 Nov 2023 22:14:20 GMT"], 60),
        (["Tue, 14 Nov 2023 22:14:20 -0000"], 60),
        (["Tuesday, 14-Nov-23 22:14:20 GMT"], 60),
        (["2023-11-14T22:14:20Z"], 60),
        (["Tue, 14 Nov 2023 22:12:20 GMT"], LEAST_S),
        (["Tue, 14 Nov 2090 22:12:20 GMT"], LONGEST_S),
        ([str(NOW_S + 60)], 60),
        ([f"{NOW_S + 60}.25"], 60.25),
        ([f"{NOW_S + 60}000"], 60),
        ([f"{NOW_S + 60}000000"], 60),
        ([f"{NOW_S + 60}000000000"], 60),
        ([str(NOW_S - 60)], LEAST_S),
        (["86400"], LONGEST_S),
        (["259200"], LONGEST_S),
        (["inf"], LONGEST_S),
        (["1e300"], LONGEST_S),
        (["9" * 400], LONGEST_S),
        (["nan"], DEFAULT_S),
        (["-1"], DEFAULT_S),
        (["-inf"], DEFAULT_S),
        (["soon"], DEFAULT_S),
        ([""], DEFAULT_S),
        (["99999999999-11-14"], DEFAULT_S),
        (["soon", "2", "5"], 5),
    ],
)
def test_every_form_gives_its_wait(values: list[str], expected: float) -> None:
    assert retry_after_s(values, NOW_S * 1_000_000) == pytest.approx(expected)


@given(st.lists(st.text() | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str)))
def test_the_wait_is_bounded_whatever_a_venue_sends(values: list[str]) -> None:
    assert LEAST_S <= retry_after_s(values, NOW_S * 1_000_000) <= LONGEST_S
