"""Reads ranges of ids from a venue's history page by page, with requests by id or by time."""

from bisect import bisect_left, insort
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from ingest.history.client import HistoryUnavailableError, VenueHistory
from ingest.history.page import PAGE_IDS, HistoryPage, TimeBounds, UnavailableCause, UnavailableIds
from ingest.venues.base_rest import HistoryAdapter, MissingRange, UnreadableError
from tickplant.clock import NowUs, now_us
from tickplant.market import Trade

_FIRST_STEP_BACK_US: Final = 60_000_000
_STEP_FACTOR: Final = 8
"""Each step back in time is this many times longer than the one before."""
_MOST_GUESSES: Final = 60
_MOST_KNOWN: Final = 4_096
_MOST_UNREADABLE: Final = 3
"""After more unreadable answers for single ids in a row, history counts as unavailable."""

_MOST_EMPTY: Final = 20
"""After this many pages in a row without a trade, the rest of a range is not requested."""


class HistoryPart(NamedTuple):
    """A range of ids read from history."""

    first_id: int
    last_id: int
    trades: tuple[Trade, ...]
    """Ascending."""
    unavailable: list[UnavailableIds]
    """All other ids of the range."""
    history_start: int = 0
    """The lowest id that history has, where the part shows it: it has no lower one."""


class HistoryReader:
    """Reads one symbol's history; finds trades by time with the help of known trades."""

    def __init__(
        self, venue: HistoryAdapter, symbol: str, history: VenueHistory, clock_us: NowUs = now_us
    ) -> None:
        """Initialize the reader.

        Args:
            venue: the adapter.
            symbol: in the venue's notation.
            history: the venue's.
            clock_us: the current time, from which a search starts if no trade is known.
        """
        self._venue = venue
        self._symbol = symbol
        self._history = history
        self._clock_us = clock_us
        self._unreadable = 0
        self.known: list[tuple[int, int]] = []
        """Ids and times of known trades, ascending."""

    def add_known(self, *trades: Trade | None) -> None:
        """Add trades to the known ones."""
        for trade in trades:
            if trade is None:
                continue
            entry = trade.trade_id, trade.event_time_us
            index = bisect_left(self.known, entry)
            if self.known[index : index + 1] != [entry]:
                insort(self.known, entry)
        if len(self.known) > _MOST_KNOWN:
            del self.known[1:-1:2]

    async def read(self, first_id: int, last_id: int, bounds: TimeBounds) -> AsyncIterator[HistoryPart]:
        """Yield consecutive parts that make up a range of ids.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses.
        """
        parts = self._read_by_time if self._venue.history_by_time else self._read_by_id
        async for part in parts(first_id, last_id, bounds):
            yield part

    async def read_page(self, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
        """Return one page.

        Raises:
            HistoryUnavailableError: no answer, or a temporary refusal.
            HistoryRefusedError: the venue refuses.
            UnreadableError: the answer can't be decoded.
        """
        page = await self._history.read_page(gap, bounds)
        self._unreadable = 0
        self.add_known(page.first, page.last)
        return page

    async def _read_by_id(
        self, first_id: int, last_id: int, bounds: TimeBounds
    ) -> AsyncIterator[HistoryPart]:
        end_reached = False  # whether history is known to include the last id
        empty_count = 0
        low = first_id
        while low <= last_id:
            part = await self._read_from(low, last_id, bounds)
            if part.last_id < low:  # the page ends before that id
                part = _late(low, min(low + PAGE_IDS - 1, last_id))
            yield part
            low = part.last_id + 1
            empty_count = 0 if part.trades else empty_count + 1
            if not empty_count or low > last_id:
                continue
            if not end_reached:
                end = await self._read_from(last_id, last_id, bounds)
                end_reached = end.last_id == last_id
            if not end_reached or empty_count == _MOST_EMPTY:
                yield _late(low, last_id)
                return

    async def _read_from(self, low: int, last_id: int, bounds: TimeBounds) -> HistoryPart:
        """Read one page from an id on; if it can't be decoded, bisect it to find the unreadable ids."""
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
        """Return a part that is unavailable, as its answer can't be decoded.

        Raises:
            HistoryUnavailableError: too many answers in a row can't be decoded.
        """
        self._unreadable += 1
        if self._unreadable > _MOST_UNREADABLE:
            raise HistoryUnavailableError(f"pages of history can't be decoded: {error}") from error
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
        """Find a page that starts before an id and reaches it, or one that proves that history lacks the id.

        Requests start at the known trade before the id, if it is near; else at an estimate between the known
        trades before and after; else before the trade after, in growing steps.
        """
        guesses = 0
        back_us = _FIRST_STEP_BACK_US
        ceiling = last_id + 1, self._clock_us()  # trades from this time on have at least this id
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
                    return page  # history lacks the id: the request started before it
                if since_us < ceiling[1]:
                    ceiling = page.first.trade_id if page.first else ceiling[0], since_us
            elif page.last.trade_id >= trade_id:
                return page
            elif low is not None and since_us == low[1] and page.last.trade_id <= low[0]:
                return page  # there is no trade after the known one before

    def _around(self, trade_id: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Return the nearest known trade below an id, and the one at or above it."""
        index = bisect_left(self.known, (trade_id, 0))
        below = self.known[index - 1] if index else None
        return below, self.known[index] if index < len(self.known) else None


def _guess(trade_id: int, low: tuple[int, int], high: tuple[int, int], *, bisecting: bool) -> int:
    """Estimate a time slightly before a trade, but not before the known one below it."""
    (low_id, low_us), (high_id, high_us) = low, high
    if bisecting or high_id <= trade_id:
        return (low_us + high_us) // 2
    target_id = trade_id - PAGE_IDS // 4
    return max(low_us, low_us + (target_id - low_id) * (high_us - low_us) // (high_id - low_id))


def _part(page: HistoryPage, low: int, high: int) -> HistoryPart:
    """Return the part that a page covers of a range."""
    covered = [ids.last_id for ids in page.unavailable] + ([page.last.trade_id] if page.last else [])
    early = any(ids.cause is UnavailableCause.EARLY for ids in page.unavailable)
    start = page.first.trade_id if page.first and early else 0
    return HistoryPart(low, min(high, max(covered, default=low - 1)), page.trades, page.unavailable, start)


def _late(low: int, high: int) -> HistoryPart:
    """Return a range that history does not include yet."""
    return HistoryPart(
        low,
        high,
        (),
        [UnavailableIds(low, high, UnavailableCause.LATE, f"the venue's history ends before {low}")],
    )
