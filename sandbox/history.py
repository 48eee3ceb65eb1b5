"""The trades that a venue has sent so far, found by id and by time, for its REST interface."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tickplant.intervals import floor
from tickplant.market import Side, SymbolId, Trade


class Aggregate(NamedTuple):
    """Trades of one moment, side and price that followed each other."""

    number: int
    trades: list[Trade]


class TapeColumns:
    """The columns of one symbol's trades, in the order of sending.

    Args:
        symbol: whose trades these are.
        read: returns the trade at an index.
    """

    def __init__(self, symbol: SymbolId, read: Callable[[int], Trade]) -> None:
        self.symbol = symbol
        self.price_decimals = 8
        self.size_decimals = 8
        self.read = read
        self.ids = array("q")
        self.times_us = array("q")
        self.aggregates = array("q")
        """The number of each trade's aggregate."""
        self.ids_ordered = True
        """Ids rise from trade to trade."""
        self.times_ordered = True
        self.highest_id: int | None = None
        self.whole_from_us = -(2**62)
        """From when on no trade has been dropped."""
        self._aggregate: object = None

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, trade_id: int, time_us: int, price: str, side: Side | None) -> None:
        """Add the next trade."""
        number = 1
        if self.ids:
            self.ids_ordered &= trade_id > self.ids[-1]
            self.times_ordered &= time_us >= self.times_us[-1]
            number = self.aggregates[-1]
        aggregate = (time_us, price, side)
        if aggregate != self._aggregate and self._aggregate is not None:
            number += 1
        self._aggregate = aggregate
        if self.highest_id is None or trade_id > self.highest_id:
            self.highest_id = trade_id
        self.ids.append(trade_id)
        self.times_us.append(time_us)
        self.aggregates.append(number)

    def trim(self, count: int) -> None:
        """Drop the first trades; the indexes of all others fall by as many."""
        self.whole_from_us = self.times_us[count - 1] + 1
        del self.ids[:count], self.times_us[:count], self.aggregates[:count]

    def id_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges of ids, inclusive and ascending."""
        ranges: list[tuple[int, int]] = []
        for trade_id in self.ids if self.ids_ordered else sorted(self.ids):
            if ranges and trade_id <= ranges[-1][1] + 1:
                ranges[-1] = ranges[-1][0], trade_id
            else:
                ranges.append((trade_id, trade_id))
        return ranges


class SandboxHistory:
    """The first trades of a history, up to the venue's present, each id once and in order.

    Args:
        columns: all trades.
        count: how many of them have been sent.
    """

    def __init__(self, columns: TapeColumns, count: int) -> None:
        if not columns.ids_ordered:
            columns, count = _sorted_by_id(columns, count)
        self._columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    @property
    def symbol(self) -> SymbolId:
        """Whose trades these are."""
        return self._columns.symbol

    @property
    def decimals(self) -> tuple[int, int]:
        """Decimal places of prices and of sizes."""
        return self._columns.price_decimals, self._columns.size_decimals

    def until(self, time_us: int) -> "SandboxHistory":
        """Return the trades before a time, as a venue knows them whose history lags."""
        return SandboxHistory(self._columns, len(self._indexes_between(-(2**62), time_us)))

    def first_whole_us(self, length_us: int) -> int:
        """Return the open time of the first interval of which no trade has been dropped."""
        return floor(self._columns.whole_from_us + length_us - 1, length_us)

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return the first trades at or after an id."""
        start = bisect_left(self._columns.ids, trade_id, 0, self._count)
        return self._read(range(start, min(start + limit, self._count)))

    def before_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return the last trades before an id, oldest first."""
        end = bisect_left(self._columns.ids, trade_id, 0, self._count)
        return self._read(range(max(0, end - limit), end))

    def latest(self, limit: int) -> list[Trade]:
        """Return the last trades, oldest first."""
        return self._read(range(max(0, self._count - limit), self._count))

    def between(self, start_us: int, end_us: int) -> Iterator[Trade]:
        """Yield the trades from a time, inclusive, to another, exclusive."""
        return map(self._columns.read, self._indexes_between(start_us, end_us))

    def last_before(self, time_us: int) -> Trade | None:
        """Return the last trade before a time."""
        indexes = self._indexes_between(-(2**62), time_us)
        return self._columns.read(indexes[-1]) if indexes else None

    def first(self) -> Trade | None:
        """Return the first trade."""
        return self._columns.read(0) if self._count else None

    def aggregates_from(self, number: int, limit: int) -> list[Aggregate]:
        """Return the first aggregates at or after a number."""
        numbers = self._columns.aggregates
        start = bisect_left(numbers, number, 0, self._count)
        end = bisect_left(numbers, number + limit, start, self._count)
        return self._group(range(start, end))

    def latest_aggregates(self, limit: int) -> list[Aggregate]:
        """Return the last aggregates, oldest first."""
        if not self._count:
            return []
        return self.aggregates_from(self._columns.aggregates[self._count - 1] - limit + 1, limit)

    def aggregates_between(self, start_us: int, end_us: int) -> list[Aggregate]:
        """Return the aggregates from a time, inclusive, to another, exclusive."""
        return self._group(self._indexes_between(start_us, end_us))

    def _indexes_between(self, start_us: int, end_us: int) -> Sequence[int]:
        times = self._columns.times_us
        if not self._columns.times_ordered:
            return [index for index in range(self._count) if start_us <= times[index] < end_us]
        start = bisect_left(times, start_us, 0, self._count)
        return range(start, bisect_left(times, end_us, start, self._count))

    def _read(self, indexes: Iterable[int]) -> list[Trade]:
        return [self._columns.read(index) for index in indexes]

    def _group(self, indexes: Iterable[int]) -> list[Aggregate]:
        groups = groupby(indexes, self._columns.aggregates.__getitem__)
        return [Aggregate(number, self._read(group)) for number, group in groups]


def _sorted_by_id(columns: TapeColumns, count: int) -> tuple[TapeColumns, int]:
    """Return a copy of the first trades in order of ids, each id once, and their number."""
    order = sorted(range(count), key=columns.ids.__getitem__)
    chosen: list[int] = []
    copy = TapeColumns(columns.symbol, lambda index: columns.read(chosen[index]))
    copy.price_decimals, copy.size_decimals = columns.price_decimals, columns.size_decimals
    copy.whole_from_us = columns.whole_from_us
    for index in order:
        if not copy.ids or columns.ids[index] != copy.ids[-1]:
            chosen.append(index)
            trade = columns.read(index)
            copy.append(trade.trade_id, trade.event_time_us, trade.price, trade.side)
    return copy, len(copy)
