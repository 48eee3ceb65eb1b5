"""The supervisor's decisions: how long to wait before a process is started again."""

from hypothesis import given
from hypothesis import strategies as st

from tickplant.local.supervisor import RestartDelay, describe_exit

DURATIONS = st.floats(min_value=0, max_value=1e6)


def test_delays_double_up_to_the_most() -> None:
    delay = RestartDelay()
    delays = [delay.after(0) for _ in range(9)]
    assert delays == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_process_that_ran_well_is_started_soon_again() -> None:
    delay = RestartDelay()
    for _ in range(5):
        delay.after(1)
    assert delay.after(RestartDelay.STABLE_S) == RestartDelay.FIRST_S


@given(st.lists(DURATIONS))
def test_delays_stay_within_bounds(durations: list[float]) -> None:
    delay = RestartDelay()
    assert all(RestartDelay.FIRST_S <= delay.after(ran_s) <= RestartDelay.MAX_S for ran_s in durations)


def test_endings_are_named() -> None:
    assert describe_exit(1) == "exited with code 1"
    assert describe_exit(-9) == "was terminated by SIGKILL"
