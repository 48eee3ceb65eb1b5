"""Folding of columns into candles of a minute, exactly: the same as `market.fold_runs` of the same trades.

Prices and sizes that all have the same number of decimal places are added as integers of the least place;
others as decimals. Either way the digits of results are those that decimals give, trailing zeros included.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from operator import mul
from typing import TYPE_CHECKING, Final

from tickplant.intervals import BASE, MINUTE_US
from tickplant.market import EXACT, MAX_DECIMAL_CHARS, Candle, merge

if TYPE_CHECKING:
    from tickplant.columns import TradeColumns

_FEW: Final = 8
"""So many trades are folded faster as decimals."""
_ZERO: Final = Decimal(0)
_UNITS: Final = [Decimal((0, (1,), -places)) for places in range(2 * MAX_DECIMAL_CHARS + 1)]
"""One of the least place, by the number of places."""

_add = EXACT.add
_multiply = EXACT.multiply


def fold(columns: "TradeColumns") -> list[Candle]:
    """Fold each run of consecutive trades in one minute into a candle; see `TradeColumns.fold`."""
    times_us = columns.event_times_us
    if not times_us:
        return []
    opened_us = times_us[0] - times_us[0] % MINUTE_US
    if opened_us <= min(times_us) and max(times_us) < opened_us + MINUTE_US:
        return [_fold_minute(columns, opened_us)]
    candles = []
    start = 0
    for i, time_us in enumerate(times_us):
        if not opened_us <= time_us < opened_us + MINUTE_US:
            candles.append(_fold_minute(columns.slice(start, i), opened_us))
            start = i
            opened_us = time_us - time_us % MINUTE_US
    candles.append(_fold_minute(columns.slice(start, len(times_us)), opened_us))
    return candles


class MinuteCandles:
    """Candles of a minute of one symbol, which grow by columns."""

    __slots__ = ("_candles",)

    def __init__(self) -> None:
        self._candles: dict[int, Candle] = {}

    def __bool__(self) -> bool:
        """Whether there is a candle."""
        return bool(self._candles)

    def add(self, columns: "TradeColumns") -> None:
        """Fold more trades of the symbol into the candles; the same as merging what `fold` returns."""
        for candle in columns.fold():
            known = self._candles.get(candle.open_time_us)
            self._candles[candle.open_time_us] = merge(known, candle) if known else candle

    def take(self) -> list[Candle]:
        """Return the candles in order of time, and start anew."""
        candles, self._candles = self._candles, {}
        return [candles[opened_us] for opened_us in sorted(candles)]


def _fold_minute(columns: "TradeColumns", opened_us: int) -> Candle:
    """Fold trades that lie in one minute; at least one."""
    ids, times_us, texts = columns.ids, columns.event_times_us, columns.prices
    first, last = _first_and_last(ids, times_us)
    price_places = size_places = None
    if len(ids) > _FEW:
        price_places, size_places = _places(texts), _places(columns.sizes)
    volume: Decimal
    quote_volume: Decimal
    if price_places is None or size_places is None:
        prices: Sequence[Decimal | int] = list(map(Decimal, texts))
        sizes = list(map(Decimal, columns.sizes))
        volume = reduce(_add, sizes, _ZERO)
        quote_volume = reduce(_add, map(_multiply, prices, sizes), _ZERO)
    else:
        prices = _integers(texts)
        scaled = _integers(columns.sizes)
        volume = _multiply(Decimal(sum(scaled)), _UNITS[size_places])
        quote_volume = _multiply(Decimal(sum(map(mul, prices, scaled))), _UNITS[price_places + size_places])
    return Candle(
        columns.venue,
        columns.symbol,
        BASE,
        opened_us,
        Decimal(texts[first]),
        Decimal(texts[prices.index(max(prices))]),
        Decimal(texts[prices.index(min(prices))]),
        Decimal(texts[last]),
        volume,
        quote_volume,
        len(ids),
        times_us[first],
        ids[first],
        times_us[last],
        ids[last],
    )


def _first_and_last(ids: Sequence[int], times_us: Sequence[int]) -> tuple[int, int]:
    """Return the indices of the trades that are first and last by time and id; of equal ones, the outer."""
    end = len(ids) - 1
    if times_us[0] == min(times_us) and ids[0] == min(ids):
        first = 0
    else:
        first = min(range(end + 1), key=lambda i: (times_us[i], ids[i]))
    if times_us[end] == max(times_us) and ids[end] == max(ids):
        last = end
    else:
        last = max(range(end, -1, -1), key=lambda i: (times_us[i], ids[i]))
    return first, last


def _places(texts: Sequence[str]) -> int | None:
    """Return how many decimal places all of some decimals have; None where they differ or are no decimals."""
    _, _, fraction = texts[0].partition(".")
    places = len(fraction)
    if places > MAX_DECIMAL_CHARS or _pattern(places)(",".join(texts) + ",") is None:
        return None
    return places


@lru_cache(maxsize=MAX_DECIMAL_CHARS + 1)
def _pattern(places: int) -> Callable[[str], re.Match[str] | None]:
    point = rf"\.[0-9]{{{places}}}" if places else r"\.?"
    return re.compile(rf"(?:[0-9]++{point},)++").fullmatch


def _integers(texts: Sequence[str]) -> list[int]:
    """Return decimals of as many places each as integers of the least place."""
    return list(map(int, ",".join(texts).replace(".", "").split(",")))
