"""The most recent trades of a partition, to compare repeated ones with. Pure."""

from collections import deque
from typing import Final, NamedTuple

from tickplant.kernel import TradeColumns, decode_columns, encode_columns
from tickplant.market import SymbolId, Trade

_PLANT_TRADES: Final = 40_000
"""Trades that the owners of all partitions keep together: some 500 bytes of memory each, once searched."""
_FEWEST_TRADES: Final = 1_000
"""The fewest that a partition keeps, such as a page of a venue's history."""

_TOGETHER: Final = 250
"""How many trades are encoded together, as each encoding has a fixed cost, too."""


class _Batch(NamedTuple):
    """Trades that are removed together."""

    size: int
    encoded: bytes

    def columns(self) -> list[TradeColumns]:
        return decode_columns(self.encoded)


def max_trades_of(partitions: int) -> int:
    """Return how many trades the owner of one of some partitions keeps, of all its symbols together.

    Each partition of many has few of the trades, so the time that they reach back is the same.
    """
    return max(_PLANT_TRADES // partitions, _FEWEST_TRADES)


class RecentTrades:
    """Trades by symbol and id; indexed by the first search, so that adding costs next to nothing.

    All but the newest are kept encoded: their columns would keep the whole entries that they came in, and the
    lists that others have made of them.
    """

    def __init__(self, max_trades: int) -> None:
        self._max_trades = max_trades
        self._count = 0
        self._newest: list[TradeColumns] = []
        self._newest_count = 0
        self._new: deque[_Batch] = deque()
        self._indexed: deque[_Batch] = deque()
        self._index: dict[SymbolId, dict[int, Trade]] = {}

    def add(self, trades: TradeColumns) -> None:
        """Add new trades of a symbol; beyond the maximum, the oldest ones are removed, some at a time."""
        self._newest.append(trades)
        self._newest_count += len(trades)
        if self._newest_count >= _TOGETHER:
            self._encode_newest()

    def find(self, key: SymbolId, trade_id: int) -> Trade | None:
        """Return a trade; None where it is not among the most recent."""
        self._encode_newest()
        while self._new:
            batch = self._new.popleft()
            self._indexed.append(batch)
            for columns in batch.columns():
                index = self._index.setdefault(SymbolId(columns.venue, columns.symbol), {})
                index.update([(trade.trade_id, trade) for trade in columns.trades()])
        return self._index.get(key, {}).get(trade_id)

    def _encode_newest(self) -> None:
        if not self._newest:
            return
        self._new.append(_Batch(self._newest_count, encode_columns(self._newest)))
        self._count += self._newest_count
        self._newest.clear()
        self._newest_count = 0
        while self._count > self._max_trades:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        if self._indexed:
            batch = self._indexed.popleft()
            for columns in batch.columns():
                key = SymbolId(columns.venue, columns.symbol)
                index = self._index[key]
                for trade_id in columns.ids:
                    index.pop(trade_id, None)
                if not index:
                    del self._index[key]
        else:
            batch = self._new.popleft()
        self._count -= batch.size
