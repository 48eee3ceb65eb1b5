"""Which trades can be stored, each judged alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.errors import PoisonError
from tickplant.market import Trade
from tickplant.trade_rules import (
    EARLIEST_US,
    LATEST_US,
    MAX_TRADE_ID,
    check_trade,
    reject_reason,
    split_valid,
)

GOOD = Trade("finnhub", "AAPL", 7, "122.1", "100", None, 1_575_526_691_136_000, 1_575_526_691_200_000)

BAD: list[tuple[dict[str, Any], str]] = [
    ({"price": "-1"}, "price is not a plain decimal"),
    ({"price": "1,2"}, "price is not a plain decimal"),
    ({"price": "1.2.3"}, "price is not a plain decimal"),
    ({"price": "."}, "price is not a plain decimal"),
    ({"size": ""}, "size is not a plain decimal"),
    ({"size": "NaN"}, "size is not a plain decimal"),
    ({"size": "٣"}, "size is not a plain decimal"),
    ({"size": "1" * 41}, "size is not a plain decimal"),
    ({"trade_id": -1}, "trade id out of range"),
    ({"trade_id": MAX_TRADE_ID + 1}, "trade id out of range"),
    ({"event_time_us": 1_000}, "time out of range"),
    ({"event_time_us": 1_700_000_000_000}, "time out of range"),  # seconds, taken for milliseconds
    ({"event_time_us": EARLIEST_US - 1}, "time out of range"),
    ({"event_time_us": LATEST_US}, "time out of range"),
    ({"ingest_time_us": -1}, "ingest time out of range"),
    ({"symbol": ""}, "symbol is not a name"),
    ({"symbol": "A\tB"}, "symbol is not a name"),
    ({"symbol": "A\\B"}, "symbol is not a name"),
    ({"symbol": "A B"}, "symbol is not a name"),
    ({"symbol": "A" * 65}, "symbol is not a name"),
    ({"venue": "\0"}, "venue is not a name"),
]
FINE: list[dict[str, Any]] = [
    {"price": "0"},
    {"price": "5."},
    {"size": ".5"},
    {"size": "1" * 40},
    {"trade_id": 0},
    {"trade_id": MAX_TRADE_ID},
    {"event_time_us": EARLIEST_US},
    {"event_time_us": LATEST_US - 1},
    {"symbol": "比特币"},
]


@pytest.mark.parametrize(("changes", "reason"), BAD)
def test_a_trade_that_cannot_be_stored_is_rejected_alone(changes: dict[str, Any], reason: str) -> None:
    bad = msgspec.structs.replace(GOOD, **changes)
    accepted, rejected = split_valid([GOOD, bad, GOOD])
    assert accepted == [GOOD, GOOD]
    assert [each.trade for each in rejected] == [bad]
    assert rejected[0].reason.startswith(reason)
    with pytest.raises(PoisonError, match=reason):
        check_trade(bad)


@pytest.mark.parametrize("changes", FINE)
def test_a_trade_at_the_edge_of_what_can_be_stored_is_accepted(changes: dict[str, Any]) -> None:
    trade = msgspec.structs.replace(GOOD, **changes)
    assert reject_reason(trade) is None
    trades = [GOOD, trade]
    assert split_valid(trades)[0] is trades


def test_nothing_is_accepted_as_it_is() -> None:
    assert split_valid([]) == ([], [])


@given(st.lists(st.sampled_from([{}, *FINE, *[changes for changes, _ in BAD]]), max_size=8))
def test_a_batch_is_judged_as_each_of_its_trades_is(many: list[dict[str, Any]]) -> None:
    trades = [msgspec.structs.replace(GOOD, **changes) for changes in many]
    accepted, rejected = split_valid(trades)
    assert list(accepted) == [trade for trade in trades if reject_reason(trade) is None]
    assert rejected == [(trade, reject_reason(trade)) for trade in trades if reject_reason(trade) is not None]
