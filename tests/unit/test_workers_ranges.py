"""Ranges against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.ranges import Ranges

steps = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(-1, 12)), max_size=40)


@given(steps)
def test_ranges_behave_as_a_set_of_integers(changes: list[tuple[bool, int, int]]) -> None:
    ranges, expected = Ranges(), set[int]()
    for adds, low, length in changes:
        part = set(range(low, low + length + 1))
        if adds:
            ranges.add(low, low + length)
            expected |= part
        else:
            gone = {i for a, b in ranges.discard(low, low + length) for i in range(a, b + 1)}
            assert gone == expected & part
            expected -= part
        assert {i for a, b in ranges.members for i in range(a, b + 1)} == expected
        assert ranges.count == len(expected)
        assert all(b < c - 1 for (_, b), (c, _) in pairwise(ranges.members))
        assert all((i in ranges) == (i in expected) for i in range(-2, 60))
