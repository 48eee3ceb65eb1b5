import random
import time
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from working import trade

from tickplant.kernel import from_trades
from tickplant.market import Trade
from workers.ledger import Ledger
from workers.roles.reorder import MAX_HELD, ReorderBuffer, ReorderState

WAIT_MS = 10_000


def trades_of(*ids: int) -> list[Trade]:
    return [trade(trade_id, at_us=1_700_000_000_000_000 + trade_id) for trade_id in ids]


class Symbol:
    """A reorder buffer and the ledger of its trades, as in the worker."""

    def __init__(self, wait_ms: int = WAIT_MS) -> None:
        self.ledger = Ledger.empty()
        self.buffer = ReorderBuffer(None, wait_ms=wait_ms, max_step_ms=10**9)

    def push(self, *ids: int, now_ms: int = 0) -> list[int]:
        new = [trade for trade in trades_of(*ids) if self.ledger.add(trade.trade_id)]
        return ids_of(self.buffer.push(new, self.ledger, now_ms)) if new else []

    def release(self, now_ms: int = 0) -> list[int]:
        return ids_of(self.buffer.release(self.ledger, now_ms))


def ids_of(trades: Sequence[Trade]) -> list[int]:
    return [trade.trade_id for trade in trades]


def test_trades_in_order_are_released_as_they_are() -> None:
    symbol = Symbol()
    symbol.push(1, 2)
    batch = from_trades(trades_of(3, 4, 5))
    assert symbol.ledger.append(3, 5)
    assert symbol.buffer.pass_through(batch, symbol.ledger)
    assert symbol.push(6) == [6]


def test_what_follows_a_missing_trade_waits_for_it() -> None:
    symbol = Symbol()
    assert symbol.push(1, 2, 5, 6) == [1, 2]
    assert symbol.buffer.take_new_gaps() == [(3, 4)]
    assert symbol.push(4) == []
    assert symbol.push(3) == [3, 4, 5, 6]
    assert not symbol.buffer.holding
    assert symbol.push(7) == [7]


def test_after_the_wait_the_missing_trades_are_skipped_and_come_too_late() -> None:
    symbol = Symbol()
    symbol.push(1, 3, now_ms=5)
    assert symbol.push(4, now_ms=5 + WAIT_MS - 1) == []
    assert symbol.push(5, now_ms=5 + WAIT_MS) == [3, 4, 5]
    assert symbol.push(2, now_ms=5 + WAIT_MS) == []
    assert symbol.push(6) == [6]


def test_a_clock_ends_the_wait_where_no_trade_comes() -> None:
    symbol = Symbol()
    symbol.push(1, 3)
    assert symbol.release(WAIT_MS - 1) == []
    assert symbol.release(WAIT_MS) == [3]


def test_a_gap_is_waited_for_from_the_moment_at_which_it_was_found() -> None:
    symbol = Symbol()
    symbol.push(1, 3, 5)
    symbol.push(7, now_ms=4)
    assert symbol.push(2, now_ms=WAIT_MS - 1) == [2, 3]
    assert symbol.release(WAIT_MS + 3) == [5]
    assert symbol.release(WAIT_MS + 4) == [7]


def test_many_gaps_at_once_are_waited_for_no_longer_than_one() -> None:
    symbol = Symbol()
    symbol.push(*range(1, MAX_HELD, 2))
    began_s = time.process_time()
    assert len(symbol.release(WAIT_MS)) == MAX_HELD / 2 - 1
    assert time.process_time() - began_s < 5  # quadratic it would take minutes


def test_held_trades_continue_from_the_saved_state() -> None:
    symbol = Symbol()
    symbol.push(1, 3, 6, 9)
    symbol.buffer.abandon(4, 5)
    saved = symbol.buffer.held_state
    assert saved is not None
    symbol.buffer = ReorderBuffer.restore(saved, trades_of(9, 6, 3), wait_ms=WAIT_MS)
    assert symbol.buffer.take_new_gaps() == []
    assert symbol.push(2, now_ms=1) == [2, 3, 6]
    assert symbol.release(WAIT_MS // 2) == []
    assert symbol.release(WAIT_MS) == [9]
    assert symbol.buffer.held_state is None


def test_what_the_venue_does_not_give_or_does_not_have_is_not_waited_for() -> None:
    symbol = Symbol()
    symbol.push(1, 4, 7)
    symbol.buffer.abandon(5, 6)
    assert symbol.release() == []
    symbol.ledger.mark_void(2, 3)
    assert symbol.release() == [4, 7]


def test_a_verdict_on_a_part_of_a_gap_leaves_the_rest_to_be_waited_for() -> None:
    symbol = Symbol()
    symbol.push(1, 6)
    symbol.buffer.abandon(2, 3)
    assert symbol.push(4) == [4]
    assert symbol.push(5) == [5, 6]


def test_no_more_is_held_than_fits_in_memory() -> None:
    symbol = Symbol()
    symbol.push(1)
    assert symbol.push(*range(3, 3 + MAX_HELD)) == []
    assert symbol.push(3 + MAX_HELD) == list(range(3, 4 + MAX_HELD))


def test_trades_of_before_the_first_one_come_too_late() -> None:
    symbol = Symbol()
    assert symbol.push(100) == [100]
    assert symbol.push(50, 99) == []
    assert symbol.push(101) == [101]


def test_ids_of_our_own_are_never_waited_for() -> None:
    ledger, buffer = Ledger.empty(numbered=False), ReorderBuffer(None, wait_ms=WAIT_MS)
    batch = trades_of(10, 20, 30)
    for admitted in batch:
        ledger.add(admitted.trade_id)
    assert buffer.push(batch, ledger, 0) is batch
    assert buffer.cursor == 30


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_however_trades_arrive_they_are_released_once_and_in_order(seed: int, count: int) -> None:
    rng = random.Random(seed)
    arrival = [1, *rng.sample(range(2, count + 2), count)]
    arrival += rng.choices(arrival, k=5)
    symbol = Symbol(wait_ms=10**9)
    released: list[int] = []
    while arrival:
        size = rng.randint(1, 8)
        released += symbol.push(*arrival[:size])
        arrival = arrival[size:]
    assert released == list(range(1, count + 2))


def test_a_state_saved_with_entry_times_waits_again() -> None:
    symbol = Symbol()
    symbol.push(1, 3)
    saved = ReorderState(1, 0, [(2, 1_700_000_000_000)], [])
    symbol.buffer = ReorderBuffer.restore(saved, trades_of(3), wait_ms=WAIT_MS)
    assert symbol.release(1_700_000_009_000) == []
    for second in range(1, 10):
        assert symbol.release(1_700_000_009_000 + second * 1000) == []
    assert symbol.release(1_700_000_019_000) == [3]


@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([0, 3_600_000, 60_000, 7_000]))
def test_a_wait_ends_in_time_whatever_the_clock_of_redis_does(seed: int, when: int, step_ms: int) -> None:
    """It steps forwards and back, so that entry ids stand still; a new owner measures the same."""
    rng = random.Random(seed)
    symbol, again = Symbol(), Symbol()
    for roles in (symbol, again):
        roles.buffer = ReorderBuffer(None, wait_ms=WAIT_MS)
        roles.push(1, 3, now_ms=0)
    last_ms = 0
    for half_second in range(1, 60):
        ahead_ms = step_ms if half_second == when else 0
        last_ms = max(last_ms, half_second * 500 + ahead_ms)  # as Redis gives ids
        clock = half_second % 2 == 0
        released = ids_of(symbol.buffer.release(symbol.ledger, last_ms, clock=clock))
        if rng.random() < 0.3 and (saved := again.buffer.held_state) is not None:
            again.buffer = ReorderBuffer.restore(
                msgspec.msgpack.decode(msgspec.msgpack.encode(saved), type=ReorderState),
                trades_of(3),
                wait_ms=WAIT_MS,
            )
        assert ids_of(again.buffer.release(again.ledger, last_ms, clock=clock)) == released
        if released:
            break
    assert released == [3]
    assert WAIT_MS / 2 <= half_second * 500 <= WAIT_MS + 1_500
