"""Tapes for tests of the sandbox: made of given trades, and standing still."""

from collections.abc import Collection, Iterable

from sandbox.history import SandboxHistory
from sandbox.tape import Tape
from sandbox.venue import ParsedFrame, SandboxVenue, SyntheticTrade
from tickplant.market import SymbolId, Trade


class Stopped:
    """A tape at a fixed position."""

    def __init__(self, tape: Tape, position: int | None = None) -> None:
        self._tape = tape
        self._position = len(tape) if position is None else position

    @property
    def symbols(self) -> Collection[SymbolId]:
        return self._tape.columns.keys()

    def history(self, symbol: SymbolId) -> SandboxHistory:
        return self._tape.history(symbol, self._position)

    def now_us(self) -> int:
        return self._tape.event_times_us[max(0, self._position - 1)]


def make_tape(venue: SandboxVenue, trades: Iterable[Trade]) -> Tape:
    """Return a tape with a frame for each trade, sent when it happened."""
    tape = Tape(venue)
    for trade in trades:
        made = SyntheticTrade(0, trade.trade_id, trade.price, trade.size, trade.side or "buy")
        (text,) = venue.encode_order(trade.symbol, [made], trade.event_time_us)
        frame = ParsedFrame(venue.stream_of(trade.symbol), text, trade.event_time_us, (trade,))
        tape.add(frame, trade.event_time_us * 1000)
    return tape
