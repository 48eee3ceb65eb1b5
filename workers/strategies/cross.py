"""`cross`: a fast average crosses a slow one."""

from typing import ClassVar

from workers.roles.events import Closed
from workers.strategies.base import Opinion, Strategy


class Cross(Strategy):
    """Buy when the fast average crosses above the slow one, sell when it crosses below, as candles close.

    Equal averages leave the opinion unchanged: they have touched, not crossed.
    """

    name = "cross"
    intervals = ("1m",)
    averages = ("sma_7", "sma_25")
    """The fast one and the slow one."""
    clear: ClassVar[float] = 0.001
    """Distance of the averages, as a share of the slow one, from which on the strength is 1."""

    def closed(self, closed: Closed) -> Opinion | None:
        """Read the averages of candles that have closed."""
        (interval,) = self.intervals
        fast, slow = (closed.average(interval, name) for name in self.averages)
        if fast is None or slow is None or fast == slow:
            return None
        values = dict(zip(self.averages, (fast, slow), strict=True))
        strength = min(1.0, abs(fast - slow) / (self.clear * slow))
        return Opinion("buy" if fast > slow else "sell", strength, values)
