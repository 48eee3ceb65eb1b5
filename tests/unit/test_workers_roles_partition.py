"""Results of roles depend neither on batches nor on the order in which trades arrive."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from working import MINUTE_US, START_US, make_state, trade

from tickplant import wire
from tickplant.bot import Fill, PaperAccount
from tickplant.derived import Average, Signal
from tickplant.market import Trade


def market(rng: random.Random, count: int) -> list[Trade]:
    """A walk with dips, an hour or so long."""
    time_us, price, trades = START_US, 1000, []
    for number in range(1, count + 1):
        time_us += rng.choice([0, 1_000, 2_000_000, 15_000_000, MINUTE_US])
        price = max(100, price + rng.choice([-30, -2, -1, 0, 1, 2, 20]))
        trades.append(trade(number, at_us=time_us, price=f"{price}.5", size=str(rng.randint(1, 9))))
    return trades


def results_of(batches: list[list[Trade]], rng: random.Random | None = None) -> tuple[object, ...]:
    """Return all results of roles for batches, with commits at random places."""
    state = make_state()
    signals: list[Signal] = []
    averages: list[Average] = []
    fills: list[Fill] = []
    accounts: tuple[PaperAccount, ...] = ()
    for number, batch in enumerate(batches):
        state.absorb(f"1-{number}", {wire.TRADES: wire.encode_trades(batch)}, published="0-0")
        if rng is None or rng.random() < 0.3 or number == len(batches) - 1:
            taken = state.take_batch()
            signals += taken.to_publish.signals
            accounts = taken.to_publish.accounts or accounts
            for rows in taken.derived:
                averages += getattr(rows, "_averages", [])
                fills += [fill for changes in getattr(rows, "_changes", []) for fill in changes.fills]
    return signals, averages, fills, accounts


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_batches_and_disorder_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    trades = market(rng, 300)
    expected = results_of([trades])
    rest, batches = list(trades), []
    while rest:
        size = rng.choice([1, 2, 7, 60])
        batches.append(rest[:size])
        rest = rest[size:]
    assert results_of(batches, rng)[:3] == expected[:3]
    late = [batches.pop(rng.randrange(1, len(batches))) for _ in range(min(3, len(batches) - 1))]
    for batch in late:  # a part comes from history, after what follows it
        batches.insert(rng.randrange(1, len(batches) + 1), batch)
    assert results_of(batches, rng)[:3] == expected[:3]


def test_there_is_something_to_compare() -> None:
    signals, averages, fills, _ = results_of([market(random.Random(1), 300)])
    assert signals
    assert averages
    assert fills
