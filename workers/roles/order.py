"""Passes a symbol's trades on in order of id: what follows a missing trade waits for it. Pure.

Candles merge in any order, but a signal or an alert that has been given can't be taken back. So where a
trade is missing, those after it are held until it has come, until the venue has no such trade, or
until the wait is over, which starts when the gap is found. Its length is measured by the stream's own
entries (`workers/roles/wait_clock.py`): so a worker that lags, or reads an entry again, decides the same.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tickplant.market import Trade
from tickplant.trade_rules import LATEST_US
from workers.ledger import Ledger
from workers.ranges import Range, Ranges
from workers.roles.wait_clock import MOST_STEP_MS, WaitClock

MOST_HELD: Final = 50_000
"""Trades held at the most; beyond, the first gap is waited for no longer."""


class HeldOrder(Struct, frozen=True, array_like=True):
    """What is kept of an order whose trades wait; they themselves are stored anyway."""

    cursor: int
    """The last id handed on, or passed over."""
    held_from_us: int
    """The least event time of the trades held."""
    found: list[tuple[int, int]]
    """The last id of each gap that was found behind the cursor, and when, by the clock."""
    given_up: list[Range]
    """Missing ids that are waited for no longer."""
    clock: WaitClock | None = None
    """None: it was saved when gaps were found by entry times; the wait starts again."""


class IdOrder:
    """Up to which id a symbol's trades have been handed on, and those that wait."""

    __slots__ = (
        "_clock",
        "_found",
        "_given_up",
        "_held",
        "_ids",
        "_most_step_ms",
        "_new_gaps",
        "_wait_ms",
        "cursor",
    )

    def __init__(self, cursor: int | None, *, wait_ms: int, most_step_ms: int = MOST_STEP_MS) -> None:
        """Begin after a trade.

        Args:
            cursor: its id; None where none has come yet, so that the first one starts.
            wait_ms: how long a missing trade is waited for.
            most_step_ms: how much of that one entry adds at the most.
        """
        self.cursor = cursor
        """The last id handed on, or passed over."""
        self._wait_ms = wait_ms
        self._most_step_ms = most_step_ms
        self._clock = WaitClock()
        self._held: dict[int, Trade] = {}
        self._ids: list[int] = []  # of those held, ascending
        self._found: list[tuple[int, int]] = []
        self._given_up = Ranges()
        self._new_gaps: list[Range] = []

    @classmethod
    def resume(cls, kept: HeldOrder, held: Iterable[Trade], *, wait_ms: int) -> "IdOrder":
        """Go on with what was kept, and the trades after its cursor."""
        order = cls(kept.cursor, wait_ms=wait_ms)
        order._held = {trade.trade_id: trade for trade in held}
        order._ids = sorted(order._held)
        if kept.clock is None:
            order._found = [(last, 0) for last, _ in kept.found]
        else:
            order._found = list(kept.found)
            order._clock = replace(kept.clock)
        order._given_up = Ranges(kept.given_up)
        return order

    @property
    def kept(self) -> HeldOrder | None:
        """What to keep while trades are held; None while none are."""
        if self.cursor is None or not self._held:
            return None
        held_from_us = min([trade.event_time_us for trade in self._held.values()])
        return HeldOrder(
            self.cursor, held_from_us, list(self._found), self._given_up.members, replace(self._clock)
        )

    @property
    def idle(self) -> HeldOrder | None:
        """What to keep while no trades are held; None where none has come."""
        return None if self.cursor is None else HeldOrder(self.cursor, LATEST_US, [], [], WaitClock())

    @property
    def waiting(self) -> bool:
        """Whether trades are held."""
        return bool(self._ids)

    def push(self, trades: Sequence[Trade], ledger: Ledger, entry_ms: int) -> Sequence[Trade]:
        """Take new trades.

        Args:
            trades: in order of arrival; the ledger has admitted them.
            ledger: has the missing ids.
            entry_ms: the time of their entry.

        Returns:
            Those that can be handed on now, held ones among them, in order of id; the same object where these
            are just the ones given. Trades that come too late are left out.
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
        self._pass_entry(entry_ms, clock=False)
        self._found += [(high, self._clock.now_ms) for _, high in gaps]
        return self._release(ledger)

    def release(self, ledger: Ledger, entry_ms: int, *, clock: bool = False) -> list[Trade]:
        """Return those that need not wait any longer, in order of id.

        Args:
            ledger: has the missing ids.
            entry_ms: the time of the entry that may have changed that.
            clock: whether it is a clock entry.
        """
        self._pass_entry(entry_ms, clock=clock)
        return self._release(ledger)

    def _pass_entry(self, entry_ms: int, *, clock: bool) -> None:
        self._clock.pass_entry(entry_ms, clock=clock, most_step_ms=self._most_step_ms)

    def _release(self, ledger: Ledger) -> list[Trade]:
        now_ms = self._clock.now_ms
        released: list[Trade] = []
        while self._ids:
            gap = self._first_missing(ledger)
            released += self._take_before(gap)
            if gap is None or not self._ids:
                break
            if now_ms - self._found_ms(gap) < self._wait_ms and len(self._ids) <= MOST_HELD:
                return released
            self.cursor = gap[1]
        self._found, self._given_up = [], Ranges()
        return released

    def give_up(self, low: int, high: int) -> None:
        """Wait no longer for trades that the venue does not give."""
        if self._ids:
            self._given_up.add(low, high)

    def take_new_gaps(self) -> list[Range]:
        """Return the missing ids found since the last call, also where they have come meanwhile."""
        gaps, self._new_gaps = self._new_gaps, []
        return gaps

    def _first_missing(self, ledger: Ledger) -> Range | None:
        assert self.cursor is not None
        low = self.cursor + 1
        while (gap := ledger.missing.first_from(low)) is not None:
            lost = self._given_up.first_from(gap[0])
            if lost is None or lost[0] > gap[0]:
                return gap
            low = lost[1] + 1
        return None

    def _found_ms(self, gap: Range) -> int:
        """Return when a gap was found; it may be what is left of a larger one."""
        place = bisect_left(self._found, (gap[1], 0))
        if place == len(self._found):  # it has been made since, by a repair
            self._found.append((gap[1], self._clock.now_ms))
        del self._found[:place]  # gaps before it are no more
        return self._found[0][1]

    def _take_before(self, gap: Range | None) -> list[Trade]:
        """Take what is held before a gap; all where there is none."""
        count = len(self._ids) if gap is None else bisect_left(self._ids, gap[0])
        ids, self._ids = self._ids[:count], self._ids[count:]
        if ids:
            self.cursor = ids[-1]
        return [self._held.pop(key) for key in ids]


def _consecutive(trades: Sequence[Trade]) -> bool:
    first = trades[0].trade_id
    return [trade.trade_id for trade in trades] == list(range(first, first + len(trades)))
