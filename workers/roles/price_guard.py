"""Withholds outlier prices from strategies, alerts and the bot until the next trade confirms them. Pure.

A trade at a thousand times the last price, or a thousandth, is mostly an error; where it is not (a split, a
redenomination), the next trade's price is near it. Candles include such trades like any other.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from db.outliers import Outlier
from tickplant.market import EXACT, Candle, Trade

_FACTOR: Final = Decimal(1_000)
_multiply = EXACT.multiply


class PriceGuardState(Struct, frozen=True, array_like=True):
    """The saved state of a guard."""

    last: str | None = None
    """The last price that was passed."""
    pending: Trade | None = None
    """An outlier that waits for the next trade."""
    withheld: list[Trade] = []
    """Outliers that were not confirmed, while their minute's candle is open."""


class PriceGuard:
    """Filters the outliers from one symbol's trades, which arrive in order of id."""

    __slots__ = ("_last", "_outliers", "_pending", "_withheld")

    def __init__(self, state: PriceGuardState | None = None) -> None:
        """Restore the saved state; None: start with an empty one."""
        state = state or PriceGuardState()
        self._last = Decimal(state.last) if state.last is not None else None
        self._pending = state.pending
        self._withheld = list(state.withheld)
        self._outliers: list[Outlier] = []

    @property
    def busy(self) -> bool:
        """Whether there is more to save than the last price."""
        return self._pending is not None or bool(self._withheld)

    @property
    def state(self) -> PriceGuardState:
        """The state to save."""
        return PriceGuardState(
            None if self._last is None else f"{self._last:f}", self._pending, list(self._withheld)
        )

    def passes(self, run: Candle, last_price: str) -> bool:
        """Return whether all trades of a run pass, by a quick check, and note its last price if so."""
        if self._last is None or self._pending is not None:
            return False
        if not near(min(self._last, run.low), max(self._last, run.high)):
            return False
        self._last = Decimal(last_price)
        return True

    def filter(self, trades: Sequence[Trade]) -> list[Trade]:
        """Return the trades that pass, with an earlier outlier that is now confirmed."""
        passed: list[Trade] = []
        for trade in trades:
            price, pending = Decimal(trade.price), self._pending
            if self._last is None or near(self._last, price):
                self._withhold()
            elif pending is not None and near(Decimal(pending.price), price):
                self._outliers.append(Outlier(pending, self._last, confirmed=True))
                self._pending = None
                passed.append(pending)
            else:
                self._withhold()
                self._pending = trade
                self._outliers.append(Outlier(trade, self._last, confirmed=False))
                continue
            passed.append(trade)
            self._last = price
        return passed

    def take_withheld(self, minute_us: int) -> list[Trade]:
        """Return the unconfirmed outliers whose minute has ended, once each."""
        if not self._withheld:
            return []
        ended = [trade for trade in self._withheld if trade.event_time_us < minute_us]
        self._withheld = [trade for trade in self._withheld if trade.event_time_us >= minute_us]
        return ended

    def take_outliers(self) -> Sequence[Outlier]:
        """Return the outliers found or confirmed since the last call."""
        if not self._outliers:
            return ()
        outliers, self._outliers = self._outliers, []
        return outliers

    def _withhold(self) -> None:
        if self._pending is not None:
            self._withheld.append(self._pending)
            self._pending = None


def near(a: Decimal, b: Decimal) -> bool:
    """Return whether neither of two prices is a thousand times the other, or more."""
    return b < _multiply(a, _FACTOR) and a < _multiply(b, _FACTOR)
