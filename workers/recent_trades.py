"""The most recent trades of a partition, to compare repeated ones with. Pure."""

from collections import deque
from typing import Final

from tickplant.kernel import TradeColumns, decode_columns, encode_columns
from tickplant.market import SymbolId, Trade

_PLANT_TRADES: Final = 40_000
"""Trades that the owners of all partitions keep together: some 500 bytes of memory each, once searched."""
_FEWEST_TRADES: Final = 1_000
"""The fewest that a partition keeps, such as a page of a venue's history."""

_Added = tuple[SymbolId, int, bytes]
"""The symbol, the number and the encoding of trades added together."""


def max_trades_of(partitions: int) -> int:
    """Return how many trades the owner of one of some partitions keeps, of all its symbols together.

    Each partition of many has few of the trades, so the time that they reach back is the same.
    """
    return max(_PLANT_TRADES // partitions, _FEWEST_TRADES)


class RecentTrades:
    """Trades by symbol and id; indexed by the first search, so that adding costs next to nothing.

    Those of one call of `add` are kept encoded: their columns would keep the whole entries that they came in,
    and the lists that others have made of them.
    """

    def __init__(self, max_trades: int) -> None:
        self._max_trades = max_trades
        self._count = 0
        self._indexed: deque[_Added] = deque()
        self._new: deque[_Added] = deque()
        self._index: dict[SymbolId, dict[int, Trade]] = {}

    def add(self, key: SymbolId, trades: TradeColumns) -> None:
        """Add new trades of a symbol; beyond the maximum, the oldest ones are removed."""
        self._new.append((key, len(trades), encode_columns([trades])))
        self._count += len(trades)
        while self._count > self._max_trades:
            self._remove_oldest()

    def find(self, key: SymbolId, trade_id: int) -> Trade | None:
        """Return a trade; None where it is not among the most recent."""
        while self._new:
            added = self._new.popleft()
            self._indexed.append(added)
            index = self._index.setdefault(added[0], {})
            index.update([(trade.trade_id, trade) for trade in _decode(added).trades()])
        return self._index.get(key, {}).get(trade_id)

    def _remove_oldest(self) -> None:
        if self._indexed:
            added = self._indexed.popleft()
            key = added[0]
            index = self._index[key]
            for trade_id in _decode(added).ids:
                index.pop(trade_id, None)
            if not index:
                del self._index[key]
        else:
            added = self._new.popleft()
        self._count -= added[1]


def _decode(added: _Added) -> TradeColumns:
    (trades,) = decode_columns(added[2])
    return trades
