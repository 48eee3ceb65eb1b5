"""Candles of intervals that are not stored, computed in Python from trades: what the database must give."""

from collections.abc import Sequence
from datetime import UTC, datetime

from correct import SYMBOL, ledger_of
from msgspec.structs import replace

from tickplant.intervals import CANDLE_INTERVALS
from tickplant.market import Candle, Trade, fold, merge
from tickplant.times import to_us

START_US = to_us(datetime(2024, 1, 30, 21, 58, 30, tzinfo=UTC))
STEPS_US = (0, 1, 20_000_000, 61_000_000, 200_000_000, 3_700_000_000, 11_000_000_000, 40_000_000_000)


def trades_of_weeks(count: int = 900) -> list[Trade]:
    """Return trades over some two months, in order, with a gap in the ids."""
    trades, time_us = [], START_US
    for number in range(count):
        time_us += STEPS_US[number * number % len(STEPS_US)] + (number % 7 == 0) * 17_000_000_000
        price = f"{100 + number * 37 % 113}.{number % 100:02}"
        size = f"{number % 9}.{number % 1000:03}"
        side = "buy" if number % 3 else "sell"
        trade_id = 1_000 + number + (number > count // 2)
        trades.append(Trade(*SYMBOL, trade_id, price, size, side, time_us, time_us + 7))  # type: ignore[arg-type]
    return trades


def merged_candles_of(trades: Sequence[Trade], name: str) -> list[Candle]:
    """Return the candles of an interval, with their flags, in order."""
    interval = CANDLE_INTERVALS[name]
    merged: dict[int, Candle] = {}
    for minute in fold(trades):
        opened_us = interval.floor(minute.open_time_us)
        part = replace(minute, interval=name, open_time_us=opened_us)
        merged[opened_us] = merge(merged[opened_us], part) if opened_us in merged else part
    first, last, missing, watermark_us = ledger_of(trades)
    absent = {trade_id for low, high in missing for trade_id in range(low, high)}
    candles = []
    for candle in merged.values():
        closed = interval.after(candle.open_time_us) <= watermark_us
        low, high = sorted((candle.first_trade_id, candle.last_trade_id))
        complete = closed and first < low and high < last and absent.isdisjoint(range(low - 1, high + 2))
        candles.append(replace(candle, closed=closed, complete=complete))
    return sorted(candles, key=lambda candle: candle.open_time_us)
