"""Entries of the past that are taken as a range give what their trades give one by one."""

import random
from typing import Any

import pytest
from working import START_US, make_state, trade

from db.averages import AverageRows
from tickplant import wire
from tickplant.kernel import encode_trades
from workers.ledger import Ledger
from workers.partition_state import PartitionState
from workers.roles.reorder import ReorderBuffer

Entry = tuple[str, dict[bytes, bytes]]


def entries(seed: int) -> list[Entry]:
    """Return live entries, and ranges of the past in any order; some have holes or are repeated."""
    rng = random.Random(seed)
    made: list[Entry] = []
    live = 5_000
    for number in range(rng.randrange(5, 40)):
        if rng.random() < 0.4:
            first, field = live, wire.TRADES
            count = rng.randrange(1, 40)
            live += count + rng.choice((0, 0, 0, 3))
        else:
            first, field = rng.randrange(4_000, live), wire.HISTORICAL
            count = rng.randrange(1, 300)
        ids = [
            trade_id for trade_id in range(first, first + count) if trade_id <= live and rng.random() > 0.001
        ]
        batch = [
            trade(
                trade_id,
                at_us=START_US + trade_id * 2_000_000 - (trade_id % 7 == 0) * 1_500_000,
                price=f"{100 + trade_id % 13}.5",
                size="0" if trade_id % 997 == 0 else "1.25",
            )
            for trade_id in ids
        ]
        if batch:
            made.append((f"1700020000000-{number}", {field: encode_trades(batch)}))
    return made


def absorbed(given: list[Entry], commits: int) -> list[Any]:
    """Return what is committed and published of entries, with a commit after each so many."""
    state: PartitionState = make_state()
    found: list[Any] = []
    for number, (entry_id, fields) in enumerate(given, 1):
        state.absorb(entry_id, fields, published="0-0")
        found += [rejection.reason for rejection in state.take_rejections()]
        if number % commits == 0 or number == len(given):
            update = state.take_live(candles=True, longer_candles=True)
            batch = state.take_batch()
            averages = [vars(rows) for rows in batch.derived if isinstance(rows, AverageRows)]
            found.append((update, batch._replace(derived=()), averages))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_a_range_gives_what_its_trades_give(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = entries(seed)
    commits = random.Random(seed).choice((1, 3, 1_000))
    quick = absorbed(given, commits)
    monkeypatch.setattr(Ledger, "fill", lambda *_: False)
    monkeypatch.setattr(ReorderBuffer, "is_past", lambda *_: False)
    assert quick == absorbed(given, commits)


def test_most_ranges_of_the_past_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    fill = Ledger.fill

    def counted(ledger: Ledger, first: int, last: int) -> bool:
        taken.append(fill(ledger, first, last))
        return taken[-1]

    monkeypatch.setattr(Ledger, "fill", counted)
    state = make_state()
    for number, first in enumerate((5_000, 4_500, 4_000, 3_000, 3_500)):
        batch = [
            trade(trade_id, at_us=START_US + trade_id * 1_000_000) for trade_id in range(first, first + 500)
        ]
        state.absorb(f"1700020000000-{number}", {wire.HISTORICAL: encode_trades(batch)}, published="0-0")
    assert taken == [True] * 4
