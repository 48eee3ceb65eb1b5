"""What becomes of the opinions of strategies, and of strategies that go wrong."""

from typing import Any

import msgspec
import pytest
from signalling import START_US, SYMBOL, Storing, closed, trade

from db.signals import StrategyState
from tickplant.intervals import SECOND_US
from tickplant.market import SymbolId, Trade
from workers.partition_signals import PartitionSignals
from workers.roles import Closed, Run
from workers.strategies import NEITHER, Opinion, Strategy
from workers.strategies.runner import MOST_STATE_BYTES


class Follow(Strategy):
    """Holds what the price says: 1 buy, 2 sell, 3 neither, 4 nothing new; counts trades."""

    name = "follow"
    trades = True
    cooldown_s = 10

    seen: int = 0

    def trade(self, trade: Trade) -> Opinion | None:
        self.seen += 1
        return {"1": Opinion("buy"), "2": Opinion("sell", 0.5, {"seen": self.seen}), "3": NEITHER}.get(
            trade.price
        )


def follow(prices: str, *, step_s: int) -> list[tuple[int, str]]:
    """Return trade id and side of the signals; the trades are `step_s` apart."""
    given = Storing(Follow).run(told(prices, step_s=step_s))
    assert [it.number for it in given] == list(range(1, len(given) + 1))
    return [(it.trade_id, it.side) for it in given]


def told(prices: str, *, first: int = 1, step_s: int = 1) -> list[Trade]:
    return [
        trade(number, price, at_us=START_US + number * step_s * SECOND_US)
        for number, price in enumerate(prices, start=first)
    ]


@pytest.mark.parametrize(
    ("prices", "signals"),
    [
        ("1111", []),  # what was held before the first is not known
        ("4431", [(4, "buy")]),
        ("31113", [(2, "buy")]),
        ("3143", [(2, "buy")]),
        ("3131", [(2, "buy"), (4, "buy")]),
        ("3122", [(2, "buy"), (3, "sell")]),
    ],
)
def test_a_signal_is_a_turn_of_opinion(prices: str, signals: list[tuple[int, str]]) -> None:
    assert follow(prices, step_s=10) == signals


@pytest.mark.parametrize(
    ("prices", "signals"),
    [
        ("31311", [(2, "buy")]),  # passed over, and not made up for
        ("31312", [(2, "buy"), (5, "sell")]),
        ("3133333333331", [(2, "buy"), (13, "buy")]),
        ("3131333333331", [(2, "buy"), (13, "buy")]),  # what was passed over lengthens nothing
        ("312121", [(2, "buy"), (3, "sell")]),
    ],
)
def test_within_the_cooldown_there_is_no_other_to_the_same_side(
    prices: str, signals: list[tuple[int, str]]
) -> None:
    assert follow(prices, step_s=1) == signals


def test_a_signal_says_what_it_is_of() -> None:
    (signal,) = Storing(Follow).run(told("32"))
    assert signal.values == {"seen": 2.0}
    assert (signal.strategy, signal.venue, signal.symbol) == ("follow", *SYMBOL)
    assert (signal.event_time_us, signal.trade_id, signal.price) == (START_US + 2 * SECOND_US, 2, "2")


def test_nothing_is_stored_where_nothing_has_changed() -> None:
    class Still(Strategy):
        name = "still"
        trades = True

        def trade(self, trade: Trade) -> Opinion | None:
            return None

    plant = Storing(Still)
    plant.run(told("1"))
    assert [state.number for state in plant.states.values()] == [0]
    plant.signals.run(Run(told("1"), closed(1).candles[0]))
    assert plant.store() is None
    plant.begin()
    assert plant.store() is None


class Fragile(Follow):
    """Raises at price 9."""

    name = "fragile"

    def trade(self, trade: Trade) -> Opinion | None:
        if trade.price == "9":
            raise ZeroDivisionError("nine")
        return super().trade(trade)


def test_a_strategy_that_raises_is_put_aside_until_a_restart_and_the_others_go_on() -> None:
    plant = Storing(Fragile, Follow)
    plant.run(told("33"))
    before = plant.states["fragile"]
    given = plant.run(told("1922", first=3)) + plant.run(told("31", first=24))
    assert [(it.strategy, it.number, it.trade_id) for it in given] == [
        ("fragile", 1, 3),
        ("follow", 1, 3),
        ("follow", 2, 5),
        ("follow", 3, 25),
    ]
    (failure,) = plant.failures
    assert failure[:3] == ("fragile", *SYMBOL)
    assert failure.reason == "ZeroDivisionError: nine; it is put aside until a restart"
    assert 'raise ZeroDivisionError("nine")' in failure.traceback

    assert own(plant.states["fragile"]) == own(before) == {"seen": 2}
    plant.begin()
    given = plant.run(told("332", first=26))
    assert [(it.strategy, it.number, it.trade_id) for it in given] == [("fragile", 2, 28), ("follow", 4, 28)]
    assert own(plant.states["fragile"]) == {"seen": 5}
    assert len(plant.failures) == 1


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize("error", [SystemExit(3), UnspeakableError()])
def test_a_strategy_can_not_end_its_worker(error: BaseException) -> None:
    class Ends(Follow):
        name = "ends"

        def trade(self, trade: Trade) -> Opinion | None:
            raise error

    plant = Storing(Ends, Follow)
    assert [it.strategy for it in plant.run(told("31"))] == ["follow"]
    (failure,) = plant.failures
    assert type(error).__name__ in failure.reason


def test_a_strategy_that_refuses_its_own_state_begins_anew() -> None:
    class Refuses(Follow):
        name = "refuses"

        def __post_init__(self) -> None:
            if self.seen:
                raise LookupError("seen")

    plant = Storing(Refuses)
    plant.run(told("31"))
    plant.begin()
    assert [it.number for it in plant.run(told("31", first=3))] == [2]
    assert len(plant.failures) == 1


def own(state: StrategyState) -> Any:
    """The strategy's own part of its state."""
    return msgspec.msgpack.decode(state.state)[1]


class Grows(Follow):
    name = "grows"
    kept: list[Any] = msgspec.field(default_factory=list)

    def trade(self, trade: Trade) -> Opinion | None:
        self.kept.append("x" * MOST_STATE_BYTES if trade.price == "8" else object)
        return super().trade(trade)


@pytest.mark.parametrize("price", ["7", "8"])
def test_a_strategy_whose_state_cannot_be_stored_is_put_aside(price: str) -> None:
    plant = Storing(Grows)
    plant.run(told("3" + price))
    assert own(plant.states["grows"]) == {"seen": 0, "kept": []}
    assert plant.run(told("31", first=3)) == []
    assert len(plant.failures) == 1


class Candles(Strategy):
    name = "candles"
    intervals = ("1m",)

    def closed(self, closed: Closed) -> Opinion | None:
        raise LookupError(closed.time_us)


def test_a_strategy_of_candles_that_raises_is_put_aside_too() -> None:
    plant = Storing(Candles)
    assert plant.close(closed(1), closed(2)) == []
    assert [it.reason for it in plant.failures] == [
        f"LookupError: {closed(1).time_us}; it is put aside until a restart"
    ]


def test_a_state_that_can_not_be_read_any_more_begins_anew_and_numbers_go_on() -> None:
    class Changed(Follow):
        seen: list[int] = msgspec.field(default_factory=list)  # type: ignore[assignment]

        def trade(self, trade: Trade) -> Opinion | None:
            self.seen.append(trade.trade_id)
            return Opinion("buy") if trade.price == "1" else NEITHER

    plant = Storing(Follow)
    assert [it.number for it in plant.run(told("312"))] == [1, 2]
    plant.kinds = (Changed,)
    plant.begin()
    assert [it.number for it in plant.run(told("3333333331", first=4))] == [3]
    (failure,) = plant.failures
    assert failure.reason.endswith("its state can't be read any more, so it begins anew")


def test_a_strategy_that_was_switched_off_begins_anew_and_numbers_go_on() -> None:
    plant = Storing(Follow)
    plant.run(told("31"))
    for strategies in ((), (), (Follow,)):
        states = {SYMBOL: list(plant.states.values())}
        partition = PartitionSignals(0, strategies, states)
        rows = partition.take()
        plant.states |= {it.strategy: it for it in rows.states} if rows else {}
    signals = partition.of(SymbolId(*SYMBOL))
    assert signals.run(Run(told("1", first=3), closed(1).candles[0])) == []  # not a turn from what was held
    (signal,) = signals.run(Run(told("31", first=90), closed(1).candles[0]))
    assert (signal.number, signal.values) == (2, {})
    assert partition.take_failures() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "long"},
        {"side": "buy", "strength": 1.5},
        {"side": "buy", "strength": float("nan")},
        {"side": "buy", "values": {"price": "12"}},
        {"side": "buy", "values": {"ratio": float("inf")}},
        {"side": "buy", "values": {"a\0b": 1.0}},
        {"side": "buy", "values": {"\ud800": 1.0}},
        {"side": "buy", "values": {7: 1.0}},
        {"side": "buy", "values": {"x" * 65: 1.0}},
        {"side": "buy", "values": {f"{number}": 1.0 for number in range(65)}},
    ],
)
def test_an_opinion_that_could_not_be_stored_can_not_be_had(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"side|strength|finite|name|at most"):
        Opinion(**wrong)
