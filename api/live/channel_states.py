"""The state of a channel: loaded once, updated by its changes, sent in its snapshots. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from api.live.cursor import Order
from api.views.candles import CandleView, candle_view
from api.views.fields import encoded
from api.views.gaps import GapView, gap_view
from tickplant.kernel import TradeColumns, concat, from_trades
from tickplant.market import Candle, Gap, Trade

SNAPSHOT_TRADES: Final = 50
SNAPSHOT_EVENTS: Final = 50
"""Signals, or firings of alerts."""
SNAPSHOT_CANDLES: Final = 2
"""The newest, and the one before it, which may be about to close."""

T = TypeVar("T")


class EntryTrades(NamedTuple):
    """The new trades of one symbol in one input entry."""

    entry: Order
    trades: TradeColumns

    def view(self) -> object:
        """Return the data of a message."""
        return encoded(self.trades.json_rows())


class ChannelState(Protocol):
    """The state of a channel."""

    def apply(self, change: Any, /) -> None:
        """Apply a change."""

    def view(self) -> object:
        """Return the data of a snapshot."""


class LatestState(Generic[T]):
    """One value that each change replaces, such as the last trade."""

    def __init__(self, view: Callable[[T], object], value: T | None) -> None:
        self._view = view
        self._value = value

    def apply(self, value: T) -> None:
        """Replace the value."""
        self._value = value

    def view(self) -> object | None:
        """Return the value; None where there is none yet."""
        return None if self._value is None else self._view(self._value)


class EventsState(Generic[T]):
    """The newest events, such as signals."""

    def __init__(self, view: Callable[[T], object], events: Iterable[T]) -> None:
        self._view = view
        self._events = deque(events, maxlen=SNAPSHOT_EVENTS)

    def apply(self, event: T) -> None:
        """Append a newer event."""
        self._events.append(event)

    def view(self) -> list[object]:
        """Return the events, oldest first."""
        return [self._view(event) for event in self._events]


class TradesState:
    """The newest trades."""

    def __init__(self, trades: Sequence[Trade]) -> None:
        self._parts = deque([from_trades(trades)] if trades else ())
        self._count = len(trades)

    def apply(self, batch: EntryTrades) -> None:
        """Append newer trades."""
        self._parts.append(batch.trades)
        self._count += len(batch.trades)
        while self._count - len(self._parts[0]) >= SNAPSHOT_TRADES:
            self._count -= len(self._parts.popleft())

    def view(self) -> object:
        """Return the trades, oldest first."""
        if not self._parts:
            return []
        trades = concat(list(self._parts))
        return encoded(trades.slice(max(0, len(trades) - SNAPSHOT_TRADES), len(trades)).json_rows())


class CandlesState:
    """The newest candles."""

    def __init__(self, candles: Iterable[Candle]) -> None:
        self._candles: dict[int, Candle] = {}
        for candle in candles:
            self.apply(candle)

    def apply(self, candle: Candle) -> None:
        """Replace a candle, or add a newer one."""
        self._candles[candle.open_time_us] = candle
        if len(self._candles) > SNAPSHOT_CANDLES:
            del self._candles[min(self._candles)]

    def view(self) -> list[CandleView]:
        """Return the candles, oldest first."""
        return [candle_view(self._candles[opened]) for opened in sorted(self._candles)]


class GapsState:
    """The gaps that are not healed."""

    def __init__(self, gaps: Iterable[Gap]) -> None:
        self._gaps = {(gap.first_id, gap.last_id): gap for gap in gaps}

    def apply(self, gap: Gap) -> None:
        """Replace a gap, or add one in place of those with which it shares ids: a gap can be split."""
        if (gap.first_id, gap.last_id) not in self._gaps:
            for first, last in list(self._gaps):
                if first <= gap.last_id and gap.first_id <= last:
                    del self._gaps[first, last]
        if gap.state == "healed":
            self._gaps.pop((gap.first_id, gap.last_id), None)
        else:
            self._gaps[gap.first_id, gap.last_id] = gap

    def view(self) -> list[GapView]:
        """Return the gaps in order of their ids."""
        return [gap_view(self._gaps[ids]) for ids in sorted(self._gaps)]
