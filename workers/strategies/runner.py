"""Runs one strategy for one symbol: turns its opinions into signals. Pure.

A signal is the change of an opinion to buy or sell from another known opinion. Within the strategy's
cooldown, a second signal to the same side is suppressed, and not given later. What a strategy returns is not
trusted: it is checked and copied before it is used.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from db.signals import NO_STATE, StrategyState
from tickplant.derived import Signal
from tickplant.intervals import SECOND_US
from tickplant.market import Trade
from workers.roles.events import Closed, Last, Run
from workers.strategies.base import Held, Opinion, Strategy
from workers.strategies.user_code import Caller, UserCodeError

MOST_STATE_BYTES: Final = 262_144
"""The longest state of one strategy and symbol: it may be written with every commit."""

_HELD: Final[dict[Any, Literal["buy", "sell", "neither"]]] = {"buy": "buy", "sell": "sell", None: "neither"}
"""By side, the opinion that is stored."""


class StrategyFailure(NamedTuple):
    """The failure of a strategy for a symbol."""

    strategy: str
    venue: str
    symbol: str
    reason: str
    """The error and its consequence."""
    traceback: str


class _Memory(Struct, array_like=True):
    """What is stored of a strategy besides its own state."""

    held: Literal["buy", "sell", "neither"] | None = None
    """Its last opinion; None before the first."""
    signals_us: dict[str, int] = {}
    """The venue's time of the last signal, by side."""


class _Saved(Struct, frozen=True, array_like=True):
    """The content of the column `state`."""

    memory: _Memory
    own: Raw
    """The strategy's fields, by name."""


class Runner:
    """Runs one strategy; disables it when it raises."""

    def __init__(self, venue: str, symbol: str, kind: type[Strategy], stored: StrategyState | None) -> None:
        """Restore the stored state; None: start without one."""
        self.trades = kind.trades
        self.intervals = frozenset(kind.intervals)
        self._kind = kind
        self._id = kind.name, venue, symbol
        self._cooldown_us = round(kind.cooldown_s * SECOND_US)
        self._memory = _Memory()
        self._number = 0
        self._stored = stored
        self._failures: list[StrategyFailure] = []
        self._caller = Caller()
        self._strategy: Strategy | None = None
        """None once it is disabled."""
        self._own: bytes | None = None
        """Its state as last encoded; None before the first time."""
        self._called = True
        """Whether it has been called since the state was last taken: only then can it have changed."""
        state = NO_STATE
        if stored is not None:
            self._number, state = stored.number, stored.state
        if state != NO_STATE:
            self._restore(state)
        if self._strategy is None:
            try:
                self._strategy = self._caller.call(kind)
            except UserCodeError as error:
                self._disable(error)
        self._encode()

    def run(self, run: Run) -> list[Signal]:
        """Process trades; return the signals they caused, in order."""
        signals: list[Signal] = []
        if self._strategy is not None:
            self._called = True
            try:
                self._caller.call(self._take_run, self._strategy, run, signals)
            except UserCodeError as error:
                self._disable(error)
        return signals

    def closed(self, closed: Closed) -> Sequence[Signal]:
        """Process candles that have closed; return the signals they caused."""
        if self._strategy is None or not any(candle.interval in self.intervals for candle in closed.candles):
            return ()
        signals: list[Signal] = []
        self._called = True
        try:
            self._caller.call(self._take_closed, self._strategy, closed, signals)
        except UserCodeError as error:
            self._disable(error)
        return signals

    def take(self) -> StrategyState | None:
        """Return the state to store; None if it has not changed since the last call."""
        if not self._called:
            return None
        self._called = False
        self._encode()
        if self._own is None:
            return None
        state = StrategyState(*self._id, self._number, _encoder.encode(_Saved(self._memory, Raw(self._own))))
        if state == self._stored:
            return None
        self._stored = state
        return state

    def take_failures(self) -> list[StrategyFailure]:
        """Return the failures since the last call."""
        failures, self._failures = self._failures, []
        return failures

    def _take_run(self, strategy: Strategy, run: Run, signals: list[Signal]) -> None:
        """Pass trades to the strategy; it may return at most one opinion per trade."""
        held: Iterable[Held] = strategy.run(run)
        place = 0
        for count, (trade, opinion) in enumerate(held):
            if count >= len(run.trades):
                raise ValueError(f"more opinions than the {len(run.trades)} trades of the run")
            if self._note_opinion(opinion, trade.event_time_us):
                found = (later for later in range(place, len(run.trades)) if run.trades[later] is trade)
                place = next(found, -1)
                if place < 0:
                    raise ValueError("opinions must refer to trades of the run, in order")
                signals.append(self._signal(opinion, trade, trade.event_time_us))

    def _take_closed(self, strategy: Strategy, closed: Closed, signals: list[Signal]) -> None:
        """Pass candles to the strategy."""
        opinion = strategy.closed(closed)
        if opinion is not None and self._note_opinion(opinion, closed.time_us):
            signals.append(self._signal(opinion, closed.trade, closed.time_us))

    def _note_opinion(self, opinion: Opinion, time_us: int) -> bool:
        """Note an opinion; return whether it is a signal."""
        if not isinstance(opinion, Opinion):
            raise TypeError(f"an opinion must be an Opinion, not {type(opinion).__name__}")
        memory, held = self._memory, _HELD[opinion.side]
        before, memory.held = memory.held, held
        if held == "neither" or before is None or held == before:
            return False
        last_us = memory.signals_us.get(held)
        return last_us is None or abs(time_us - last_us) >= self._cooldown_us

    def _signal(self, opinion: Opinion, trade: Trade | Last, time_us: int) -> Signal:
        side = _HELD[opinion.side]
        # Copies of plain types: a user's class may use others, and change them later.
        values = {str.__str__(name): float(value) for name, value in opinion.values.items()}
        checked = Opinion(None if side == "neither" else side, float(opinion.strength), values)
        assert checked.side is not None
        self._memory.signals_us[side] = time_us
        self._number += 1
        strategy, venue, symbol = self._id
        return Signal(
            strategy,
            venue,
            symbol,
            self._number,
            time_us,
            trade.trade_id,
            trade.price,
            checked.side,
            checked.strength,
            checked.values,
        )

    def _encode(self) -> None:
        """Encode the strategy's fields as they are now."""
        if self._strategy is not None:
            try:
                self._own = self._caller.call(_encode, self._strategy)
            except UserCodeError as error:
                self._disable(error)

    def _restore(self, state: bytes) -> None:
        try:
            saved, self._strategy = self._caller.call(_decode, state, self._kind)
        except UserCodeError as error:
            self._fail(error, "its state can't be restored, so it starts without one")
        else:
            self._memory = saved.memory

    def _disable(self, error: UserCodeError) -> None:
        self._strategy = None
        self._fail(error, "it is disabled until a restart")

    def _fail(self, error: UserCodeError, consequence: str) -> None:
        self._failures.append(StrategyFailure(*self._id, f"{error.reason}; {consequence}", error.traceback))


_encoder: Final = msgspec.msgpack.Encoder()
_saved_decoder: Final = msgspec.msgpack.Decoder(_Saved)


def _decode(state: bytes, kind: type[Strategy]) -> tuple[_Saved, Strategy]:
    saved = _saved_decoder.decode(state)
    return saved, msgspec.msgpack.decode(saved.own, type=kind)


def _encode(strategy: Strategy) -> bytes:
    own = _encoder.encode(strategy)
    if len(own) > MOST_STATE_BYTES:
        raise ValueError(f"a state of {len(own)} bytes; at most {MOST_STATE_BYTES} are allowed")
    return own
