"""Averages and statistics equal those of pandas, and depend on the last closes only."""

import json
from decimal import Decimal, localcontext
from itertools import pairwise

import pytest
from averages_by_pandas import FILE, LENGTHS, RETURNS, closes, shown
from hypothesis import given
from hypothesis import strategies as st

from tickplant.averages import KINDS, MAX_LENGTH, AverageSpec, AverageSpecs, average, return_statistics

CLOSES = closes()
BY_PANDAS: dict[str, list[float | None]] = json.loads(FILE.read_text(encoding="utf-8"))
SPECS = [AverageSpec(kind, length) for kind in KINDS for length in LENGTHS[kind]]

prices = st.floats(1e-9, 1e6)
each_spec = pytest.mark.parametrize("spec", SPECS, ids=[spec.name for spec in SPECS])


def close_to(value: float | None, expected: float | None, absolute: float = 0) -> bool:
    return value == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=absolute))


@each_spec
def test_averages_equal_those_of_pandas(spec: AverageSpec) -> None:
    for place, expected in zip(shown(), BY_PANDAS[spec.name], strict=True):
        assert close_to(average(spec, CLOSES[: place + 1]), expected), place


def test_statistics_equal_those_of_pandas() -> None:
    for index, place in enumerate(shown()):
        found = return_statistics(CLOSES[: place + 1], RETURNS)
        assert (found is None) == (place == 0)
        if found is None:
            continue
        assert found.points == min(place - 1, RETURNS)
        for name, value in zip(("return", *found._fields[2:]), found[1:], strict=True):
            # Returns and their means are differences, which may be nearly 0.
            assert close_to(value, BY_PANDAS[name][index], absolute=1e-15), (name, place)


@each_spec
def test_only_the_window_counts(spec: AverageSpec) -> None:
    for end in (spec.window, spec.window + 1, len(CLOSES)):
        assert average(spec, CLOSES[:end]) == average(spec, CLOSES[max(0, end - spec.window) : end])


@pytest.mark.parametrize("length", [1, 2, 3, 26, 120])
def test_an_exponential_average_is_its_recursion_over_all_closes(length: int) -> None:
    spec = AverageSpec("ema", length)
    with localcontext(prec=60):
        alpha = Decimal(2) / (length + 1)
        exact = Decimal(CLOSES[0])
        for count, price in enumerate(CLOSES[1:], 2):
            exact = alpha * Decimal(price) + (1 - alpha) * exact
            value = average(spec, CLOSES[max(0, count - spec.window) : count])
            if value is not None:
                assert abs(Decimal(value) / exact - 1) < Decimal("1e-12"), count


@given(st.lists(prices, min_size=20, max_size=40), st.sampled_from(KINDS))
def test_an_average_lies_among_its_closes(seen: list[float], kind: str) -> None:
    value = average(AverageSpec(kind, 20), seen)  # type: ignore[arg-type]
    assert value is not None
    assert min(seen) * (1 - 1e-12) <= value <= max(seen) * (1 + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_an_average_starts_with_as_many_closes_as_its_length(kind: str) -> None:
    spec = AverageSpec(kind, MAX_LENGTH)  # type: ignore[arg-type]
    assert average(spec, [1.0] * (MAX_LENGTH - 1)) is None
    assert average(spec, [1.0] * MAX_LENGTH) == pytest.approx(1, rel=1e-12)


def test_statistics_of_few_closes() -> None:
    assert return_statistics([], 60) is return_statistics([1.5], 60) is None
    assert return_statistics([2.0, 3.0], 60) == (0, 0.5, None, None, None, None, None)
    assert return_statistics([1.0, 2.0, 3.0], 60) == (1, 0.5, 1.0, None, None, 1.0, 1.0)
    flat = return_statistics([2.0] * 9 + [3.0], 60)
    assert flat is not None
    assert (flat.points, flat.return_, flat.stddev, flat.zscore) == (8, 0.5, 0.0, None)


def test_a_close_of_nothing_has_no_return_after_it() -> None:
    assert return_statistics([1.0, 2.0, 0.0], 60) == (1, -1.0, 1.0, None, None, 1.0, 1.0)
    assert return_statistics([1.0, 0.0, 5.0], 60) is None
    assert return_statistics([1.0, 0.0, 5.0, 10.0], 60) == (1, 1.0, -1.0, None, None, -1.0, -1.0)


@given(st.lists(prices, min_size=2, max_size=30), st.integers(2, 20))
def test_statistics_are_of_the_returns_before(seen: list[float], returns: int) -> None:
    found = return_statistics(seen, returns)
    all_returns = [after / before - 1 for before, after in pairwise(seen)]
    assert found is not None
    assert found.return_ == all_returns[-1]
    before = all_returns[:-1][-returns:]
    assert found.points == len(before)
    if before:
        assert found.q1 is not None
        assert found.q3 is not None
        assert min(before) <= found.q1 <= found.q3 <= max(before)


def test_windows_are_those_of_what_is_computed() -> None:
    specs = AverageSpecs((AverageSpec("sma", 99), AverageSpec("ema", 12)), ("5m",), returns=60)
    assert (specs.window("1m"), specs.window("5m"), specs.window("1h")) == (62, 180, 0)
