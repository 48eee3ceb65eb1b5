"""Moving averages of closes, and statistics of their returns. Pure.

Each value is a function of the last closes alone, so that all who compute it agree: a worker as candles
close, a correction of a stored candle, the API for a length that is not stored. The closes are those of
closed candles; an interval without trades has no candle and is left out. Sums are rounded
once, at the end (`math.fsum`), so that the same closes give the same bits on any machine and under any
version of Python.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import mul
from typing import Final, Literal, NamedTuple, get_args

from tickplant.intervals import BASE, INTERVALS

Kind = Literal["sma", "ema", "wma"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

MAX_LENGTH: Final = 500
"""The longest average, in candles."""

_EMA_LENGTHS: Final = 15
"""The closes that an exponential average sees, in multiples of its length. Those before would weigh less than
e^-30 together, which is some 1e-13."""


class AnomalyThresholds(NamedTuple):
    """Thresholds above which a minute's return is an anomaly, with their defaults."""

    zscore: float = 3.0
    """Standard deviations from the mean."""
    iqr: float = 1.5
    """Interquartile ranges beyond the quartiles."""
    points: int = 10
    """The number of earlier returns required: the default, and the minimum."""


class AverageSpec(NamedTuple):
    """One moving average."""

    kind: Kind
    length: int
    """In candles, 1 to `MAX_LENGTH`."""

    @property
    def name(self) -> str:
        """Kind and length, such as sma_7."""
        return f"{self.kind}_{self.length}"

    @property
    def window(self) -> int:
        """The most closes that it is computed from."""
        return self.length * _EMA_LENGTHS if self.kind == "ema" else self.length


class AverageSpecs(NamedTuple):
    """All that is computed for each symbol."""

    averages: tuple[AverageSpec, ...]
    intervals: tuple[str, ...] = tuple(INTERVALS)
    """The intervals whose candles are averaged."""
    returns: int = 60
    """The most one-minute returns that the statistics are computed from; at least 2."""

    def window(self, interval: str) -> int:
        """Return the most closes of an interval that any value is computed from; 0 for none."""
        windows = [spec.window for spec in self.averages] if interval in self.intervals else []
        return max([*windows, self.statistics_window if interval == BASE else 0], default=0)

    @property
    def statistics_window(self) -> int:
        """The most one-minute closes that the statistics are computed from."""
        return self.returns + 2


def average(spec: AverageSpec, closes: Sequence[float]) -> float | None:
    """Compute a moving average as of the newest close; None before there are as many closes as its length.

    - `sma`: the arithmetic mean of the last L closes.
    - `wma`: their mean with weights 1 to L, the newest weighing most.
    - `ema`: e[t] = a * close[t] + (1 - a) * e[t - 1] with a = 2 / (L + 1), where the oldest close seen is its
      own average; the same as pandas' `closes.ewm(span=L, adjust=False, min_periods=L).mean()`
      (https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.ewm.html). It sees the last 15 L closes,
      which differs from seeing all by less than 1e-12 of the value.

    pandas gives an exponential average from the first close on. Here, as for the others, it starts with the
    L-th: until then it depends mostly on the first close.

    Args:
        spec: the average.
        closes: oldest first; those before the last `spec.window` change nothing.
    """
    length = spec.length
    if len(closes) < length:
        return None
    if spec.kind == "sma":
        return math.fsum(closes[-length:]) / length
    if spec.kind == "wma":
        return math.fsum(map(mul, range(1, length + 1), closes[-length:])) / (length * (length + 1) // 2)
    alpha = 2 / (length + 1)
    value, *others = closes[-spec.window :]
    for close in others:
        value += alpha * (close - value)
    return value


class ReturnStatistics(NamedTuple):
    """The last return compared with those before it; see `tickplant.derived.Statistics`."""

    points: int
    return_: float
    mean: float | None
    stddev: float | None
    zscore: float | None
    q1: float | None
    q3: float | None


def return_statistics(closes: Sequence[float], returns: int) -> ReturnStatistics | None:
    """Compute statistics of the newest return; None where there is no close before the newest.

    A return is a close over the close before, less one; where that is 0, there is no return. The standard
    deviation is the sample's, with n - 1. Quartiles are interpolated linearly between the two returns around
    the position (n - 1) p, counted from 0, as `numpy.percentile` does: method 7 of Hyndman and Fan, Sample
    Quantiles in Statistical Packages (1996).

    Args:
        closes: of minutes, oldest first; those before the last `returns` + 2 change nothing.
        returns: the most returns before the newest to use.
    """
    seen = closes[-returns - 2 :]
    if len(seen) < 2 or not seen[-2]:
        return None
    *before, last = [close / previous - 1 for previous, close in pairwise(seen) if previous]
    points = len(before)
    if not points:
        return ReturnStatistics(0, last, None, None, None, None, None)
    mean = math.fsum(before) / points
    stddev = None
    if points > 1:
        stddev = math.sqrt(math.fsum([(value - mean) * (value - mean) for value in before]) / (points - 1))
    before.sort()
    zscore = (last - mean) / stddev if stddev else None
    return ReturnStatistics(
        points, last, mean, stddev, zscore, _quantile(before, 0.25), _quantile(before, 0.75)
    )


def _quantile(ascending: Sequence[float], share: float) -> float:
    position = (len(ascending) - 1) * share
    below = int(position)
    low, high = ascending[below], ascending[math.ceil(position)]
    return low + (high - low) * (position - below)
