"""Folding of columns into candles of a minute, exactly: the same as `market.fold_runs` of the same trades.

Prices and sizes that all have the same number of decimal places are added as integers of the least place;
others as decimals. Either way the digits of results are those that decimals give, trailing zeros included.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from itertools import compress
from operator import mul
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickplant.intervals import BASE, MINUTE_US
from tickplant.market import EXACT, MAX_DECIMAL_CHARS, Candle

if TYPE_CHECKING:
    from tickplant.columns import TradeColumns

_FEW: Final = 8
"""So many trades are folded faster as decimals."""
_ZERO: Final = Decimal(0)
_UNITS: Final = [Decimal((0, (1,), -places)) for places in range(2 * MAX_DECIMAL_CHARS + 1)]
"""One of the least place, by the number of places."""

TAKER_BUY: Final = "taker_buy_volume" in Candle.__struct_fields__
"""Whether candles tell what was bought by takers."""

_is_buy = "b".__eq__
_add = EXACT.add
_multiply = EXACT.multiply


class _Amounts(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    bought: Decimal | None
    """The sum of sizes of trades whose aggressor bought; None unless all sides are known."""
    bought_quote: Decimal | None
    """The sum of price times size of the same."""


def fold(columns: "TradeColumns") -> list[Candle]:
    """Fold each run of consecutive trades in one minute into a candle; see `TradeColumns.fold`."""
    times_us = columns.event_times_us
    if not times_us:
        return []
    opened_us = times_us[0] - times_us[0] % MINUTE_US
    least_us, latest_us = min(times_us), max(times_us)
    if opened_us <= least_us and latest_us < opened_us + MINUTE_US:
        return [_fold_minute(columns, opened_us, least_us, latest_us)]
    candles = []
    start = 0
    for i, time_us in enumerate(times_us):
        if not opened_us <= time_us < opened_us + MINUTE_US:
            candles += fold(columns.slice(start, i))
            start = i
            opened_us = time_us - time_us % MINUTE_US
    return candles + fold(columns.slice(start, len(times_us)))


def _fold_minute(columns: "TradeColumns", opened_us: int, least_us: int, latest_us: int) -> Candle:
    """Fold trades that lie in one minute; at least one.

    Args:
        columns: the trades.
        opened_us: when the minute begins.
        least_us: the least event time.
        latest_us: the latest one.
    """
    ids, times_us = columns.ids, columns.event_times_us
    count = len(ids)
    first, last = 0, count - 1
    if times_us[0] != least_us or ids[0] != min(ids):
        first = min(range(count), key=lambda i: (times_us[i], ids[i]))
    if times_us[-1] != latest_us or ids[-1] != max(ids):
        last = max(range(count - 1, -1, -1), key=lambda i: (times_us[i], ids[i]))
    scaled = _fold_scaled(columns, first, last) if count > _FEW else None
    amounts = scaled or _fold_decimals(columns, first, last)
    return Candle(
        columns.venue,
        columns.symbol,
        BASE,
        opened_us,
        amounts.open,
        amounts.high,
        amounts.low,
        amounts.close,
        amounts.volume,
        amounts.quote_volume,
        count,
        times_us[first],
        ids[first],
        times_us[last],
        ids[last],
        **_taker_buy(amounts),
    )


def _taker_buy(amounts: _Amounts) -> dict[str, Any]:
    """Return the fields of what was bought, if candles have them."""
    if not TAKER_BUY:
        return {}
    return {"taker_buy_volume": amounts.bought, "taker_buy_quote_volume": amounts.bought_quote}


def _fold_decimals(columns: "TradeColumns", first: int, last: int) -> _Amounts:
    prices = list(map(Decimal, columns.prices))
    sizes = list(map(Decimal, columns.sizes))
    values = list(map(_multiply, prices, sizes))
    bought = bought_quote = None
    if "-" not in columns.sides:
        bought = reduce(_add, compress(sizes, map(_is_buy, columns.sides)), _ZERO)
        bought_quote = reduce(_add, compress(values, map(_is_buy, columns.sides)), _ZERO)
    return _Amounts(
        prices[first],
        max(prices),
        min(prices),
        prices[last],
        reduce(_add, sizes, _ZERO),
        reduce(_add, values, _ZERO),
        bought,
        bought_quote,
    )


def _fold_scaled(columns: "TradeColumns", first: int, last: int) -> _Amounts | None:
    """Fold as integers of the least place; None where the numbers of places differ."""
    texts = columns.prices
    price_places, size_places = _places(texts), _places(columns.sizes)
    if price_places is None or size_places is None:
        return None
    prices, sizes = _integers(texts), _integers(columns.sizes)
    values = list(map(mul, prices, sizes))
    places = price_places + size_places
    bought: Decimal | None = _ZERO
    bought_quote: Decimal | None = _ZERO
    if "-" in columns.sides:
        bought = bought_quote = None
    elif "b" in columns.sides:
        bought = _unscaled(compress(sizes, map(_is_buy, columns.sides)), size_places)
        bought_quote = _unscaled(compress(values, map(_is_buy, columns.sides)), places)
    return _Amounts(
        Decimal(texts[first]),
        Decimal(texts[prices.index(max(prices))]),
        Decimal(texts[prices.index(min(prices))]),
        Decimal(texts[last]),
        _unscaled(sizes, size_places),
        _unscaled(values, places),
        bought,
        bought_quote,
    )


def _unscaled(values: Iterable[int], places: int) -> Decimal:
    """Return the sum of integers of the least place."""
    return _multiply(Decimal(sum(values)), _UNITS[places])


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
