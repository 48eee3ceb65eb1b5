"""Counting what clients do, and banning those who do too much."""

import pytest

from sandbox.coinbase.venue import SandboxCoinbase
from sandbox.limits import Budget, SandboxAdmission, SandboxLimits, WindowLimit


def limits(**changes: float) -> SandboxLimits:
    fields = {name: getattr(SandboxCoinbase.limits, name) for name in SandboxLimits.__struct_fields__}
    return SandboxLimits(**{**fields, **changes})


def test_a_pace_allows_so_much_in_any_window() -> None:
    pace = WindowLimit(3, 1)
    assert [pace.allows(now_s) for now_s in (0.0, 0.3, 0.6, 0.8)] == [True, True, True, False]
    steady = WindowLimit(3, 1)
    assert all(steady.allows(number / 3) for number in range(50))


def test_a_pace_may_be_slower_than_one_a_window() -> None:
    pace = WindowLimit(0.5, 1)
    assert [pace.allows(now_s) for now_s in (0.0, 2.0, 3.0)] == [True, True, False]


def test_a_client_that_keeps_exactly_to_a_limit_may_be_a_little_early() -> None:
    pace = WindowLimit(1, 1)
    assert [pace.allows(now_s) for now_s in (0.0, 0.95, 1.99, 2.5)] == [True, True, True, False]


def test_too_many_attempts_ban_an_address_for_a_while() -> None:
    admission = SandboxAdmission(limits(connects=2, connects_window_s=10, ban_s=5))
    assert [admission.admit("a", now_s) for now_s in (0.0, 1.0)] == [None, None]
    assert admission.admit("b", 1.0) is None
    assert admission.admit("a", 2.0) == 5
    assert admission.admit("a", 4.0) == pytest.approx(3.0)
    assert admission.bans == 1
    assert admission.admit("a", 7.5) is None


def test_other_violations_ban_as_well() -> None:
    admission = SandboxAdmission(limits(ban_s=5))
    admission.ban("a", 1.0)
    assert admission.admit("a", 2.0) == pytest.approx(4.0)
    assert admission.admit("a", 6.5) is None
    assert admission.bans == 1


def test_a_budget_is_counted_in_windows() -> None:
    now_us = 10_200_000
    budget = Budget(limits(requests=5, requests_window_s=2), lambda: now_us)
    assert [budget.charge(2) for _ in range(3)] == [True, True, False]
    assert (budget.used, budget.limit, budget.retry_after_s) == (6, 5, 2)
    now_us = 12_000_000
    assert budget.charge(5)
