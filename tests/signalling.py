"""Trades in runs, and the strategies of one symbol fed with them."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from hypothesis import strategies as st

from db.signals import StrategyState
from tickplant.derived import Average, Signal, Statistics
from tickplant.intervals import INTERVALS, floor
from tickplant.market import Candle, Trade, fold_runs
from workers.roles.events import Closed, Last, Run
from workers.roles.signals import SignalChanges, SymbolSignals
from workers.strategies import Strategy
from workers.strategies.runner import StrategyFailure

START_US = 1_700_000_040_000_000
SYMBOL = ("binance", "AAAUSDT")

Cut = tuple[int, bool]
"""How many trades to go on, and whether to store all and begin anew from it then."""

cuts = st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=30)


def trade(trade_id: int, price: str, *, at_us: int, size: str = "1") -> Trade:
    return Trade(*SYMBOL, trade_id, price, size, "buy", at_us, at_us)


def runs(trades: Sequence[Trade]) -> Iterator[Run]:
    start = 0
    for candle in fold_runs(trades):
        yield Run(trades[start : start + candle.trade_count], candle)
        start += candle.trade_count


def closed(
    minute: int,
    averages: dict[str, float] | None = None,
    statistics: Statistics | None = None,
    *,
    interval: str = "1m",
) -> Closed:
    """One candle that closes at the end of a minute."""
    length = INTERVALS[interval]
    end_us = floor(START_US, length) + minute * length
    ten, last_us = Decimal(10), end_us - 1
    candle = Candle(
        *SYMBOL, interval, end_us - length, ten, ten, ten, ten, ten, ten, 1, last_us, minute, last_us, minute
    )
    named = [
        Average(*SYMBOL, interval, end_us - length, name, value) for name, value in (averages or {}).items()
    ]
    return Closed(end_us, [candle], named, statistics, Last(minute, "10", last_us))


class Storing:
    """Strategies whose states are stored, and which begin anew from there when told to."""

    def __init__(self, *kinds: type[Strategy]) -> None:
        self.kinds = kinds
        self.states: dict[str, StrategyState] = {}
        self.stored: list[Signal] = []
        self.failures: list[StrategyFailure] = []
        self.begin()

    def begin(self) -> None:
        self.signals = SymbolSignals(*SYMBOL, self.kinds, self.states.values())

    def store(self) -> SignalChanges | None:
        changes = self.signals.take()
        if changes:
            self.states |= {state.strategy: state for state in changes.states}
            self.stored += changes.signals
            self.failures += changes.failures
        return changes

    def run(self, trades: Sequence[Trade], cuts: Iterable[Cut] = ()) -> list[Signal]:
        """Hand trades over, cut as told; return the signals as they were given."""
        places = [0]
        anew = set()
        for length, again in cuts:
            places.append(min(places[-1] + length, len(trades)))
            if again:
                anew.add(places[-1])
        given = []
        for start, end in pairwise([*places, len(trades)]):
            for run in runs(trades[start:end]):
                given += self.signals.run(run)
            if end in anew:
                self.store()
                self.begin()
        self.store()
        return given

    def close(self, *moments: Closed) -> list[Signal]:
        given = [signal for moment in moments for signal in self.signals.closed(moment)]
        self.store()
        return given
