"""The most recent trades of a partition, and how many of them a worker keeps."""

import sys

from tickplant.kernel import TradeColumns, decode_columns, encode_columns, from_trades
from tickplant.market import SymbolId, Trade
from workers.recent_trades import RecentTrades, max_trades_of
from workers.rejections import Rejections

KEY = SymbolId("binance", "BTCUSDT")


def trade(trade_id: int) -> Trade:
    return Trade(*KEY, trade_id, "100.5", "0.25", "buy", 1_000_000 + trade_id, 1_000_000 + trade_id)


def columns(first: int, count: int) -> TradeColumns:
    return from_trades([trade(trade_id) for trade_id in range(first, first + count)])


def test_the_newest_trades_are_found_and_older_ones_removed() -> None:
    recent = RecentTrades(max_trades=100)
    for first in range(0, 1_000, 10):
        recent.add(KEY, columns(first, 10))
        assert recent.find(KEY, first) == trade(first)
    kept = [trade_id for trade_id in range(1_000) if recent.find(KEY, trade_id)]
    assert kept == list(range(900, 1_000))


def test_owners_of_all_partitions_keep_a_limited_number_of_trades_together() -> None:
    for partitions in (1, 4, 16, 40):
        rejections = Rejections(partitions)
        share = max_trades_of(partitions)
        assert share * partitions == 40_000
        for first in range(0, share + 500, 500):
            rejections.note_stored(KEY, columns(first, 500))
        assert not rejections.is_stored(KEY, trade(499))
        assert rejections.is_stored(KEY, trade(500))
    assert max_trades_of(1_024) == 1_000


def test_entries_and_lists_of_kept_trades_are_not_kept() -> None:
    recent = RecentTrades(max_trades=100)
    entry = encode_columns([columns(0, 10)])
    (given,) = decode_columns(entry)
    prices = given.prices
    recent.add(KEY, given)
    del given
    # Two references: this function's and the argument's.
    assert sys.getrefcount(entry) == 2
    assert sys.getrefcount(prices) == 2
