"""The supervisor's decisions: how long to wait before a process is started again."""

from hypothesis import given
from hypothesis import strategies as st

from tickplant.supervisor import Backoff, ending

DURATIONS = st.floats(min_value=0, max_value=1e6)


def test_delays_double_up_to_the_most() -> None:
    backoff = Backoff()
    delays = [backoff.after(0) for _ in range(9)]
    assert delays == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_process_that_ran_well_is_started_soon_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1)
    assert backoff.after(Backoff.WELL_S) == Backoff.FIRST_S


@given(st.lists(DURATIONS))
def test_delays_stay_within_bounds(durations: list[float]) -> None:
    backoff = Backoff()
    assert all(Backoff.FIRST_S <= backoff.after(ran_s) <= Backoff.MOST_S for ran_s in durations)


def test_endings_are_named() -> None:
    assert ending(1) == "ended with exit code 1"
    assert ending(-9) == "was ended by SIGKILL"
