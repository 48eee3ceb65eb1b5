"""The role `signals`: runs the strategies. Pure.

A strategy that raises is disabled for its symbol, and everything else continues; a restart tries it again
from its last stored state.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from db.signals import NO_STATE, SignalRows, StrategyState
from tickplant.derived import Signal
from tickplant.market import SymbolId
from workers.roles.events import Closed, Run
from workers.strategies.base import Strategy
from workers.strategies.runner import Runner, StrategyFailure

_trade_id: Final = attrgetter("trade_id")


class SignalChanges(NamedTuple):
    """What a symbol's strategies have produced since the last call of `take`."""

    signals: list[Signal]
    """In the order in which they occurred."""
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
        """Restore what the database holds.

        Args:
            venue: the symbol's.
            symbol: as the venue writes it.
            strategies: which to run.
            states: the stored ones of this symbol; those of other strategies are ignored.
        """
        stored = {state.strategy: state for state in states}
        self._runners = [Runner(venue, symbol, kind, stored.get(kind.name)) for kind in strategies]
        self._of_trades = [runner for runner in self._runners if runner.trades]
        self._of_candles = [runner for runner in self._runners if runner.intervals]
        self._signals: list[Signal] = []
        self._changed = True

    def run(self, run: Run) -> list[Signal]:
        """Process trades; return the signals they caused, in order of trades."""
        signals: list[Signal] = []
        if self._of_trades and isinstance(run.trades, list):  # a tuple, so that no strategy can change it
            run = run._replace(trades=tuple(run.trades))
        for runner in self._of_trades:
            signals += runner.run(run)
        if len(signals) > 1:
            signals.sort(key=_trade_id)  # those of one trade stay in the strategies' order
        self._signals += signals
        self._changed = True
        return signals

    def closed(self, closed: Closed) -> list[Signal]:
        """Process candles that have closed; return the signals they caused, in the strategies' order."""
        signals: list[Signal] = []
        if self._of_candles:  # tuples, too
            closed = closed._replace(candles=tuple(closed.candles), averages=tuple(closed.averages))
        for runner in self._of_candles:
            signals += runner.closed(closed)
        self._signals += signals
        self._changed = True
        return signals

    def take(self) -> SignalChanges | None:
        """Return what has changed since the last call, to be stored; None if nothing has changed."""
        if not self._changed:
            return None
        self._changed = False
        signals, self._signals = self._signals, []
        states = [state for runner in self._runners if (state := runner.take()) is not None]
        failures = [failure for runner in self._runners for failure in runner.take_failures()]
        return SignalChanges(signals, states, failures) if signals or states or failures else None


class PartitionSignals:
    """The strategies of all symbols of a partition."""

    def __init__(
        self,
        partition: int,
        strategies: Sequence[type[Strategy]],
        states: Mapping[tuple[str, str], Sequence[StrategyState]],
    ) -> None:
        """Restore what the database holds.

        Args:
            partition: the one owned.
            strategies: which to run.
            states: from `db.signals.read_strategy_states`.
        """
        self._partition = partition
        self._strategies = strategies
        self._states = states
        running = {strategy.name for strategy in strategies}
        # A strategy that is switched off misses trades: switched on again, it starts without a state.
        self._discarded = [
            state._replace(state=NO_STATE)
            for of_symbol in states.values()
            for state in of_symbol
            if state.strategy not in running and state.state != NO_STATE
        ]
        self._symbols: dict[SymbolId, SymbolSignals] = {}
        self._new: dict[SymbolId, None] = {}  # their states have not been taken yet
        self._failures: list[StrategyFailure] = []

    def of(self, symbol: SymbolId) -> SymbolSignals:
        """Return the strategies of a symbol, in their stored state."""
        signals = self._symbols.get(symbol)
        if signals is None:
            signals = SymbolSignals(*symbol, self._strategies, self._states.get(symbol, ()))
            self._symbols[symbol] = signals
            self._new[symbol] = None
        return signals

    def take(self, touched: Iterable[SymbolId] = ()) -> SignalRows | None:
        """Return what to store since the last call; None if nothing has changed.

        Args:
            touched: the symbols that may have changed since then.
        """
        new, self._new = self._new, {}
        symbols = new | dict.fromkeys(touched)
        changes = [taken for symbol in symbols if (taken := self._symbols[symbol].take()) is not None]
        self._failures += [failure for taken in changes for failure in taken.failures]
        signals = [signal for taken in changes for signal in taken.signals]
        states = self._discarded + [state for taken in changes for state in taken.states]
        self._discarded = []
        return SignalRows(self._partition, signals, states) if signals or states else None

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that failed between the last call and the last `take`."""
        failures, self._failures = self._failures, []
        return failures
