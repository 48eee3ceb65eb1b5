"""The role that runs strategies: what it keeps of one symbol. Pure.

A strategy that raises is put aside for its symbol, and all else goes on; a restart tries it again from its
last state that was stored.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from db.signals import StrategyState
from tickplant.derived import Signal
from workers.roles.events import Closed, Run
from workers.strategies.base import Strategy
from workers.strategies.runner import Runner, StrategyFailure

_trade_id: Final = attrgetter("trade_id")


class SignalChanges(NamedTuple):
    """What a symbol's strategies have come to since they were last asked."""

    signals: list[Signal]
    """In the order in which they were given."""
    states: list[StrategyState]
    """Those that changed."""
    failures: list[StrategyFailure]


class SymbolSignals:
    """The strategies of one symbol."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        strategies: Iterable[type[Strategy]],
        states: Iterable[StrategyState] = (),
    ) -> None:
        """Begin with what the database holds.

        Args:
            venue: the symbol's.
            symbol: as the venue writes it.
            strategies: which to run.
            states: what is stored of them for this symbol; those of other strategies are left alone.
        """
        stored = {state.strategy: state for state in states}
        self._runners = [Runner(venue, symbol, kind, stored.get(kind.name)) for kind in strategies]
        self._of_trades = [runner for runner in self._runners if runner.trades]
        self._of_candles = [runner for runner in self._runners if runner.intervals]
        self._signals: list[Signal] = []
        self._changed = True

    def run(self, run: Run) -> list[Signal]:
        """Take trades; return the signals they caused, in order of trades."""
        signals: list[Signal] = []
        if self._of_trades:  # a tuple, which no strategy can change
            run = run._replace(trades=tuple(run.trades))
        for runner in self._of_trades:
            signals += runner.run(run)
        if len(signals) > 1:
            signals.sort(key=_trade_id)  # those of one trade stay in the strategies' order
        self._signals += signals
        self._changed = True
        return signals

    def closed(self, closed: Closed) -> list[Signal]:
        """Take candles that have closed; return the signals they caused, in the strategies' order."""
        signals: list[Signal] = []
        if self._of_candles:  # likewise
            closed = closed._replace(candles=tuple(closed.candles), averages=tuple(closed.averages))
        for runner in self._of_candles:
            signals += runner.closed(closed)
        self._signals += signals
        self._changed = True
        return signals

    def take(self) -> SignalChanges | None:
        """Return what has changed since the last call, to be stored; None if nothing has."""
        if not self._changed:
            return None
        self._changed = False
        signals, self._signals = self._signals, []
        states = [state for runner in self._runners if (state := runner.take()) is not None]
        failures = [failure for runner in self._runners for failure in runner.take_failures()]
        return SignalChanges(signals, states, failures) if signals or states or failures else None
