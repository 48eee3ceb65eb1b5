"""The ledger against a set of ids, for any order and repetition."""

from hypothesis import given
from hypothesis import strategies as st

from workers.ledger import Ledger

ids = st.lists(st.integers(1, 60), max_size=80)


@given(ids)
def test_an_id_is_new_exactly_once(arriving: list[int]) -> None:
    ledger, seen = Ledger.empty(), set()
    for trade_id in arriving:
        assert ledger.add(trade_id) == (trade_id not in seen)
        seen.add(trade_id)


@given(ids)
def test_what_is_missing_is_what_has_not_come_between_first_and_last(arriving: list[int]) -> None:
    ledger = Ledger.empty()
    for trade_id in arriving:
        ledger.add(trade_id)
    expected = set(range(min(arriving), max(arriving) + 1)) - set(arriving) if arriving else set()
    assert {i for low, high in ledger.missing.members for i in range(low, high + 1)} == expected
    if arriving:
        assert (ledger.first, ledger.last) == (min(arriving), max(arriving))


@given(ids, st.integers(1, 60), st.integers(1, 20))
def test_appending_a_batch_equals_adding_its_ids_one_by_one(
    before: list[int], start: int, count: int
) -> None:
    quick, slow = Ledger.empty(), Ledger.empty()
    for trade_id in before:
        quick.add(trade_id)
        slow.add(trade_id)
    batch = list(range(start, start + count))
    if quick.append(batch[0], batch[-1]):
        assert [slow.add(trade_id) for trade_id in batch] == [True] * count
    assert (quick.first, quick.last, quick.missing) == (slow.first, slow.last, slow.missing) or not before


def test_a_restored_ledger_continues_where_it_was() -> None:
    ledger = Ledger(10, 20, [(12, 13), (17, 17)])
    assert not ledger.add(10)
    assert ledger.add(13)
    assert ledger.add(17)
    assert ledger.missing.members == [(12, 12)]


def test_ids_that_the_venue_does_not_have_are_no_longer_missing() -> None:
    ledger = Ledger(1, 20, [(5, 9)])
    assert ledger.mark_void(7, 12)
    assert (ledger.missing.members, ledger.void.members) == ([(5, 6)], [(7, 9)])
    assert not ledger.mark_void(7, 12)
    assert ledger.add(8), "should it come after all, it is taken"
    assert ledger.void.members == [(7, 7), (9, 9)]


def test_generated_ids_only_rise_and_leave_no_gaps() -> None:
    ledger = Ledger.empty(numbered=False)
    assert [ledger.add(trade_id) for trade_id in (10, 20, 20, 15, 30)] == [True, True, False, False, True]
    assert not ledger.missing


@given(ids, st.sets(st.integers(1, 60), max_size=5), st.integers(1, 60), st.integers(1, 20))
def test_filling_with_a_range_equals_adding_its_ids_one_by_one(
    before: list[int], void: set[int], start: int, count: int
) -> None:
    quick, slow = Ledger.empty(), Ledger.empty()
    for ledger in (quick, slow):
        for trade_id in before:
            ledger.add(trade_id)
        for trade_id in void:
            ledger.mark_void_beyond(trade_id)
            ledger.mark_void(trade_id, trade_id)
    known = set(range(quick.first, quick.last + 1))
    batch = list(range(start, start + count))
    if quick.fill(batch[0], batch[-1]):
        assert [slow.add(trade_id) for trade_id in batch] == [True] * count
    else:
        new = [trade_id for trade_id in batch if slow.add(trade_id)]
        below = bool(known) and batch[-1] < min(known)
        assert not below or set(batch) & void, "what is below is filled at once"
        assert (
            new != batch
            or not known
            or batch[-1] >= max(known)
            or set(batch) & void
            or (batch[0] < min(known))
        )
        return
    assert (quick.first, quick.last, quick.missing, quick.void) == (
        slow.first,
        slow.last,
        slow.missing,
        slow.void,
    )
