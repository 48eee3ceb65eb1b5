import random

from hypothesis import given
from hypothesis import strategies as st
from working import MINUTE_US, START_US, trade

from tickplant.intervals import INTERVALS
from tickplant.market import Candle, Trade, fold, fold_runs
from workers.roles.open_candles import OpenCandles, minute_of

HOUR_US = 60 * MINUTE_US
DAY_US = START_US - START_US % (24 * HOUR_US) + 24 * HOUR_US


def run_at(trade_id: int, time_us: int, price: str = "10") -> Candle:
    return fold([trade(trade_id, at_us=time_us, price=price)])[0]


def close(candles: OpenCandles, time_us: int) -> list[tuple[int, list[str]]]:
    return [
        (end, [candle.interval for candle in closed])
        for end, closed in candles.close_until(minute_of(time_us))
    ]


def test_candles_that_end_together_close_together_and_shorter_ones_before() -> None:
    candles = OpenCandles()
    close(candles, DAY_US)
    candles.add(run_at(1, DAY_US + 5))
    assert close(candles, DAY_US + HOUR_US) == [
        (DAY_US + MINUTE_US, ["1m"]),
        (DAY_US + 5 * MINUTE_US, ["5m"]),
        (DAY_US + 15 * MINUTE_US, ["15m"]),
        (DAY_US + HOUR_US, ["1h"]),
    ]


def test_the_last_minute_of_an_hour_closes_with_it() -> None:
    candles = OpenCandles()
    close(candles, DAY_US + 59 * MINUTE_US)
    candles.add(run_at(1, DAY_US + 59 * MINUTE_US))
    assert close(candles, DAY_US + HOUR_US) == [(DAY_US + HOUR_US, ["1m", "5m", "15m", "1h"])]


def test_a_late_trade_changes_open_candles_and_is_reported_for_closed_ones() -> None:
    candles = OpenCandles()
    close(candles, DAY_US)
    candles.add(run_at(2, DAY_US + 30))
    close(candles, DAY_US + MINUTE_US)
    late = candles.add(run_at(1, DAY_US + 10, price="3"))
    assert [(part.interval, part.trade_count) for part in late] == [("1m", 1)]
    assert {candle.interval: candle.open for candle in candles.candles}["5m"] == 3


def test_a_restored_state_continues_as_if_never_interrupted() -> None:
    whole, before = OpenCandles(), OpenCandles()
    for candles in (whole, before):
        close(candles, DAY_US)
        candles.add(run_at(1, DAY_US + 10, price="3"))
    after = OpenCandles(before.candles, minute_us=before.minute_us)
    for candles in (whole, after):
        candles.add(run_at(2, DAY_US + 20, price="4"))
    assert list(whole.close_until(DAY_US + HOUR_US)) == list(after.close_until(DAY_US + HOUR_US))


@given(st.integers(0, 2**32))
def test_closed_candles_are_the_folds_of_their_trades(seed: int) -> None:
    rng = random.Random(seed)
    time_us = DAY_US
    trades: list[Trade] = []
    for number in range(60):
        time_us += rng.choice([0, 1, 20_000_000, 4 * MINUTE_US, 2 * HOUR_US])
        trades.append(trade(number, at_us=time_us, price=str(rng.randint(1, 50))))
    candles = OpenCandles()
    closed: list[Candle] = []
    for run in fold_runs(trades):
        closed += [c for _, found in candles.close_until(run.open_time_us) for c in found]
        candles.add(run)
    closed += [c for _, found in candles.close_until(DAY_US + 400 * 24 * HOUR_US) for c in found]
    expected = [c for name, length in INTERVALS.items() for c in fold(trades, name, length)]
    assert sorted(closed, key=_key) == sorted(expected, key=_key)


def _key(candle: Candle) -> tuple[str, int]:
    return candle.interval, candle.open_time_us
