"""The strategies of one partition's symbols. Pure."""

from collections.abc import Mapping, Sequence

from db.signals import NO_STATE, SignalRows, StrategyState
from tickplant.market import SymbolId
from workers.roles.signals import SymbolSignals
from workers.strategies.base import Strategy
from workers.strategies.runner import StrategyFailure


class PartitionSignals:
    """Makes the strategies of each symbol, and gathers what they store."""

    def __init__(
        self,
        partition: int,
        strategies: Sequence[type[Strategy]],
        states: Mapping[tuple[str, str], Sequence[StrategyState]],
    ) -> None:
        """Begin with what the database holds.

        Args:
            partition: the one owned.
            strategies: which to run.
            states: of `db.signals.read_strategy_states`.
        """
        self._partition = partition
        self._strategies = strategies
        self._states = states
        running = {strategy.name for strategy in strategies}
        # What is switched off misses trades from now on: switched on again, it begins anew.
        self._void = [
            state._replace(state=NO_STATE)
            for each in states.values()
            for state in each
            if state.strategy not in running and state.state != NO_STATE
        ]
        self._symbols: dict[SymbolId, SymbolSignals] = {}
        self._failures: list[StrategyFailure] = []

    def of(self, symbol: SymbolId) -> SymbolSignals:
        """Return the strategies of a symbol, in the state that was stored."""
        signals = self._symbols.get(symbol)
        if signals is None:
            signals = SymbolSignals(*symbol, self._strategies, self._states.get(symbol, ()))
            self._symbols[symbol] = signals
        return signals

    def take(self) -> SignalRows | None:
        """Return what to store of what has come since the last call; None if nothing has."""
        changes = [taken for it in self._symbols.values() if (taken := it.take()) is not None]
        self._failures += [failure for each in changes for failure in each.failures]
        signals = [signal for each in changes for signal in each.signals]
        states = self._void + [state for each in changes for state in each.states]
        self._void = []
        return SignalRows(self._partition, signals, states) if signals or states else None

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that have been put aside since the last call, as of the last `take`."""
        failures, self._failures = self._failures, []
        return failures
