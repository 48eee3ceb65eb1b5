"""Handing a symbol's trades on in order of id: what follows a missing trade waits for it. Pure.

Candles merge in any order, but a signal or an alert that has been given can't be taken back. So where a
trade is missing, those after it are held until it has come, until the venue has said that it won't, or
until the wait is over. How long it has lasted is told by the stream's own entry ids, which carry the time
of writing: so a worker that lags, or reads an entry a second time, decides the same.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from tickplant.market import Trade
from workers.ledger import Ledger
from workers.ranges import Range, Ranges

MOST_HELD: Final = 50_000
"""Trades held at the most; beyond, the first gap is waited for no longer."""


class IdOrder:
    """Up to which id a symbol's trades have been handed on, and those that wait."""

    __slots__ = ("_blocked_at", "_given_up", "_held", "_since_ms", "_wait_ms", "cursor")

    def __init__(self, cursor: int | None, *, wait_ms: int) -> None:
        """Begin after a trade.

        Args:
            cursor: its id; None where none has come yet, so that the first one begins.
            wait_ms: how long a missing trade is waited for.
        """
        self.cursor = cursor
        """The last id handed on, or passed over."""
        self._wait_ms = wait_ms
        self._held: dict[int, Trade] = {}
        self._since_ms: int | None = None
        self._blocked_at: int | None = None
        self._given_up = Ranges()

    @property
    def waiting(self) -> bool:
        """Whether trades are held."""
        return bool(self._held)

    @property
    def since_ms(self) -> int | None:
        """When the wait for the first missing trade began; None where nothing waits."""
        return self._since_ms

    def resume(self, held: Iterable[Trade], since_ms: int | None) -> None:
        """Hold trades that were held before."""
        self._held = {trade.trade_id: trade for trade in held}
        self._since_ms = since_ms

    def push(self, trades: Sequence[Trade], ledger: Ledger, now_ms: int) -> Sequence[Trade]:
        """Take new trades.

        Args:
            trades: in order of arrival; the ledger has admitted them.
            ledger: says what is missing.
            now_ms: the time of their entry.

        Returns:
            Those that can be handed on now, held ones among them, in order of id; the same object where these
            are just the ones given. Trades that come too late are left out.
        """
        if self.cursor is None:
            self.cursor = min(trade.trade_id for trade in trades) - 1
        if not ledger.numbered:
            self.cursor = trades[-1].trade_id
            return trades
        if not self._held and trades[-1].trade_id == self.cursor + len(trades) and _consecutive(trades):
            self.cursor = trades[-1].trade_id
            return trades
        for trade in trades:
            if trade.trade_id > self.cursor:
                self._held[trade.trade_id] = trade
        return self.release(ledger, now_ms)

    def release(self, ledger: Ledger, now_ms: int) -> list[Trade]:
        """Return those that need not wait any longer, in order of id.

        Args:
            ledger: says what is missing.
            now_ms: the time of the entry that may have changed that.
        """
        released: list[Trade] = []
        while self._held:
            gap = self._first_missing(ledger)
            if gap is None or gap[0] != self._blocked_at:  # else nothing before it can have come
                released += self._take_before(gap)
            if gap is None or not self._held:
                break
            self._blocked_at = gap[0]
            if self._since_ms is None or released:
                self._since_ms = now_ms
            if now_ms - self._since_ms < self._wait_ms and len(self._held) <= MOST_HELD:
                return released
            self.cursor = gap[1]
        if self._since_ms is not None:
            self._since_ms = self._blocked_at = None
            self._given_up = Ranges()
        return released

    def give_up(self, low: int, high: int) -> None:
        """Wait no longer for trades that the venue does not give."""
        self._given_up.add(low, high)

    def blocked_by(self, ledger: Ledger) -> Range | None:
        """Return the missing ids that are waited for; None where nothing waits."""
        return self._first_missing(ledger) if self._held else None

    def _first_missing(self, ledger: Ledger) -> Range | None:
        assert self.cursor is not None
        low = self.cursor + 1
        while (gap := ledger.missing.first_from(low)) is not None:
            lost = self._given_up.first_from(gap[0])
            if lost is None or lost[0] > gap[0]:
                return gap
            low = lost[1] + 1
        return None

    def _take_before(self, gap: Range | None) -> list[Trade]:
        """Take what is held before a gap; all where there is none."""
        ids = sorted(self._held if gap is None else [key for key in self._held if key < gap[0]])
        if ids:
            self.cursor = ids[-1]
        return [self._held.pop(key) for key in ids]


def _consecutive(trades: Sequence[Trade]) -> bool:
    first = trades[0].trade_id
    return [trade.trade_id for trade in trades] == list(range(first, first + len(trades)))
