"""Reads ranges of ids from a venue's history, page by page, whether it is asked by id or by time."""

from bisect import bisect_left, insort
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from ingest.history.client import HistoryUnavailableError, VenueHistory
from ingest.history.page import PAGE_IDS, HistoryPage, TimeBounds, UnavailableCause, UnavailableIds
from ingest.venues.base import HistoryAdapter, MissingRange, UnreadableError
from tickplant.clock import NowUs, now_us
from tickplant.market import Trade

_FIRST_STEP_BACK_US: Final = 60_000_000
_STEP_FACTOR: Final = 8
_MOST_GUESSES: Final = 60
_MOST_MARKS: Final = 4_096
_MOST_UNREADABLE: Final = 3
"""After so many unreadable answers of one id each, and no other, it is not the ids that are the matter."""

_MOST_EMPTY: Final = 20
"""Pages in a row without a trade, after which the rest of a range is not asked for."""


class HistoryPart(NamedTuple):
    """What history has of a range of ids."""

    first_id: int
    last_id: int
    trades: tuple[Trade, ...]
    """Ascending."""
    unavailable: list[UnavailableIds]
    """All ids of the range whose trades are not there."""


class HistoryReader:
    """One symbol's history. Remembers when trades happened, to find others by."""

    def __init__(
        self, venue: HistoryAdapter, symbol: str, history: VenueHistory, clock_us: NowUs = now_us
    ) -> None:
        """Take what is needed.

        Args:
            venue: the adapter.
            symbol: as the venue writes it.
            history: where to ask.
            clock_us: the present, to begin looking from where no trade is known.
        """
        self._venue = venue
        self._symbol = symbol
        self._history = history
        self._clock_us = clock_us
        self._unreadable = 0
        self.marks: list[tuple[int, int]] = []
        """Ids and times of some trades, ascending."""

    def add_known(self, *trades: Trade | None) -> None:
        """Note when trades happened."""
        for trade in trades:
            if trade is None:
                continue
            mark = trade.trade_id, trade.event_time_us
            place = bisect_left(self.marks, mark)
            if self.marks[place : place + 1] != [mark]:
                insort(self.marks, mark)
        if len(self.marks) > _MOST_MARKS:
            del self.marks[1:-1:2]

    async def read(self, first_id: int, last_id: int, bounds: TimeBounds) -> AsyncIterator[HistoryPart]:
        """Yield what history has of a range of ids, part by part; together they are the range.

        Raises:
            UnavailableError: no answer, or none now.
            RefusedError: the venue won't give them.
        """
        parts = self._read_by_time if self._venue.history_by_time else self._read_by_id
        async for part in parts(first_id, last_id, bounds):
            yield part

    async def read_page(self, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
        """Return one page.

        Raises:
            UnavailableError: no answer, or none now.
            RefusedError: the venue won't.
            UnreadableError: the answer can't be decoded.
        """
        page = await self._history.read_page(gap, bounds)
        self._unreadable = 0
        self.add_known(page.first, page.last)
        return page

    async def _read_by_id(
        self, first_id: int, last_id: int, bounds: TimeBounds
    ) -> AsyncIterator[HistoryPart]:
        reached = False  # whether history is known to have come to the end of the range
        empty = 0
        low = first_id
        while low <= last_id:
            part = await self._read_on(low, last_id, bounds)
            if part.last_id < low:  # nothing from there on, in this page
                part = _late(low, min(low + PAGE_IDS - 1, last_id))
            yield part
            low = part.last_id + 1
            empty = 0 if part.trades else empty + 1
            if not empty or low > last_id:
                continue
            if not reached:
                end = await self._read_on(last_id, last_id, bounds)
                reached = end.last_id == last_id
            if not reached or empty == _MOST_EMPTY:
                yield _late(low, last_id)
                return

    async def _read_on(self, low: int, last_id: int, bounds: TimeBounds) -> HistoryPart:
        """Read one page from an id on; by halves where that can't be decoded, down to the id in the way."""
        try:
            page = await self.read_page(MissingRange(self._symbol, low, last_id, bounds.after_us), bounds)
        except UnreadableError:
            return await self._read_alone(low, min(low + PAGE_IDS - 1, last_id), bounds)
        return _part(page, low, last_id)

    async def _read_alone(self, low: int, high: int, bounds: TimeBounds) -> HistoryPart:
        try:
            page = await self.read_page(
                MissingRange(self._symbol, low, high, bounds.after_us, alone=True), bounds
            )
        except UnreadableError as error:
            if low == high:
                return self._unreadable_part(low, high, error)
            middle = (low + high) // 2
            left = await self._read_alone(low, middle, bounds)
            right = await self._read_alone(middle + 1, high, bounds)
            return HistoryPart(low, high, left.trades + right.trades, left.unavailable + right.unavailable)
        part = _part(page, low, high)
        rest = _late(part.last_id + 1, high).unavailable if part.last_id < high else []
        return part._replace(last_id=high, unavailable=part.unavailable + rest)

    def _unreadable_part(self, low: int, high: int, error: UnreadableError) -> HistoryPart:
        """Return that the answer of some ids can't be decoded.

        Raises:
            UnavailableError: nothing can be, as it seems.
        """
        self._unreadable += 1
        if self._unreadable > _MOST_UNREADABLE:
            raise HistoryUnavailableError(f"no page of history can be read: {error}") from error
        return HistoryPart(low, high, (), [UnavailableIds(low, high, UnavailableCause.REFUSED, str(error))])

    async def _read_by_time(
        self, first_id: int, last_id: int, bounds: TimeBounds
    ) -> AsyncIterator[HistoryPart]:
        low = first_id
        while low <= last_id:
            try:
                page = await self._locate(low, last_id, bounds)
            except UnreadableError as error:
                yield self._unreadable_part(low, last_id, error)
                return
            reached = page.last.trade_id if page.last else -1
            if reached < low:
                yield _late(low, last_id)
                return
            yield _part(page, low, last_id)
            low = reached + 1

    async def _locate(self, trade_id: int, last_id: int, bounds: TimeBounds) -> HistoryPage:
        """Return a page that begins before an id and reaches it, or proves that there is none yet.

        It fetches near the trades that are known: from the one before, where it is near; else between the one
        before and the one after, at a guess; else back from the one after, in growing steps.
        """
        guesses = 0
        back_us = _FIRST_STEP_BACK_US
        ceiling = last_id + 1, self._clock_us()  # what happened from this time on has at least this id
        while True:
            low, high = self._around(trade_id)
            if high is not None and high[1] < ceiling[1]:
                ceiling = high
            near = low is not None and (trade_id - low[0] <= PAGE_IDS // 2 or high is None)
            if low is not None and (near or guesses == _MOST_GUESSES or ceiling[1] <= low[1]):
                since_us = low[1]
            elif not guesses and (low[1] if low else 0) < bounds.after_us < ceiling[1]:
                since_us = bounds.after_us
            elif low is not None:
                since_us = _guess(trade_id, low, ceiling, bisecting=guesses % 2 == 1)
            else:
                since_us = max(0, ceiling[1] - back_us)
                back_us *= _STEP_FACTOR
            page = await self.read_page(MissingRange(self._symbol, trade_id, last_id, since_us), bounds)
            guesses = min(guesses + 1, _MOST_GUESSES)
            from_before = since_us == 0 or (low is not None and since_us <= low[1])
            if page.first is None or page.last is None or page.first.trade_id > trade_id:
                if from_before:
                    return page  # it lacks the id, though asked for from before it
                if since_us < ceiling[1]:
                    ceiling = page.first.trade_id if page.first else ceiling[0], since_us
            elif page.last.trade_id >= trade_id:
                return page
            elif low is not None and since_us == low[1] and page.last.trade_id <= low[0]:
                return page  # nothing came after the one before

    def _around(self, trade_id: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Return the marks next to an id, below and not below it."""
        place = bisect_left(self.marks, (trade_id, 0))
        below = self.marks[place - 1] if place else None
        return below, self.marks[place] if place < len(self.marks) else None


def _guess(trade_id: int, low: tuple[int, int], high: tuple[int, int], *, bisecting: bool) -> int:
    """Return when the trade a little before an id may have happened; not before the one that is known."""
    (low_id, low_us), (high_id, high_us) = low, high
    if bisecting or high_id <= trade_id:
        return (low_us + high_us) // 2
    aim = trade_id - PAGE_IDS // 4
    return max(low_us, low_us + (aim - low_id) * (high_us - low_us) // (high_id - low_id))


def _part(page: HistoryPage, low: int, high: int) -> HistoryPart:
    """Return what a page says of a range from its first id on, as far as it goes."""
    covered = [ids.last_id for ids in page.unavailable] + ([page.last.trade_id] if page.last else [])
    return HistoryPart(low, min(high, max(covered, default=low - 1)), page.trades, page.unavailable)


def _late(low: int, high: int) -> HistoryPart:
    """Return that history has not come to a range."""
    return HistoryPart(
        low,
        high,
        (),
        [UnavailableIds(low, high, UnavailableCause.LATE, f"the venue's history has nothing from {low} on")],
    )
