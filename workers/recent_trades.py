"""The most recent trades of a partition, to compare repeated ones with. Pure."""

from collections import deque
from typing import Final

from tickplant.kernel import TradeColumns
from tickplant.market import SymbolId, Trade

_PLANT_TRADES: Final = 40_000
"""Trades that the owners of all partitions keep together: 100 to 800 bytes of memory each."""
_FEWEST_TRADES: Final = 1_000
"""The fewest that a partition keeps, such as a page of a venue's history."""


def max_trades_of(partitions: int) -> int:
    """Return how many trades the owner of one of some partitions keeps, of all its symbols together.

    Each partition of many has few of the trades, so the time that they reach back is the same.
    """
    return max(_PLANT_TRADES // partitions, _FEWEST_TRADES)


class RecentTrades:
    """Trades by symbol and id; indexed by the first search, so that adding costs next to nothing."""

    def __init__(self, max_trades: int) -> None:
        self._max_trades = max_trades
        self._count = 0
        self._indexed: deque[tuple[SymbolId, TradeColumns]] = deque()
        self._new: deque[tuple[SymbolId, TradeColumns]] = deque()
        self._index: dict[SymbolId, dict[int, Trade]] = {}

    def add(self, key: SymbolId, trades: TradeColumns) -> None:
        """Add new trades of a symbol; beyond the maximum, the oldest ones are removed."""
        # A view: the columns given may hold lists that others have made of them.
        self._new.append((key, trades.slice(0, len(trades))))
        self._count += len(trades)
        while self._count > self._max_trades:
            self._remove_oldest()

    def find(self, key: SymbolId, trade_id: int) -> Trade | None:
        """Return a trade; None where it is not among the most recent."""
        while self._new:
            chunk = self._new.popleft()
            self._indexed.append(chunk)
            index = self._index.setdefault(chunk[0], {})
            index.update([(trade.trade_id, trade) for trade in chunk[1].trades()])
        return self._index.get(key, {}).get(trade_id)

    def _remove_oldest(self) -> None:
        if self._indexed:
            key, trades = self._indexed.popleft()
            index = self._index[key]
            for trade_id in trades.ids:
                index.pop(trade_id, None)
            if not index:
                del self._index[key]
        else:
            _, trades = self._new.popleft()
        self._count -= len(trades)
