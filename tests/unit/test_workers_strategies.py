"""The included strategies follow their definitions, in any batches and after any interruption."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signalling import START_US, Cut, Storing, closed, cuts, trade

from tickplant.derived import Signal, Statistics
from tickplant.intervals import SECOND_US
from tickplant.market import Side, Trade
from workers.strategies.anomaly import Anomaly
from workers.strategies.cross import Cross
from workers.strategies.dip import Dip
from workers.strategies.hop import Hop

COOLDOWN_US = 5 * SECOND_US


class QuickDip(Dip):
    """Few prices, so that examples have many dips; so are the following."""

    length = 3
    cooldown_s = COOLDOWN_US / SECOND_US


class QuickHop(Hop):
    window_s = 3
    threshold = Decimal("0.01")
    cooldown_s = COOLDOWN_US / SECOND_US


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    steps_us = st.sampled_from([0, 1, 200_000, 200_000, 999_999, 1_000_000, 2_500_000, 40_000_000, -700_000])
    prices = st.sampled_from(["99", "99.0", "98.005", "100.00", "101", "0.5"])
    sizes = st.sampled_from(["1", "0.25", "3.000", "0"])
    found: list[Trade] = []
    at_us = START_US
    for number, (step_us, price, size) in enumerate(
        draw(st.lists(st.tuples(steps_us, prices, sizes), max_size=60)), start=1
    ):
        at_us += step_us
        found.append(trade(number, price, size=size, at_us=at_us))
    return found


Held = tuple[Trade, Side | None]


def naive_dip(trades: Sequence[Trade]) -> list[Held]:
    held: list[Held] = []
    for place in range(QuickDip.length, len(trades)):
        before = [Fraction(trade.price) for trade in trades[place - QuickDip.length : place]]
        mean = sum(before) / len(before)
        is_dip = Fraction(trades[place].price) < Fraction(99, 100) * mean
        held.append((trades[place], "buy" if is_dip else None))
    return held


def naive_hop(trades: Sequence[Trade]) -> list[Held]:
    seconds: list[int] = []
    for current in trades:
        second = current.event_time_us // SECOND_US
        seconds.append(max(second, seconds[-1]) if seconds else second)

    def sums(last: int) -> tuple[Fraction, Fraction]:
        inside = [
            trade for trade, at in zip(trades, seconds, strict=True) if last - QuickHop.window_s < at <= last
        ]
        volume = sum((Fraction(trade.size) for trade in inside), Fraction(0))
        return volume, sum((Fraction(trade.size) * Fraction(trade.price) for trade in inside), Fraction(0))

    held: list[Held] = []
    for place in range(1, len(trades)):
        ended = seconds[place - 1]
        if seconds[place] == ended or ended - QuickHop.window_s <= seconds[0]:
            continue
        (volume, quote), (volume_before, quote_before) = sums(ended), sums(ended - 1)
        side: Side | None = None
        if volume > volume_before > 0:
            ratio = (quote / volume) / (quote_before / volume_before)
            if abs(ratio - 1) > Fraction(1, 100):
                side = "buy" if ratio > 1 else "sell"
        held.append((trades[place], side))
    return held


def naive_signals(held: Sequence[Held]) -> list[tuple[int, int, Side]]:
    """Return number, trade id and side of each turn to buy or sell that no signal came shortly before."""
    signals: list[tuple[int, int, Side]] = []
    last_us: dict[Side, int] = {}
    for (_, before), (current, side) in pairwise(held):
        if side is not None and side != before:
            at_us = current.event_time_us
            if side not in last_us or at_us - last_us[side] >= COOLDOWN_US:
                last_us[side] = at_us
                signals.append((len(signals) + 1, current.trade_id, side))
    return signals


def heart_of(signals: Sequence[Signal], strategy: str) -> list[tuple[int, int, Side]]:
    return [
        (signal.number, signal.trade_id, signal.side) for signal in signals if signal.strategy == strategy
    ]


@given(trades(), cuts)
def test_signals_are_those_of_the_definitions_however_trades_are_cut_and_interrupted(
    trades: list[Trade], cuts: list[Cut]
) -> None:
    plant = Storing(QuickDip, QuickHop)
    given = plant.run(trades, cuts)
    assert heart_of(given, "dip") == naive_signals(naive_dip(trades))
    assert heart_of(given, "hop") == naive_signals(naive_hop(trades))
    assert plant.stored == given
    assert [signal.trade_id for signal in given] == sorted(signal.trade_id for signal in given)

    one_by_one = Storing(QuickDip, QuickHop)
    assert one_by_one.run(trades, [(1, False)] * len(trades)) == given
    assert one_by_one.states == plant.states


def test_a_dip_with_its_values() -> None:
    prices = ["100"] * 10 + ["99", "98.90", "97", "100", "96"]
    trades = [trade(number, price, at_us=START_US) for number, price in enumerate(prices, start=1)]
    (signal,) = Storing(Dip).run(trades)
    assert (signal.trade_id, signal.price, signal.side) == (12, "98.90", "buy")
    assert signal.values == {"price": 98.9, "mean": 99.9}
    assert signal.strength == pytest.approx((1 - 98.9 / 99.9) / 0.02)


def test_a_hop_with_its_values() -> None:
    steady = [trade(number, "100", size="2", at_us=START_US + number * SECOND_US) for number in range(1, 150)]
    hop = [
        trade(150, "103", size="6", at_us=START_US + 150 * SECOND_US + 400_000),
        trade(151, "100", size="2", at_us=START_US + 152 * SECOND_US + 1),
    ]
    (signal,) = Storing(Hop).run(steady + hop)
    assert (signal.trade_id, signal.side, signal.event_time_us) == (151, "buy", hop[1].event_time_us)
    assert signal.values == {
        "mean": (198 * 100 + 6 * 103) / 204,
        "mean_before": 100.0,
        "volume": 204.0,
        "volume_before": 200.0,
    }
    assert signal.strength == 1.0


def test_averages_signal_once_when_they_cross_and_never_when_they_touch() -> None:
    plant = Storing(Cross)

    def close(minute: int, fast: float, slow: float) -> list[Any]:
        given = plant.close(closed(minute, {"sma_7": fast, "sma_25": slow, "ema_12": 1.0}))
        plant.begin()
        return [(signal.side, signal.strength) for signal in given]

    assert plant.close(closed(1, {"sma_7": 99.0})) == []  # the slow one is not known yet
    assert close(2, 101, 100) == []  # which was above before is not known
    assert close(3, 100, 100) == []
    assert close(4, 100.5, 100) == []
    assert close(5, 99.95, 100) == [("sell", pytest.approx(0.5))]
    assert close(6, 90, 100) == []
    assert plant.close(closed(1, {"sma_7": 200.0, "sma_25": 1.0}, interval="5m")) == []
    assert close(7, 101, 100) == [("buy", 1.0)]


def statistics(
    return_: float, zscore: float | None = 0.0, *, points: int = 10, q3: float = 0.01
) -> Statistics:
    return Statistics("binance", "AAAUSDT", START_US, points, return_, 0.0, 0.01, zscore, -0.01, q3)


@pytest.mark.parametrize(
    ("unusual", "side"),
    [
        (statistics(0.03, 3.0), "sell"),
        (statistics(-0.03, -3.0), "buy"),
        (statistics(0.03, 2.9), None),
        (statistics(0.08, 2.9), "sell"),  # 3.5 interquartile ranges above the quartile
        (statistics(-0.08, None), "buy"),
        (statistics(0.08, None, q3=-0.01), None),  # no spread
        (statistics(0.03, 3.0, points=9), None),
    ],
)
def test_an_anomaly_is_a_return_far_from_those_before(unusual: Statistics, side: Side | None) -> None:
    given = Storing(Anomaly).close(closed(1, statistics=statistics(0.0)), closed(2, statistics=unusual))
    assert [signal.side for signal in given] == ([side] if side else [])
