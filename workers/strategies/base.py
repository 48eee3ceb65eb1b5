"""The base of strategies: small classes that read one symbol's events in order and hold an opinion.

A strategy may return its opinion at each event. `workers/strategies/runner.py` turns opinions into signals:
one where the opinion changes to buy or sell, except within the cooldown.
"""

from collections.abc import Iterable
from math import isfinite
from typing import ClassVar, Final, NamedTuple, get_args

from msgspec import Struct

from tickplant.market import Side, Trade
from workers.roles.events import Closed, Run

MOST_VALUES: Final = 64
"""Of an opinion; they are stored and published with each signal."""
MOST_NAME_CHARS: Final = 64


class Opinion(Struct, frozen=True):
    """What a strategy holds as of one event."""

    side: Side | None
    """To buy or to sell; None for neither."""
    strength: float = 1.0
    """How clear that is: 0 to 1."""
    values: dict[str, float] = {}
    """The values behind it, by name: a few, with short names of printable characters."""

    def __post_init__(self) -> None:
        """Refuse fields that can't be stored, so that the traceback shows the strategy.

        Raises:
            ValueError: a field is invalid.
        """
        if self.side is not None and self.side not in get_args(Side):
            raise ValueError(f"side must be buy, sell or None, not {self.side!r}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {self.strength!r}")
        if len(self.values) > MOST_VALUES:
            raise ValueError(f"{len(self.values)} values; at most {MOST_VALUES} are allowed")
        for name, value in self.values.items():
            if not (isinstance(name, str) and name.isprintable() and len(name) <= MOST_NAME_CHARS):
                raise ValueError(f"not a name for a value: {name!r:.80}")
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

    A strategy must depend on nothing but what it receives, neither on a clock nor on random numbers: the same
    trades then give the same signals, in a backtest, too.
    """

    name: ClassVar[str]
    """Name of its signals: lowercase letters, digits and underscores."""
    trades: ClassVar[bool] = False
    """Whether it reads trades: they are passed to `run`."""
    intervals: ClassVar[tuple[str, ...]] = ()
    """Intervals whose candles it reads as they close: they are passed to `closed`, with averages."""
    averages: ClassVar[tuple[str, ...]] = ()
    """Names of the averages that it needs, such as sma_7."""
    statistics: ClassVar[bool] = False
    """Whether it needs the statistics of minutes."""
    cooldown_s: ClassVar[float] = 60.0
    """The minimum of the venue's time between two signals to the same side."""

    def run(self, run: Run) -> Iterable[Held]:
        """Read trades that follow one another.

        Override it for speed only: how trades are grouped into runs is arbitrary, and must not change
        opinions. By default, each trade is passed to `trade`.

        Returns:
            The opinions with their trades, in order. An opinion that has not changed may be left out.
        """
        for trade in run.trades:
            opinion = self.trade(trade)
            if opinion is not None:
                yield Held(trade, opinion)

    def trade(self, trade: Trade) -> Opinion | None:
        """Read one trade.

        Returns:
            The opinion; None where it is unknown, or has not changed.
        """
        raise NotImplementedError("a strategy that reads trades needs a method trade, or run")

    def closed(self, closed: Closed) -> Opinion | None:
        """Read candles that have closed, at least one of `intervals`; return as `trade` does."""
        raise NotImplementedError("a strategy that reads candles needs a method closed")


def clearness(value: float, threshold: float) -> float:
    """Return how clear a value is: 0.5 at its threshold, 1 at twice the threshold and above."""
    return min(1.0, value / threshold / 2) if threshold > 0 else 1.0
