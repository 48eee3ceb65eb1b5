"""How far another clock is off, as far as an answer proves it."""

import pytest

from tickplant.clock import least_skew_s


@pytest.mark.parametrize(
    ("first_s", "last_s", "skew_s"),
    [
        (100.0, 100.0, 0.0),
        (102.0, 102.0, 0.0),  # a slow answer proves nothing
        (103.5, 103.5, 1.5),
        (98.5, 98.5, -1.5),
        (99.0, 100.0, 0.0),  # whole seconds
        (97.0, 98.0, -2.0),
    ],
)
def test_a_clock_is_off_by_no_more_than_the_answer_proves(
    first_s: float, last_s: float, skew_s: float
) -> None:
    assert least_skew_s(first_s, last_s, 100.0, 102.0) == skew_s
