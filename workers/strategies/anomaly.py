"""`anomaly`: a minute's return lies far from those before it."""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from tickplant.averages import AnomalyThresholds
from tickplant.derived import Statistics
from workers.roles.events import Closed
from workers.strategies.base import NEITHER, Opinion, Strategy, clearness

_DEFAULT: Final = AnomalyThresholds()


class Anomaly(Strategy):
    """Buy after a minute's unusual fall, sell after an unusual rise: it expects the price to revert.

    A return is unusual where it lies `zscore` standard deviations or more from the mean of the returns before
    it, or `iqr` interquartile ranges or more beyond their quartiles. Without any spread there is no opinion.
    """

    name = "anomaly"
    intervals = ("1m",)
    statistics = True
    zscore: ClassVar[Annotated[float, Meta(gt=0)]] = _DEFAULT.zscore
    iqr: ClassVar[Annotated[float, Meta(gt=0)]] = _DEFAULT.iqr
    points: ClassVar[Annotated[int, Meta(ge=_DEFAULT.points)]] = _DEFAULT.points
    """The number of earlier returns that is needed for a comparison."""

    def closed(self, closed: Closed) -> Opinion | None:
        """Read the statistics of a minute that has closed."""
        statistics = closed.statistics
        if statistics is None or statistics.points < self.points:
            return None
        zscore, ranges = statistics.zscore or 0.0, _ranges_outside(statistics)
        clear = max(clearness(abs(zscore), self.zscore), clearness(abs(ranges), self.iqr))
        if clear < 0.5:
            return NEITHER
        values = {"return": statistics.return_, "zscore": zscore, "iqr": ranges}
        return Opinion("sell" if statistics.return_ > (statistics.mean or 0.0) else "buy", clear, values)


def _ranges_outside(statistics: Statistics) -> float:
    """Return the interquartile ranges by which the return lies above the quartiles, or, negative, below."""
    q1, q3, return_ = statistics.q1, statistics.q3, statistics.return_
    if q1 is None or q3 is None or q1 == q3:
        return 0.0
    return (max(return_ - q3, 0.0) + min(return_ - q1, 0.0)) / (q3 - q1)
