"""What a strategy is: a small class that reads one symbol's events in order and holds an opinion.

A strategy returns its opinion at each event, as often as it likes. What becomes of that (a signal where the
opinion turns to buy or sell, unless one was given a moment ago) is `workers/roles/signals.py`'s to decide.
"""

from collections.abc import Iterable
from math import isfinite
from typing import ClassVar, Final, NamedTuple, get_args

from msgspec import Struct

from tickplant.market import Side, Trade
from workers.roles.events import Closed, Run

MOST_VALUES: Final = 64
"""How many an opinion may name; they are stored and published with each signal."""
MOST_NAME_CHARS: Final = 64


class Opinion(Struct, frozen=True):
    """What a strategy holds as of one event."""

    side: Side | None
    """What it would do; None for nothing."""
    strength: float = 1.0
    """How clear that is: 0 to 1."""
    values: dict[str, float] = {}
    """The values that lead to it, by name: a few, with short names of printable characters."""

    def __post_init__(self) -> None:
        """Refuse what could not be stored, where its maker can be seen.

        Raises:
            ValueError: one of the fields is not what it is to be.
        """
        if self.side is not None and self.side not in get_args(Side):
            raise ValueError(f"a side is buy, sell or None, not {self.side!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"a strength lies between 0 and 1: {self.strength!r}")
        if len(self.values) > MOST_VALUES:
            raise ValueError(f"{len(self.values)} values; at most {MOST_VALUES} are kept")
        for name, value in self.values.items():
            if not (isinstance(name, str) and name.isprintable() and len(name) <= MOST_NAME_CHARS):
                raise ValueError(f"no name of a value: {name!r:.80}")
            if not (isinstance(value, float | int) and isfinite(value)):
                raise ValueError(f"not a finite float: {name} = {value!r}")


NEITHER: Final = Opinion(None)
"""Neither buy nor sell."""


class Held(NamedTuple):
    """An opinion and the trade at which it was held."""

    trade: Trade
    opinion: Opinion


class Strategy(Struct):
    """The base of strategies.

    A class declares what it reads, and its parameters, by class variables; a subclass or settings may
    override them. Its fields are its state, one object a symbol: they must have defaults and be of types
    that msgspec encodes. They are stored with the trades that led to them, and restored after a restart.

    A strategy must not look at a clock, at chance, or at anything else but what it is given: the same trades
    give the same signals, in a backtest, too.
    """

    name: ClassVar[str]
    """Names its signals; small letters, digits and underscores."""
    trades: ClassVar[bool] = False
    """Whether it reads trades: they come to `run`."""
    intervals: ClassVar[tuple[str, ...]] = ()
    """Of which candles it reads as they close, with averages and statistics: they come to `closed`."""
    averages: ClassVar[tuple[str, ...]] = ()
    """Names of the averages without which it can't work, such as sma_7."""
    statistics: ClassVar[bool] = False
    """Whether it can't work without the statistics of minutes."""
    cooldown_s: ClassVar[float] = 60.0
    """How much of the venue's time lies at least between two signals to one side."""

    def run(self, run: Run) -> Iterable[Held]:
        """Read trades that follow one another.

        For speed only: how trades are cut into runs is chance, and must not change what is held. Unless this
        is overridden, each trade comes to `trade`.

        Returns:
            What was held at which of the trades, in their order. What is the same as before may be left out.
        """
        for trade in run.trades:
            opinion = self.trade(trade)
            if opinion is not None:
                yield Held(trade, opinion)

    def trade(self, trade: Trade) -> Opinion | None:
        """Read one trade.

        Returns:
            What is held now; None where it is unknown yet, or is as before.
        """
        raise NotImplementedError("a strategy that reads trades has a method trade, or run")

    def closed(self, closed: Closed) -> Opinion | None:
        """Read candles that have closed, at least one of the intervals asked for; returns as `trade`."""
        raise NotImplementedError("a strategy that reads candles has a method closed")


def clearness(value: float, threshold: float) -> float:
    """Return how clear a value is: 0.5 at its threshold, 1 from the double on."""
    return min(1.0, value / threshold / 2) if threshold > 0 else 1.0
