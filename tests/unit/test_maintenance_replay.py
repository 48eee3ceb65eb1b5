"""Which symbols of a replay's captures are stored, and when a replay is complete."""

import pytest

from db.progress import TapeTrades
from maintenance.replay import ReplayProgress
from maintenance.tape import TapeStatus, select_symbols
from tickplant.market import SymbolId

BTC, ETH = SymbolId("coinbase", "BTC-USD"), SymbolId("coinbase", "ETH-USD")
UPPER, LOWER = SymbolId("kraken", "AB/USD"), SymbolId("kraken", "ab/USD")


def test_without_names_all_symbols_of_the_tape_are_stored() -> None:
    selection = select_symbols([ETH, BTC], None)
    assert (selection.stored, selection.ignored, selection.absent) == ((BTC, ETH), (), ())


def test_names_select_symbols_in_any_order_and_case() -> None:
    selection = select_symbols([BTC, ETH, UPPER], [SymbolId("coinbase", "eth-usd"), SymbolId("binance", "X")])
    assert selection.stored == (ETH,)
    assert selection.ignored == (BTC, UPPER)
    assert selection.absent == (SymbolId("binance", "X"),)


def test_a_name_that_the_tape_has_means_no_other_case() -> None:
    assert select_symbols([UPPER, LOWER], [LOWER]).stored == (LOWER,)
    assert select_symbols([UPPER, LOWER], [SymbolId("kraken", "Ab/USD")]).stored == (UPPER, LOWER)


@pytest.mark.parametrize(
    ("state", "stored", "committed", "complete"),
    [
        ("finished", 5, "7-0", True),
        ("playing", 5, "7-0", False),
        ("finished", 4, "7-0", False),
        ("finished", 5, "6-9", False),
        ("finished", 6, "7-0", True),  # too many: it is over, and a difference
    ],
)
def test_a_replay_is_complete_when_all_is_sent_stored_and_committed(
    state: str, stored: int, committed: str, complete: bool
) -> None:
    progress = ReplayProgress(TapeStatus(state, 5), {BTC: stored}, {0: "7-0"}, {0: committed})
    assert progress.is_complete([TapeTrades(BTC, 5, [(1, 5)], 0, 0)]) is complete
