"""The token bucket of the rate limits."""

from hypothesis import given
from hypothesis import strategies as st

from api.access.rate_limits import RequestLimit, take

US = 1_000_000


@given(
    st.integers(1, 20),
    st.integers(1, 60),
    st.lists(st.integers(0, 5 * US), min_size=1, max_size=80),
)
def test_no_window_has_more_than_its_share(requests: int, window_s: int, pauses_us: list[int]) -> None:
    """In any span there are at most a full bucket, and what has been added in the span."""
    limit = RequestLimit(requests, window_s)
    now_us = full_at_us = 1_700_000_000 * US
    each_us = window_s * US // requests
    admitted: list[int] = []
    for pause_us in pauses_us:
        now_us += pause_us
        full_at_us, decision = take(full_at_us, now_us, limit)
        if decision.remaining >= 0:
            admitted.append(now_us)
            assert decision.wait_us == 0 or decision.remaining == 0
        else:
            assert take(full_at_us, now_us + decision.wait_us, limit)[1].remaining >= 0
            assert take(full_at_us, now_us + decision.wait_us - 1, limit)[1].remaining < 0
    for first, start_us in enumerate(admitted):
        for last, end_us in enumerate(admitted[first:], first):
            assert last - first + 1 <= requests + (end_us - start_us) // each_us


@given(st.integers(1, 50))
def test_a_full_bucket_allows_as_many_as_its_size(requests: int) -> None:
    limit = RequestLimit(requests, 60)
    full_at_us = 0
    remaining = []
    for _ in range(requests + 1):
        full_at_us, decision = take(full_at_us, US, limit)
        remaining.append(decision.remaining)
    assert remaining == [*range(requests - 1, -1, -1), -1]
