"""One attempt to fetch the missing trades of one symbol from its venue's history."""

from collections.abc import Awaitable, Callable, Sequence

from ingest.history.gap_fetch import GapFetch, missing_ranges
from ingest.history.page import PAGE_IDS, TimeBounds, UnavailableCause, UnavailableIds, early
from ingest.history.ranges import IdRange, merge_ranges
from ingest.history.reader import HistoryPart, HistoryReader
from tickplant.clock import now_us
from tickplant.market import Trade

OnTrades = Callable[[Sequence[Trade]], Awaitable[None]]
"""Receives fetched trades."""


class FetchAttempt:
    """One attempt at the due fetches of one symbol."""

    def __init__(
        self, reader: HistoryReader, fetches: Sequence[GapFetch], newest: Trade | None, on_trades: OnTrades
    ) -> None:
        """Initialize the attempt.

        Args:
            reader: of the symbol's history.
            fetches: those that are due.
            newest: the symbol's newest published trade; None if there is none.
            on_trades: called with the missing trades of each page.
        """
        self._reader = reader
        self._fetches = fetches
        self._newest = newest
        self._on_trades = on_trades
        self._wanted = sorted(missing_ranges(fetches))
        self._unread = merge_ranges(self._wanted, within=PAGE_IDS)
        self._found: list[UnavailableIds] = []
        self._history_start = 0
        self._started_us = now_us()

    async def run(self) -> list[UnavailableIds]:
        """Read all missing ids; return those that are unavailable.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses.
        """
        while self._unread:
            if self._unread[0][1] < self._history_start:
                self._found.append(early(self._unread.pop(0), self._history_start))
            else:
                await self._read_range()
        return self._found

    def found_before(self, error: Exception) -> list[UnavailableIds]:
        """Return the unavailable ids after an error of `run`: those found before it, and all unread ids."""
        return self._found + [_late(ids, str(error)) for ids in self._unread if ids[0] <= ids[1]]

    async def _read_range(self) -> None:
        """Read the first unread range."""
        low, high = self._unread[0]
        async for part in self._reader.read(low, high, self._bounds(high)):
            await self._on_trades([trade for trade in part.trades if self._is_wanted(trade.trade_id)])
            self._found += part.unavailable
            self._history_start = max(self._history_start, part.history_start)
            self._unread[0] = part.last_id + 1, high
            if part.last_id < high and self._is_live(part):
                self._found.append(_late(self._unread[0], "not traded yet when it was requested"))
                break
        self._unread.pop(0)

    def _bounds(self, last_id: int) -> TimeBounds:
        """Return the times between which the trades up to an id must lie."""
        after_us = min(fetch.gap.after_time_us for fetch in self._fetches)
        newest = self._newest
        if newest is not None and newest.trade_id > last_id:
            return TimeBounds(after_us, newest.event_time_us)
        return TimeBounds(after_us, max(now_us(), newest.event_time_us if newest else 0))

    def _is_live(self, part: HistoryPart) -> bool:
        """Return whether history has reached trades newer than the attempt, with no known gap beyond.

        Newer trades arrive over the connection. The last id of a suspected gap is a guess: without this
        check, reading would follow a symbol that trades faster than history is read, and delay known gaps.
        """
        if not part.trades or part.trades[-1].event_time_us < self._started_us:
            return False
        return all(fetch.suspected for fetch in self._fetches if fetch.gap.last_id > part.last_id)

    def _is_wanted(self, trade_id: int) -> bool:
        return any(low <= trade_id <= high for low, high in self._wanted)


def _late(ids: IdRange, reason: str) -> UnavailableIds:
    return UnavailableIds(*ids, UnavailableCause.LATE, reason)
