"""Closed candles of a random walk, of all intervals, for measuring how many bytes they take."""

import math
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from tickplant.intervals import BASE, INTERVALS, MINUTE_US, WEEK_US
from tickplant.market import Candle, merge, rebucket

_START_US: Final = 1_704_067_200_000_000
"""Monday, 2024-01-01."""
_SYMBOLS: Final = (
    ("BTCUSDT", 6_000_000, 900, 20_000),
    ("ETHUSDT", 300_000, 500, 300_000),
    ("SOLUSDT", 15_000, 250, 5_000_000),
    ("LTCUSDT", 9_000, 60, 3_000_000),
)
"""Name, first price in hundredths, trades a minute, and mean size of a trade in millionths."""
_VENUE: Final = "binance"


def candle_walk(weeks: int) -> Iterator[Candle]:
    """Return the closed candles of some weeks, symbol by symbol, each week's of an interval in order."""
    draw = random.Random(1)  # noqa: S311 - not for security
    for symbol, price, rate, size in _SYMBOLS:
        trade_id, ticks = 1, price
        for week in range(weeks):
            minutes: list[Candle] = []
            for number in range(WEEK_US // MINUTE_US):
                open_us = _START_US + week * WEEK_US + number * MINUTE_US
                count = 1 + int(rate * draw.lognormvariate(-0.3, 0.8))
                minute = _minute(draw, symbol, open_us, ticks, trade_id, count, size)
                ticks, trade_id = int(minute.close * 100), trade_id + count
                minutes.append(minute)
            for interval, length_us in INTERVALS.items():
                yield from minutes if interval == BASE else _merged(minutes, interval, length_us)


def _minute(
    draw: random.Random, symbol: str, open_us: int, last: int, first_id: int, count: int, size: int
) -> Candle:
    step = max(1.0, last * 0.0004)
    opened = max(1, last + draw.choice((-1, 0, 0, 1)))
    closed = max(1, opened + round(draw.gauss(0, step)))
    high = max(opened, closed) + int(abs(draw.gauss(0, step / 2)))
    low = max(1, min(opened, closed) - int(abs(draw.gauss(0, step / 2))))
    volume = int(count * size * draw.lognormvariate(0, 0.5)) // 10 * 10
    bought = int(volume * draw.betavariate(4, 4)) // 10 * 10
    spread = MINUTE_US // (count + 1)
    first_us = open_us + int(draw.expovariate(1) * spread) % MINUTE_US // 1000 * 1000
    last_us = open_us + MINUTE_US - 1000 - int(draw.expovariate(1) * spread) % MINUTE_US // 1000 * 1000
    first_us, last_us = min(first_us, last_us), max(first_us, last_us)
    mean = (opened + closed + high + low) / 4
    return Candle(
        _VENUE,
        symbol,
        BASE,
        open_us,
        _decimal(opened, 2),
        _decimal(high, 2),
        _decimal(low, 2),
        _decimal(closed, 2),
        _decimal(volume, 6),
        _decimal(math.floor(volume * mean), 8),
        count,
        first_us,
        first_id,
        last_us,
        first_id + count - 1,
        closed=True,
        complete=True,
        taker_buy_volume=_decimal(bought, 6),
        taker_buy_quote_volume=_decimal(math.floor(bought * mean), 8),
    )


def _decimal(units: int, places: int) -> Decimal:
    """Return a number without trailing zeros, as venues' sums have after folding."""
    return Decimal(units).scaleb(-places).normalize() + 0


def _merged(minutes: list[Candle], interval: str, length_us: int) -> Iterator[Candle]:
    merged: dict[int, Candle] = {}
    for minute in minutes:
        part = rebucket(minute, interval, length_us)
        former = merged.get(part.open_time_us)
        merged[part.open_time_us] = part if former is None else merge(former, part)
    yield from merged.values()
