"""Candles as Binance's REST interface gives them, from trades.

One, with open time, open, high, low, close, volume, close time, quote volume, count, and what takers bought:

    [1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
     "2434.19055334",308,"1756.87402397","28.46694368","0"]
"""

from decimal import Decimal
from typing import Any, Final

from sandbox.history import SandboxHistory
from tickplant.intervals import DAY_US, HOUR_US, MINUTE_US, SECOND_US, WEEK_US, floor
from tickplant.market import Candle, fold

INTERVALS: Final[dict[str, int]] = {
    "1s": SECOND_US,
    **{f"{count}m": count * MINUTE_US for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": count * HOUR_US for count in (1, 2, 4, 6, 8, 12)},
    **{f"{count}d": count * DAY_US for count in (1, 3)},
    "1w": WEEK_US,
}
"""Binance's intervals, but for `1M`."""

_ZERO: Final = Decimal(0)


def build_klines(
    history: SandboxHistory,
    length_us: int,
    now_us: int,
    *,
    start_us: int | None,
    end_us: int | None,
    limit: int,
    micro: bool,
) -> list[list[Any]]:
    """Return candles, oldest first; intervals without trades repeat the close before them.

    Args:
        history: the trades.
        length_us: the interval's length.
        now_us: the venue's time; the interval that holds it is the last.
        start_us: the earliest open time, inclusive: then the first candles after it are given, else the last.
        end_us: the latest open time, inclusive.
        limit: how many at most.
        micro: give times in microseconds.
    """
    first = history.first()
    if first is None:
        return []
    low = max(floor(first.event_time_us, length_us), history.first_whole_us(length_us))
    high = floor(now_us if end_us is None else min(now_us, end_us), length_us)
    if start_us is not None:
        low = max(low, floor(start_us + length_us - 1, length_us))
        high = min(high, low + (limit - 1) * length_us)
    low = max(low, high - (limit - 1) * length_us)
    return _rows(history, low, high, length_us, micro=micro)


def _rows(history: SandboxHistory, low: int, high: int, length_us: int, *, micro: bool) -> list[list[Any]]:
    trades = list(history.between(low, high + length_us))
    candles = {candle.open_time_us: candle for candle in fold(trades, length_us=length_us)}
    before = history.last_before(low)
    close = Decimal(before.price) if before else _ZERO
    rows = []
    for open_us in range(low, high + 1, length_us):
        candle = candles.get(open_us)
        unit = 1 if micro else 1000
        times = open_us // unit, (open_us + length_us) // unit - 1
        rows.append(_row(times, candle, close))
        close = candle.close if candle else close
    return rows


def _row(times: tuple[int, int], candle: Candle | None, close: Decimal) -> list[Any]:
    prices = (candle.open, candle.high, candle.low, candle.close) if candle else (close,) * 4
    return [
        times[0],
        *map(eight_places, prices),
        eight_places(candle.volume if candle else _ZERO),
        times[1],
        eight_places(candle.quote_volume if candle else _ZERO),
        candle.trade_count if candle else 0,
        eight_places((candle and candle.taker_buy_volume) or _ZERO),
        eight_places((candle and candle.taker_buy_quote_volume) or _ZERO),
        "0",
    ]


def eight_places(number: Decimal) -> str:
    """Return a number as Binance writes them: with eight decimal places."""
    return f"{number:.8f}"
