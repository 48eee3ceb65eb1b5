"""Averages and statistics as pandas computes them, written once to `tests/data/averages_by_pandas.json`.

Tests compare with the file, so that they don't need pandas. To rewrite it, with pandas installed:
`python tests/averages_by_pandas.py`.
"""

import json
import math
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "data" / "averages_by_pandas.json"
LENGTHS = {"sma": (1, 7, 25, 99), "wma": (1, 2, 20), "ema": (1, 2, 12, 26, 99)}
RETURNS = 60
COUNT = 3000


def closes() -> list[float]:
    """A price that wanders, by integers, so that it is the same everywhere: from 600 down and up again."""
    state, cents, found = 20240808, 60_000, []
    for number in range(COUNT):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        cents += state // 65_536 % 201 - 100 + (-15 if number < COUNT // 2 else 15)
        cents = max(cents, 500)
        found.append(cents / 100)
    return found


def shown() -> list[int]:
    """The places at which values are kept: the first ones, and some of the others."""
    return [*range(0, 130, 3), *range(130, COUNT, 97), COUNT - 1]


def _compute() -> dict[str, list[float | None]]:
    import numpy  # type: ignore[import-not-found,unused-ignore]
    import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

    series = pandas.Series(closes())
    columns: dict[str, Any] = {}
    for length in LENGTHS["sma"]:
        columns[f"sma_{length}"] = series.rolling(length).mean()
    for length in LENGTHS["wma"]:
        weights = numpy.arange(1, length + 1)
        columns[f"wma_{length}"] = series.rolling(length).apply(
            lambda seen, by=weights: numpy.average(seen, weights=by)
        )
    for length in LENGTHS["ema"]:
        columns[f"ema_{length}"] = series.ewm(span=length, adjust=False, min_periods=length).mean()
    returns = series.pct_change()
    # Each window is computed for itself: pandas' own rolling sums drift.
    before = returns.shift(1).rolling(RETURNS, min_periods=1)
    columns["return"] = returns
    columns["mean"] = before.apply(numpy.nanmean)
    columns["stddev"] = before.apply(lambda seen: pandas.Series(seen).std(ddof=1))
    columns["zscore"] = (returns - columns["mean"]) / columns["stddev"]
    columns["q1"] = before.quantile(0.25, interpolation="linear")
    columns["q3"] = before.quantile(0.75, interpolation="linear")
    return {
        name: [None if math.isnan(column[place]) else float(column[place]) for place in shown()]
        for name, column in columns.items()
    }


if __name__ == "__main__":
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in _compute().items())
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
