"""What becomes of the opinions of strategies, and of strategies that go wrong."""

import asyncio
from collections.abc import Callable, Iterable
from decimal import getcontext
from itertools import count
from typing import Any, ClassVar

import msgspec
import pytest
from signalling import START_US, SYMBOL, Storing, closed, trade

from db.signals import StrategyState
from tickplant.derived import Signal
from tickplant.intervals import SECOND_US
from tickplant.market import SymbolId, Trade
from workers.roles.events import Closed, Run
from workers.roles.signals import PartitionSignals
from workers.strategies import NEITHER, Held, Opinion, Strategy
from workers.strategies.runner import MOST_STATE_BYTES


class Follow(Strategy):
    """Opinions by price: 1 buy, 2 sell, 3 neither, 4 unchanged; counts trades."""

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
    given = Storing(Follow).run(trades_at(prices, step_s=step_s))
    assert [signal.number for signal in given] == list(range(1, len(given) + 1))
    return [(signal.trade_id, signal.side) for signal in given]


def trades_at(prices: str, *, first: int = 1, step_s: int = 1) -> list[Trade]:
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


def test_a_signal_names_its_strategy_and_symbol() -> None:
    (signal,) = Storing(Follow).run(trades_at("32"))
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
    plant.run(trades_at("1"))
    assert [state.number for state in plant.states.values()] == [0]
    plant.signals.run(Run(trades_at("1"), closed(1).candles[0]))
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


def test_a_strategy_that_raises_is_disabled_until_a_restart_and_the_others_continue() -> None:
    plant = Storing(Fragile, Follow)
    plant.run(trades_at("33"))
    before = plant.states["fragile"]
    given = plant.run(trades_at("1922", first=3)) + plant.run(trades_at("31", first=24))
    assert [(signal.strategy, signal.number, signal.trade_id) for signal in given] == [
        ("fragile", 1, 3),
        ("follow", 1, 3),
        ("follow", 2, 5),
        ("follow", 3, 25),
    ]
    (failure,) = plant.failures
    assert failure[:3] == ("fragile", *SYMBOL)
    assert failure.reason == "ZeroDivisionError: nine; it is disabled until a restart"
    assert 'raise ZeroDivisionError("nine")' in failure.traceback

    assert own(plant.states["fragile"]) == own(before) == {"seen": 2}
    plant.begin()
    given = plant.run(trades_at("332", first=26))
    assert [(signal.strategy, signal.number, signal.trade_id) for signal in given] == [
        ("fragile", 2, 28),
        ("follow", 4, 28),
    ]
    assert own(plant.states["fragile"]) == {"seen": 5}
    assert len(plant.failures) == 1


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise LookupError


class TalksError(Exception):
    """Ends the process where it is asked for its text."""

    def __str__(self) -> str:
        raise SystemExit(4)

    __repr__ = __str__

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt


def deep() -> BaseException:
    """An error with many others behind it."""
    error: BaseException = ValueError("first")
    for number in range(5_000):
        later = ValueError(f"later {number}")
        later.__context__ = error
        error = later
    return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
    "end of iteration": lambda: StopIteration(1),
    "cancelled": asyncio.CancelledError,
    "recursion": RecursionError,
    "memory": MemoryError,
    "group": lambda: BaseExceptionGroup("many", [KeyboardInterrupt(), asyncio.CancelledError()]),
    "long group": lambda: ExceptionGroup("many", [ValueError("x" * 1_000_000) for _ in range(100)]),
    "50 MB": lambda: ValueError("x" * 50_000_000),
    "surrogate": lambda: ValueError("\ud800\0"),
    "without text": UnspeakableError,
    "ends the process": TalksError,
    "chain": deep,
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("where", ["trade", "run", "closed", "construction", "restored"])
def test_whatever_a_strategy_raises_is_its_own_failure_of_bounded_text(name: str, where: str) -> None:
    armed = False
    error = ERRORS[name]()

    def fail_in(place: str) -> None:
        if armed and place == where:
            raise error

    class Ends(Follow):
        name = "ends"
        intervals = ("1m",)

        def __post_init__(self) -> None:
            fail_in("construction")
            if self.seen:
                fail_in("restored")

        def run(self, run: Run) -> Iterable[Held]:
            fail_in("run")
            return super().run(run)

        def trade(self, trade: Trade) -> Opinion | None:
            fail_in("trade")
            return super().trade(trade)

        def closed(self, closed: Closed) -> Opinion | None:
            fail_in("closed")
            return None

    plant = Storing(Ends, Follow)
    if where == "restored":
        plant.run(trades_at("3"))
    armed = True
    plant.begin()
    plant.close(closed(1))
    assert plant.run(trades_at("31", first=9))[-1].strategy == "follow"
    (failure,) = plant.failures
    assert failure[:3] == ("ends", *SYMBOL)
    assert len(failure.reason) < 700
    assert len(failure.traceback) <= 20_000
    assert (failure.reason + failure.traceback).encode()


class Wrong:
    """Looks like an opinion."""

    side = "buy"
    strength = 1.0
    values: ClassVar[dict[str, float]] = {}


class Sly(Opinion, frozen=True):
    """An opinion that doesn't check itself."""

    side: Any

    def __post_init__(self) -> None:
        pass


def changed_later() -> Opinion:
    opinion = Opinion("buy")
    opinion.values["x"] = float("nan")
    return opinion


@pytest.mark.parametrize(
    "given",
    [
        None,
        7,
        [None],
        [Held(trade(1, "1", at_us=START_US), Opinion("buy"))],
        [(None, Opinion("buy"))],
        lambda trade: [(trade, Wrong())],
        lambda trade: [(trade, "buy")],
        lambda trade: [Held(trade, Sly("long"))],
        lambda trade: [Held(trade, Sly(object()))],
        lambda trade: [Held(trade, Sly("buy", 2.0))],
        lambda trade: [Held(trade, Sly("buy", 10**400))],
        lambda trade: [Held(trade, Sly("buy", 1.0, {"x": float("inf")}))],
        lambda trade: [Held(trade, Sly("buy", 1.0, {"\ud800": 1.0}))],
        lambda trade: [Held(trade, Sly("buy", 1.0, {f"{number}": 1.0 for number in range(1_000_000)}))],
        lambda trade: [Held(trade, changed_later())],
        lambda trade: (Held(trade, Opinion("buy" if number % 2 else "sell")) for number in count()),
    ],
)
def test_what_a_strategy_returns_is_checked_before_anything_else_sees_it(given: Any) -> None:
    class Gives(Follow):
        name = "gives"
        cooldown_s = 0

        def run(self, run: Run) -> Any:
            if run.trades[-1].price != "1":
                return super().run(run)
            return given(run.trades[-1]) if callable(given) else given

    plant = Storing(Gives, Follow)
    plant.run(trades_at("3"))
    signals = plant.run(trades_at("1", first=2))
    assert [signal for signal in signals if signal.strategy == "follow"]
    assert len(plant.failures) == 1
    assert len(signals) <= 2
    for signal in signals:
        check_row(signal)
    assert len(plant.states["gives"].state) < 1_000


def check_row(signal: Signal) -> None:
    assert (type(signal.side), type(signal.strength)) == (str, float)
    assert all(type(value) is float for value in signal.values.values())


class Meddles(Follow):
    """Reaches for what is not its own."""

    name = "meddles"
    intervals = ("1m",)

    def run(self, run: Run) -> Iterable[Held]:
        getcontext().prec = 2
        run.trades.clear()  # type: ignore[attr-defined]
        return []

    def closed(self, closed: Closed) -> Opinion | None:
        closed.candles.clear()  # type: ignore[attr-defined]
        return None


def test_a_strategy_changes_nothing_that_others_read() -> None:
    plant = Storing(Meddles, Follow)
    precision = getcontext().prec
    trades = trades_at("31")
    assert [signal.strategy for signal in plant.run(trades)] == ["follow"]
    assert getcontext().prec == precision
    assert len(trades) == 2
    plant = Storing(Meddles, Follow)
    moment = closed(1)
    plant.close(moment)
    assert moment.candles
    assert len(plant.failures) == 1


async def test_a_strategy_does_not_reach_the_event_loop() -> None:
    class Stops(Follow):
        name = "stops"

        def run(self, run: Run) -> Iterable[Held]:
            asyncio.get_running_loop().stop()
            return []

    plant = Storing(Stops, Follow)
    assert [signal.strategy for signal in plant.run(trades_at("31"))] == ["follow"]
    (failure,) = plant.failures
    assert failure.reason.startswith("RuntimeError: no running event loop")
    await asyncio.sleep(0)


def test_a_strategy_that_refuses_its_saved_state_starts_fresh() -> None:
    class Refuses(Follow):
        name = "refuses"

        def __post_init__(self) -> None:
            if self.seen:
                raise LookupError("seen")

    plant = Storing(Refuses)
    plant.run(trades_at("31"))
    plant.begin()
    assert [signal.number for signal in plant.run(trades_at("31", first=3))] == [2]
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
def test_a_strategy_whose_state_cannot_be_stored_is_disabled(price: str) -> None:
    plant = Storing(Grows)
    plant.run(trades_at("3" + price))
    assert own(plant.states["grows"]) == {"seen": 0, "kept": []}
    assert plant.run(trades_at("31", first=3)) == []
    assert len(plant.failures) == 1


class Candles(Strategy):
    name = "candles"
    intervals = ("1m",)

    def closed(self, closed: Closed) -> Opinion | None:
        raise LookupError(closed.time_us)


def test_a_candle_strategy_that_raises_is_disabled_too() -> None:
    plant = Storing(Candles)
    assert plant.close(closed(1), closed(2)) == []
    assert [failure.reason for failure in plant.failures] == [
        f"LookupError: {closed(1).time_us}; it is disabled until a restart"
    ]


def test_after_an_unreadable_state_a_strategy_starts_fresh_and_numbers_continue() -> None:
    class Changed(Follow):
        seen: list[int] = msgspec.field(default_factory=list)  # type: ignore[assignment]

        def trade(self, trade: Trade) -> Opinion | None:
            self.seen.append(trade.trade_id)
            return Opinion("buy") if trade.price == "1" else NEITHER

    plant = Storing(Follow)
    assert [signal.number for signal in plant.run(trades_at("312"))] == [1, 2]
    plant.kinds = (Changed,)
    plant.begin()
    assert [signal.number for signal in plant.run(trades_at("3333333331", first=4))] == [3]
    (failure,) = plant.failures
    assert failure.reason.endswith("its state can't be restored, so it starts without one")


def test_a_strategy_that_was_switched_off_starts_fresh_and_numbers_continue() -> None:
    plant = Storing(Follow)
    plant.run(trades_at("31"))
    for strategies in ((), (), (Follow,)):
        states = {SYMBOL: list(plant.states.values())}
        partition = PartitionSignals(0, strategies, states)
        rows = partition.take()
        plant.states |= {state.strategy: state for state in rows.states} if rows else {}
    signals = partition.of(SymbolId(*SYMBOL))
    assert (
        signals.run(Run(trades_at("1", first=3), closed(1).candles[0])) == []
    )  # no change from the previous opinion
    (signal,) = signals.run(Run(trades_at("31", first=90), closed(1).candles[0]))
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
def test_an_opinion_that_could_not_be_stored_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"side|strength|finite|name|at most"):
        Opinion(**wrong)


def test_states_are_taken_of_new_symbols_and_of_those_touched() -> None:
    partition = PartitionSignals(0, (Follow,), {})
    signals, other = partition.of(SymbolId(*SYMBOL)), partition.of(SymbolId("v", "OTHER"))
    assert len(_states(partition, ())) == 2  # both are new
    signals.run(Run(trades_at("3"), closed(1).candles[0]))
    other.run(Run(trades_at("3"), closed(1).candles[0]))
    assert [state.symbol for state in _states(partition, [SymbolId("v", "OTHER")])] == ["OTHER"]
    assert [state.symbol for state in _states(partition, [SymbolId(*SYMBOL)])] == [SYMBOL[1]]
    assert _states(partition, [SymbolId(*SYMBOL)]) == []


def _states(partition: PartitionSignals, touched: Iterable[SymbolId]) -> list[StrategyState]:
    rows = partition.take(touched)
    return list(rows.states) if rows else []
