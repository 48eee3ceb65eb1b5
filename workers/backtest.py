"""Strategies and the paper bot over stored trades, by the same roles that run live. Pure.

Trades before the start warm up averages and the state and opinions of strategies. At the start, signals are
counted from 1, and the bot opens its account.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from db.averages import CandleWindow
from db.signals import StrategyState
from tickplant.averages import AverageSpecs
from tickplant.bot import AccountChanges, PaperAccount, Rules
from tickplant.derived import Signal
from tickplant.kernel import from_trades
from tickplant.market import SymbolId, Trade
from workers.ledger import Ledger
from workers.roles.averages import SymbolAverages
from workers.roles.bot import SymbolBot
from workers.roles.price_guard import PriceGuard
from workers.roles.reorder import ReorderBuffer
from workers.roles.signals import SymbolSignals
from workers.roles.symbol import RolePosition, SymbolRoles
from workers.strategies.base import Strategy
from workers.strategies.runner import StrategyFailure


class BacktestResult(NamedTuple):
    """The results of some trades."""

    signals: list[Signal]
    changes: AccountChanges | None
    """Of the account; None where there are none."""
    failures: list[StrategyFailure]


class Backtest:
    """One symbol's roles, fed with stored trades."""

    def __init__(
        self,
        symbol: SymbolId,
        strategies: Sequence[type[Strategy]],
        specs: AverageSpecs,
        rules: Rules,
        *,
        start_us: int,
        warm_up_us: int,
        windows: Mapping[str, CandleWindow],
        numbered: bool,
        gap_wait_ms: int,
    ) -> None:
        """Prepare the roles of one symbol.

        Args:
            symbol: which.
            strategies: which to run.
            specs: which averages are computed.
            rules: how the bot trades.
            start_us: the time from which signals and the account count.
            warm_up_us: of the first trade; candles of all intervals that strategies read start there.
            windows: by interval, the candles that had closed by then.
            numbered: whether the venue numbers its trades.
            gap_wait_ms: how long later trades wait for a missing one.
        """
        self._symbol = symbol
        self._strategies = strategies
        self._start_us = start_us
        self._ledger = Ledger.empty(numbered=numbered)
        self._reorder = ReorderBuffer(None, wait_ms=gap_wait_ms, max_step_ms=gap_wait_ms)
        self._guard = PriceGuard()
        self._averages = SymbolAverages(*symbol, specs, windows)
        self._bot = SymbolBot(*symbol, rules, None)
        self._signals = SymbolSignals(*symbol, strategies)
        self._started = start_us <= warm_up_us
        self._roles = self._make_roles(RolePosition(warm_up_us, warm_up_us))
        self._states: dict[str, StrategyState] = {}
        self._now_ms = 0
        self.trades = 0
        """Since the start; so are the following."""
        self.first: Trade | None = None
        self.last: Trade | None = None

    @property
    def account(self) -> PaperAccount:
        """The bot's account as it is."""
        return self._bot.account

    def feed(self, trades: Sequence[Trade]) -> BacktestResult:
        """Process trades, at least one, in order of id or nearly so."""
        early = 0
        if not self._started:
            start_us = self._start_us
            later = (index for index, trade in enumerate(trades) if trade.event_time_us >= start_us)
            early = next(later, len(trades))
            self._absorb(trades[:early])
            if early == len(trades):
                return self._take()
            self._start()
        self._absorb(trades[early:])
        self.trades += len(trades) - early
        self.first, self.last = self.first or trades[early], trades[-1]
        return self._take()

    def end(self, time_us: int) -> BacktestResult:
        """Advance to a time up to which all trades have been fed, so that the last candles close."""
        self._roles.advance_clock(time_us, self._ledger, max(self._now_ms, time_us // 1000))
        return self._take()

    def _start(self) -> None:
        """Start to count: with the strategies' state, signals numbered from 1, and the bot."""
        self._roles.advance_clock(self._start_us - 1, self._ledger, self._now_ms)
        self._take()
        states = [state._replace(number=0) for state in self._states.values()]
        self._signals = SymbolSignals(*self._symbol, self._strategies, states)
        self._started = True
        self._roles = self._make_roles(self._roles.position)

    def _make_roles(self, position: RolePosition) -> SymbolRoles:
        return SymbolRoles(
            reorder=self._reorder,
            position=position,
            guard=self._guard,
            averages=self._averages,
            signals=self._signals,
            alerts=None,
            bot=self._bot if self._started else None,
        )

    def _absorb(self, trades: Sequence[Trade]) -> None:
        ledger = self._ledger
        if not trades:
            return
        new = [trade for trade in trades if ledger.add(trade.trade_id)]
        self._now_ms = max(self._now_ms, trades[-1].event_time_us // 1000)
        if new:
            columns = from_trades(new)
            self._roles.feed(columns, columns.fold(), ledger, self._now_ms)

    def _take(self) -> BacktestResult:
        self._roles.take()  # these results are not needed
        taken = self._signals.take()
        if taken is None:
            return BacktestResult([], self._bot.take(), [])
        self._states |= {state.strategy: state for state in taken.states}
        signals = taken.signals if self._started else []
        return BacktestResult(signals, self._bot.take(), taken.failures)
