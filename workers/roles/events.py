"""The events that the roles of one symbol receive.

Roles (averages, signals, alerts, the paper bot) receive a symbol's trades in order of id, each once. If a
trade is missing, they wait for it for a limited time (`workers/roles/reorder.py`). So their results depend
neither on batches nor on the order of arrival. They are pure: no I/O, no clock but the venue's. Their results
are stored in the transaction that also moves the offset; after any error they are restored from the database.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from tickplant.derived import Average, Statistics
from tickplant.kernel import TradeColumns
from tickplant.market import Candle, Trade


class RunTrades(Sequence[Trade]):
    """The trades of a run; an object is made for each of them that is looked at, once."""

    __slots__ = ("_all", "_columns", "_made")

    def __init__(self, columns: TradeColumns) -> None:
        """Take at least one trade."""
        self._columns = columns
        self._made: dict[int, Trade] = {}
        self._all: tuple[Trade, ...] | None = None

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> Trade: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Trade, ...]: ...

    def __getitem__(self, index: int | slice) -> Trade | tuple[Trade, ...]:
        if self._all is not None:
            return self._all[index]
        if isinstance(index, slice):
            return tuple([self._trade(place) for place in range(len(self))[index]])
        return self._trade(range(len(self))[index])

    def __iter__(self) -> Iterator[Trade]:
        if self._all is None:
            made = self._made
            self._all = tuple([made.get(place, trade) for place, trade in enumerate(self._columns.trades())])
        return iter(self._all)

    def _trade(self, place: int) -> Trade:
        trade = self._made.get(place)
        if trade is None:
            trade = self._made[place] = self._columns.trade(place)
        return trade


class Run(NamedTuple):
    """Trades of one symbol that follow one another, in order of id, in one minute; at least one."""

    trades: Sequence[Trade]
    candle: Candle
    """The fold of these trades alone: first, last, highest and lowest price, sums."""


class Last(NamedTuple):
    """The last trade of a candle."""

    trade_id: int
    price: str
    event_time_us: int


class Closed(NamedTuple):
    """Candles of one symbol that closed at the same time, with their averages and statistics."""

    time_us: int
    """Their close time."""
    candles: Sequence[Candle]
    """Shortest interval first, at least one; whole candles, not parts."""
    averages: Sequence[Average]
    statistics: Statistics | None
    """Of the minute; None where no minute closed, or no earlier one is known."""
    trade: Last
    """The newest trade at that time."""

    def average(self, interval: str, name: str) -> float | None:
        """Return an average as of the interval's candle that closed; None where there is none."""
        for average in self.averages:
            if average.name == name and average.interval == interval:
                return average.value
        return None

    def candle(self, interval: str) -> Candle | None:
        """Return the interval's candle that closed; None where none did."""
        for candle in self.candles:
            if candle.interval == interval:
                return candle
        return None
