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
        recent.add(columns(first, 10))
        assert recent.find(KEY, first) == trade(first)
    kept = [trade_id for trade_id in range(1_000) if recent.find(KEY, trade_id)]
    assert kept == list(range(900, 1_000))


def test_owners_of_all_partitions_keep_a_limited_number_of_trades_together() -> None:
    for partitions in (1, 4, 16, 40):
        rejections = Rejections(partitions)
        share = max_trades_of(partitions)
        assert share * partitions == 40_000
        for first in range(0, share + 500, 500):
            rejections.note_stored(columns(first, 500))
        assert not rejections.is_stored(KEY, trade(499))
        assert rejections.is_stored(KEY, trade(500))
    assert max_trades_of(1_024) == 1_000


def test_all_but_the_newest_trades_are_kept_without_their_entries_and_lists() -> None:
    recent = RecentTrades(max_trades=10_000)
    entry = encode_columns([columns(0, 10)])
    (given,) = decode_columns(entry)
    prices = given.prices
    recent.add(given)
    del given
    recent.add(columns(10, 1_000))
    # Two references: this function's and the argument's.
    assert sys.getrefcount(entry) == 2
    assert sys.getrefcount(prices) == 2
    assert recent.find(KEY, 9) == trade(9)


def test_trades_of_several_symbols_that_were_added_together_are_found_each_by_its_symbol() -> None:
    recent = RecentTrades(max_trades=1_000)
    other = SymbolId("kraken", "BTC/USD")
    for trade_id in range(100):
        recent.add(columns(trade_id, 1))
        recent.add(from_trades([Trade(*other, trade_id, "7", "1", None, 5, 6)]))
    for trade_id in range(100):
        assert recent.find(KEY, trade_id) == trade(trade_id)
        assert recent.find(other, trade_id) == Trade(*other, trade_id, "7", "1", None, 5, 6)
    assert recent.find(other, 100) is None
