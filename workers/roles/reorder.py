"""Reorders a symbol's trades by id: trades after a missing one are held until it has arrived. Pure.

Candles merge in any order, but a signal or an alert that has been published can't be withdrawn. So where a
trade is missing, those after it are held until it has arrived, until the venue turns out to have no such
trade, or until the wait is over, which starts when the gap is found. The wait is measured by the stream's own
entries (`workers/roles/wait_clock.py`): so a worker that lags, or reads an entry again, decides the same.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tickplant.kernel import TradeColumns
from tickplant.market import Trade
from tickplant.trade_rules import LATEST_US
from workers.ledger import Ledger
from workers.ranges import Range, Ranges
from workers.roles.wait_clock import MAX_STEP_MS, WaitClock

MAX_HELD: Final = 50_000
"""Trades held at most; beyond, the first gap is skipped."""


class ReorderState(Struct, frozen=True, array_like=True):
    """The saved state of a buffer that holds trades; the trades themselves are stored anyway."""

    cursor: int
    """The last id released or skipped."""
    held_from_us: int
    """The earliest event time of the trades held."""
    found: list[tuple[int, int]]
    """The last id of each gap found after the cursor, and when, by the clock."""
    abandoned: list[Range]
    """Missing ids that are no longer waited for."""
    clock: WaitClock | None = None
    """None: saved by a version that measured waits by entry times; the wait starts again."""


class ReorderBuffer:
    """A symbol's trades after a missing one, and the id up to which trades have been released."""

    __slots__ = (
        "_abandoned",
        "_clock",
        "_found",
        "_held",
        "_ids",
        "_max_step_ms",
        "_new_gaps",
        "_wait_ms",
        "cursor",
    )

    def __init__(self, cursor: int | None, *, wait_ms: int, max_step_ms: int = MAX_STEP_MS) -> None:
        """Start after a trade.

        Args:
            cursor: its id; None to start with the first trade pushed.
            wait_ms: how long a missing trade is waited for.
            max_step_ms: the most that one entry adds to that time.
        """
        self.cursor = cursor
        """The last id released or skipped."""
        self._wait_ms = wait_ms
        self._max_step_ms = max_step_ms
        self._clock = WaitClock()
        self._held: dict[int, Trade] = {}
        self._ids: list[int] = []  # of those held, ascending
        self._found: list[tuple[int, int]] = []
        self._abandoned = Ranges()
        self._new_gaps: list[Range] = []

    @classmethod
    def restore(cls, state: ReorderState, held: Iterable[Trade], *, wait_ms: int) -> "ReorderBuffer":
        """Restore a saved state, with the stored trades after its cursor."""
        buffer = cls(state.cursor, wait_ms=wait_ms)
        buffer._held = {trade.trade_id: trade for trade in held}
        buffer._ids = sorted(buffer._held)
        if state.clock is None:
            buffer._found = [(last, 0) for last, _ in state.found]
        else:
            buffer._found = list(state.found)
            buffer._clock = replace(state.clock)
        buffer._abandoned = Ranges(state.abandoned)
        return buffer

    @property
    def held_state(self) -> ReorderState | None:
        """The state to save while trades are held; None while none are."""
        if self.cursor is None or not self._held:
            return None
        held_from_us = min([trade.event_time_us for trade in self._held.values()])
        return ReorderState(
            self.cursor, held_from_us, list(self._found), self._abandoned.members, replace(self._clock)
        )

    @property
    def idle_state(self) -> ReorderState | None:
        """The state to save while no trades are held; None before the first trade."""
        return None if self.cursor is None else ReorderState(self.cursor, LATEST_US, [], [], WaitClock())

    @property
    def holding(self) -> bool:
        """Whether trades are held."""
        return bool(self._ids)

    def expects(self, trades: TradeColumns, ledger: Ledger) -> bool:
        """Return whether new trades are the next ones in order of id, while none are held."""
        if not ledger.numbered or self.cursor is None:
            return not ledger.numbered
        return not self._ids and trades.lowest_id == self.cursor + 1 and trades.consecutive

    def pass_through(self, trades: TradeColumns, ledger: Ledger) -> bool:
        """Release new trades at once if they are the next ones; return False, changing nothing, if not."""
        if self.expects(trades, ledger):
            self.cursor = trades.highest_id
            return True
        return False

    def is_past(self, trades: TradeColumns, ledger: Ledger) -> bool:
        """Return whether new trades are all before the cursor, while none are held: none is released."""
        return (
            ledger.numbered
            and self.cursor is not None
            and not self._ids
            and trades.highest_id <= self.cursor
            and not ledger.missing.reaches(self.cursor + 1)
        )

    def push(self, trades: Sequence[Trade], ledger: Ledger, entry_ms: int) -> Sequence[Trade]:
        """Add new trades.

        Args:
            trades: in order of arrival, added to the ledger.
            ledger: has the missing ids.
            entry_ms: the time of their entry.

        Returns:
            The trades to release now, held ones among them, in order of id; the same object where these are
            exactly the ones given. Trades before the cursor are left out.
        """
        if self.cursor is None:
            self.cursor = min(trade.trade_id for trade in trades) - 1
        if not ledger.numbered:
            self.cursor = trades[-1].trade_id
            return trades
        if not self._ids and trades[-1].trade_id == self.cursor + len(trades) and _consecutive(trades):
            self.cursor = trades[-1].trade_id
            return trades
        if not self._ids:
            self._clock = WaitClock()
        last = self._ids[-1] if self._ids else self.cursor
        for trade in trades:
            if trade.trade_id > self.cursor:
                self._held[trade.trade_id] = trade
                insort(self._ids, trade.trade_id)
        gaps = ledger.missing.beyond(last)
        self._new_gaps += gaps
        self._note_entry(entry_ms, clock=False)
        self._found += [(high, self._clock.now_ms) for _, high in gaps]
        return self._release(ledger)

    def release(self, ledger: Ledger, entry_ms: int, *, clock: bool = False) -> list[Trade]:
        """Return the trades that need not wait any longer, in order of id.

        Args:
            ledger: has the missing ids.
            entry_ms: the time of the entry that caused the call.
            clock: whether it is a clock entry.
        """
        self._note_entry(entry_ms, clock=clock)
        return self._release(ledger)

    def _note_entry(self, entry_ms: int, *, clock: bool) -> None:
        self._clock.note_entry(entry_ms, clock=clock, max_step_ms=self._max_step_ms)

    def _release(self, ledger: Ledger) -> list[Trade]:
        now_ms = self._clock.now_ms
        released: list[Trade] = []
        while self._ids:
            gap = self._first_missing(ledger)
            released += self._take_before(gap)
            if gap is None or not self._ids:
                break
            if now_ms - self._found_ms(gap) < self._wait_ms and len(self._ids) <= MAX_HELD:
                return released
            self.cursor = gap[1]
        self._found, self._abandoned = [], Ranges()
        return released

    def abandon(self, low: int, high: int) -> None:
        """Stop waiting for trades that can't be obtained."""
        if self._ids:
            self._abandoned.add(low, high)

    def take_new_gaps(self) -> list[Range]:
        """Return the missing ids found since the last call, even if they have arrived meanwhile."""
        gaps, self._new_gaps = self._new_gaps, []
        return gaps

    def _first_missing(self, ledger: Ledger) -> Range | None:
        assert self.cursor is not None
        low = self.cursor + 1
        while (gap := ledger.missing.first_from(low)) is not None:
            abandoned = self._abandoned.first_from(gap[0])
            if abandoned is None or abandoned[0] > gap[0]:
                return gap
            low = abandoned[1] + 1
        return None

    def _found_ms(self, gap: Range) -> int:
        """Return when a gap was found; it may be the rest of a larger one."""
        place = bisect_left(self._found, (gap[1], 0))
        if place == len(self._found):  # a repair has opened it since
            self._found.append((gap[1], self._clock.now_ms))
        del self._found[:place]  # the gaps before it are closed
        return self._found[0][1]

    def _take_before(self, gap: Range | None) -> list[Trade]:
        """Remove and return the trades held before a gap; all where there is none."""
        count = len(self._ids) if gap is None else bisect_left(self._ids, gap[0])
        ids, self._ids = self._ids[:count], self._ids[count:]
        if ids:
            self.cursor = ids[-1]
        return [self._held.pop(key) for key in ids]


def _consecutive(trades: Sequence[Trade]) -> bool:
    first = trades[0].trade_id
    return [trade.trade_id for trade in trades] == list(range(first, first + len(trades)))
