"""Each symbol's price, joined with its latest averages and signals: JSON for consumers. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from tickplant.derived import Average, Signal, SignalView, Unified, signal_view
from tickplant.market import SymbolId, Trade
from tickplant.times import format_time


class Unifier:
    """The latest averages and signals of each symbol."""

    def __init__(self, averages: Iterable[Average] = (), signals: Iterable[Signal] = ()) -> None:
        """Start with known ones, older before newer."""
        self._averages: defaultdict[SymbolId, dict[str, dict[str, float]]] = defaultdict(dict)
        self._signals: defaultdict[SymbolId, dict[str, SignalView]] = defaultdict(dict)
        self.add(averages, signals)

    def add(self, averages: Iterable[Average], signals: Iterable[Signal]) -> None:
        """Add new ones, older before newer."""
        for average in averages:
            by_interval = self._averages[SymbolId(average.venue, average.symbol)]
            by_interval.setdefault(average.interval, {})[average.name] = average.value
        for signal in signals:
            symbol = SymbolId(signal.venue, signal.symbol)
            self._signals[symbol][signal.strategy] = signal_view(signal)

    def join(self, trade: Trade) -> Unified:
        """Join a symbol's last trade with its latest averages and signals."""
        symbol = SymbolId(trade.venue, trade.symbol)
        return Unified(
            str(symbol),
            trade.price,
            trade.trade_id,
            format_time(trade.event_time_us),
            # Copies, which do not change while they wait for their commit.
            {interval: dict(values) for interval, values in self._averages[symbol].items()},
            dict(self._signals[symbol]),
        )
