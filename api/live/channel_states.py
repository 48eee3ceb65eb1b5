"""What is known of a channel: what a newcomer is shown, kept up to date by what changes. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol, cast

from api.live.changes import Data
from api.live.protocol import View
from api.views.alerts import FiringView, firing_view
from api.views.bot import AccountView, account_view
from api.views.trades import CandleView, GapView, TradeView, candle_view, gap_view, trade_view
from tickplant.derived import Firing, Signal, SignalView, Unified, signal_view
from tickplant.market import Candle, Gap, Trade
from tickplant.paper_bot import Account

SNAPSHOT_TRADES: Final = 50
SNAPSHOT_EVENTS: Final = 50
"""Signals, or firings of alerts."""
SNAPSHOT_CANDLES: Final = 2
"""The newest, and the one before it, which may be about to close."""


class State(Protocol):
    """What is known of a channel."""

    def keep(self, data: Data) -> None:
        """Take a change."""

    def view(self) -> View:
        """Return everything, for a snapshot."""


class PriceState:
    """The last trade."""

    def __init__(self, last: Trade | None) -> None:
        self._last = last

    def keep(self, data: Data) -> None:
        """Take a newer trade."""
        self._last = cast(Trade, data)

    def view(self) -> TradeView | None:
        """Return the last trade."""
        return trade_view(self._last) if self._last else None


class CandleState:
    """The newest candles."""

    def __init__(self, candles: Iterable[Candle]) -> None:
        self._candles: dict[int, Candle] = {}
        for candle in candles:
            self.keep(candle)

    def keep(self, data: Data) -> None:
        """Take the whole new state of a candle."""
        candle = cast(Candle, data)
        self._candles[candle.open_time_us] = candle
        if len(self._candles) > SNAPSHOT_CANDLES:
            del self._candles[min(self._candles)]

    def view(self) -> list[CandleView]:
        """Return the candles, oldest first."""
        return [candle_view(self._candles[opened]) for opened in sorted(self._candles)]


class TradesState:
    """The newest trades."""

    def __init__(self, trades: Iterable[Trade]) -> None:
        self._trades = deque(trades, maxlen=SNAPSHOT_TRADES)

    def keep(self, data: Data) -> None:
        """Take more trades."""
        self._trades.extend(cast(list[Trade], data))

    def view(self) -> list[TradeView]:
        """Return the trades, oldest first."""
        return [trade_view(trade) for trade in self._trades]


class GapsState:
    """The gaps that are not healed."""

    def __init__(self, gaps: Iterable[Gap]) -> None:
        self._gaps = {(gap.first_id, gap.last_id): gap for gap in gaps}

    def keep(self, data: Data) -> None:
        """Take the whole new state of a gap, which takes the place of one that it is a part of."""
        gap = cast(Gap, data)
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


class SignalsState:
    """The newest signals."""

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._signals = deque(signals, maxlen=SNAPSHOT_EVENTS)

    def keep(self, data: Data) -> None:
        """Take a newer signal."""
        self._signals.append(cast(Signal, data))

    def view(self) -> list[SignalView]:
        """Return the signals, oldest first."""
        return [signal_view(signal) for signal in self._signals]


class FiringsState:
    """The newest firings of alerts."""

    def __init__(self, firings: Iterable[Firing]) -> None:
        self._firings = deque(firings, maxlen=SNAPSHOT_EVENTS)

    def keep(self, data: Data) -> None:
        """Take a newer firing."""
        self._firings.append(cast(Firing, data))

    def view(self) -> list[FiringView]:
        """Return the firings, oldest first."""
        return [firing_view(firing) for firing in self._firings]


class AccountState:
    """The paper bot's account."""

    def __init__(self, account: Account | None) -> None:
        self._account = account

    def keep(self, data: Data) -> None:
        """Take the whole new state."""
        self._account = cast(Account, data)

    def view(self) -> AccountView | None:
        """Return the account."""
        return account_view(self._account) if self._account else None


class UnifiedState:
    """The last price, joined with what is latest of its symbol."""

    def __init__(self, unified: Unified | None) -> None:
        self._unified = unified

    def keep(self, data: Data) -> None:
        """Take the whole new state."""
        self._unified = cast(Unified, data)

    def view(self) -> Unified | None:
        """Return it."""
        return self._unified
