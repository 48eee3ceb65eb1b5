"""One strategy of one symbol: makes signals of the opinions that it holds. Pure.

A signal is the turn of an opinion: where it becomes buy or sell, and was known to be something else. Within
the strategy's cooldown there is no second one to the same side: the turn is passed over, not made up for.
"""

import traceback
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from db.signals import NO_STATE, StrategyState
from tickplant.derived import Signal
from tickplant.intervals import SECOND_US
from tickplant.market import Trade
from workers.roles import Closed, Last, Run
from workers.strategies.base import Opinion, Strategy

MOST_STATE_BYTES: Final = 262_144
"""The longest state of one strategy and symbol: it may be written with every commit."""

_WRONG: Final = (Exception, SystemExit)
"""What a strategy may raise without harm to others: it must not end its worker, either."""


class StrategyFailure(NamedTuple):
    """A strategy that went wrong for a symbol."""

    strategy: str
    venue: str
    symbol: str
    reason: str
    """The error, and what follows from it."""
    traceback: str


class _Memory(Struct, array_like=True):
    """What is kept of a strategy besides its own state."""

    held: Literal["buy", "sell", "neither"] | None = None
    """Its last opinion; None before the first."""
    signals_us: dict[str, int] = {}
    """The venue's time of the last signal, by side."""


class _Saved(Struct, frozen=True, array_like=True):
    """What stands in the column `state`."""

    memory: _Memory
    own: Raw
    """The strategy's fields, by name."""


class Runner:
    """Runs one strategy; puts it aside, for good, when it raises."""

    def __init__(self, venue: str, symbol: str, kind: type[Strategy], stored: StrategyState | None) -> None:
        """Begin with what the database holds; None for nothing yet."""
        self.strategy = kind()
        self._id = kind.name, venue, symbol
        self._cooldown_us = round(kind.cooldown_s * SECOND_US)
        self._memory = _Memory()
        self._number = 0
        self._stored = stored
        self._failures: list[StrategyFailure] = []
        if stored is not None:
            self._number = stored.number
            if stored.state != NO_STATE:
                self._restore(stored.state)
        self._own = _encode(self.strategy)
        self._failed = False

    def run(self, run: Run) -> list[Signal]:
        """Take trades; return the signals they caused, in order."""
        signals: list[Signal] = []
        if not self._failed:
            try:
                for trade, opinion in self.strategy.run(run):
                    self._hold(opinion, trade, trade.event_time_us, signals)
            except _WRONG as error:  # whatever it does, all else goes on
                self._put_aside(error)
        return signals

    def closed(self, closed: Closed) -> Sequence[Signal]:
        """Take candles that have closed; return the signals they caused."""
        intervals = self.strategy.intervals
        if self._failed or not any(candle.interval in intervals for candle in closed.candles):
            return ()
        signals: list[Signal] = []
        try:
            opinion = self.strategy.closed(closed)
            if opinion is not None:
                self._hold(opinion, closed.trade, closed.time_us, signals)
        except _WRONG as error:  # likewise
            self._put_aside(error)
        return signals

    def take(self) -> StrategyState | None:
        """Return what is to be stored, if it has changed since the last call."""
        if not self._failed:
            try:
                self._own = _encode(self.strategy)
            except _WRONG as error:  # likewise; its fields are its own
                self._put_aside(error)
        state = StrategyState(*self._id, self._number, _encoder.encode(_Saved(self._memory, Raw(self._own))))
        if state == self._stored:
            return None
        self._stored = state
        return state

    def take_failures(self) -> list[StrategyFailure]:
        """Return what has gone wrong since the last call."""
        failures, self._failures = self._failures, []
        return failures

    def _hold(self, opinion: Opinion, trade: Trade | Last, time_us: int, signals: list[Signal]) -> None:
        """Take an opinion; add the signal that it is, if it is one."""
        memory, side = self._memory, opinion.side
        before, memory.held = memory.held, side or "neither"
        if side is None or before is None or side == before:
            return
        last_us = memory.signals_us.get(side)
        if last_us is not None and time_us - last_us < self._cooldown_us:
            return
        memory.signals_us[side] = time_us
        self._number += 1
        strategy, venue, symbol = self._id
        values = {name: float(value) for name, value in opinion.values.items()}
        signals.append(
            Signal(
                strategy,
                venue,
                symbol,
                self._number,
                time_us,
                trade.trade_id,
                trade.price,
                side,
                float(opinion.strength),
                values,
            )
        )

    def _restore(self, state: bytes) -> None:
        try:
            saved = _saved_decoder.decode(state)
            self.strategy = msgspec.msgpack.decode(saved.own, type=type(self.strategy))
        except _WRONG as error:  # what it refuses is its own affair, too
            self._fail(error, "its state can't be read any more, so it begins anew")
        else:
            self._memory = saved.memory

    def _put_aside(self, error: BaseException) -> None:
        self._failed = True
        self._fail(error, "it is put aside until a restart")

    def _fail(self, error: BaseException, consequence: str) -> None:
        # Of `traceback`, since an error may raise another where it is asked for its text.
        said = "".join(traceback.format_exception_only(error)).strip()
        text = "".join(traceback.format_exception(error))
        self._failures.append(StrategyFailure(*self._id, f"{said}; {consequence}", text))


_encoder: Final = msgspec.msgpack.Encoder()
_saved_decoder: Final = msgspec.msgpack.Decoder(_Saved)


def _encode(strategy: Strategy) -> bytes:
    own = _encoder.encode(strategy)
    if len(own) > MOST_STATE_BYTES:
        raise ValueError(f"a state of {len(own)} bytes; at most {MOST_STATE_BYTES} are kept")
    return own
