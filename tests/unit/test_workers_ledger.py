"""The ledger against a set of ids, for any order and repetition."""

from hypothesis import given
from hypothesis import strategies as st

from workers.ledger import Ledger

ids = st.lists(st.integers(1, 60), max_size=80)


@given(ids)
def test_an_id_is_new_exactly_once(arriving: list[int]) -> None:
    ledger, seen = Ledger.empty(), set()
    for trade_id in arriving:
        assert ledger.admit(trade_id) == (trade_id not in seen)
        seen.add(trade_id)


@given(ids)
def test_what_is_missing_is_what_has_not_come_between_first_and_last(arriving: list[int]) -> None:
    ledger = Ledger.empty()
    for trade_id in arriving:
        ledger.admit(trade_id)
    if not arriving:
        assert ledger.missing == []
        return
    expected = set(range(min(arriving), max(arriving) + 1)) - set(arriving)
    assert {i for low, high in ledger.missing for i in range(low, high + 1)} == expected
    assert ledger.missing_count == len(expected)
    assert (ledger.first, ledger.last) == (min(arriving), max(arriving))
    gaps = [
        b_low - a_high for (_, a_high), (b_low, _) in zip(ledger.missing, ledger.missing[1:], strict=False)
    ]
    assert all(gap > 1 for gap in gaps), "ranges are apart and ascending"


@given(ids, st.integers(1, 60), st.integers(1, 20))
def test_taking_a_batch_at_once_equals_taking_it_one_by_one(
    before: list[int], start: int, count: int
) -> None:
    quick, slow = Ledger.empty(), Ledger.empty()
    for trade_id in before:
        quick.admit(trade_id)
        slow.admit(trade_id)
    batch = list(range(start, start + count))
    if quick.admit_all(batch):
        assert [slow.admit(trade_id) for trade_id in batch] == [True] * count
    assert (quick.first, quick.last, quick.missing) == (slow.first, slow.last, slow.missing) or not before


def test_a_saved_ledger_goes_on_where_it_was() -> None:
    ledger = Ledger(10, 20, [(12, 13), (17, 17)])
    assert not ledger.admit(10)
    assert ledger.admit(13)
    assert ledger.admit(17)
    assert ledger.missing == [(12, 12)]
