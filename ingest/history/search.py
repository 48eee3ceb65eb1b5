"""Searches one symbol's history at its venue: the first id of a time, and the trades of a range of ids."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from ingest.history.client import HistoryRefusedError, HistoryUnavailableError, VenueHistory
from ingest.history.page import PAGE_IDS, TimeBounds, UnavailableCause, UnavailableIds
from ingest.history.ranges import IdRange, merge_ranges
from ingest.history.reader import HistoryReader
from ingest.venues.base_rest import HistoryAdapter, MissingRange, UnreadableError
from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.klines import Kline
from tickplant.market import Trade
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT")

_BEYOND_ID: Final = 10**12
"""An id beyond any symbol's newest."""
_FIRST_STEP: Final = PAGE_IDS
_STEP_FACTOR: Final = 8
_FIRST_STEP_BACK_US: Final = 60_000_000
REREAD_DELAY_S: Final = 3.0
"""The delay before missing ids are requested a second time: a replica may lag."""


class FetchedRange(NamedTuple):
    """A range of ids fetched from the venue."""

    trades: list[Trade]
    """Ascending."""
    void: list[IdRange]
    """Ids that the venue left out between two others in two requests; ascending."""
    unavailable: Sequence[UnavailableIds] = ()
    """Ids that are unavailable for another reason."""


class HistorySearch:
    """Searches and reads one symbol's history; retries while the venue is unavailable."""

    def __init__(
        self,
        venue: HistoryAdapter,
        symbol: str,
        history: VenueHistory,
        known: Sequence[Trade] = (),
        *,
        reread_delay_s: float = REREAD_DELAY_S,
    ) -> None:
        """Initialize the search.

        Args:
            venue: the adapter.
            symbol: as the venue writes it.
            history: the venue's.
            known: stored trades of the symbol; a search starts from them, and other trades must lie between.
            reread_delay_s: the delay before missing ids are requested a second time.
        """
        self._venue = venue
        self._symbol = symbol
        self._history = history
        self._known = sorted(known, key=lambda trade: trade.trade_id)
        self._reread_delay_s = reread_delay_s
        self._reader = HistoryReader(venue, symbol, history)
        self._reader.add_known(*known)

    async def find(self, time_us: int) -> int:
        """Return the id of the first trade at or after a time; if there is none, the newest id plus one.

        Raises:
            FatalError: the venue has no trades of the symbol, or refuses to give them.
        """
        if self._venue.history_by_time:
            return await self._find_by_time(time_us)
        return await self._find_by_id(time_us)

    async def read(self, first_id: int, last_id: int) -> FetchedRange:
        """Fetch the trades of a range of ids, both inclusive.

        Raises:
            FatalError: the venue refuses to give them.
        """
        trades, unavailable = await self._read_once(first_id, last_id)
        if unavailable:
            await asyncio.sleep(self._reread_delay_s)
            still: list[UnavailableIds] = []
            for low, high in merge_ranges(
                [(ids.first_id, ids.last_id) for ids in unavailable], within=PAGE_IDS
            ):
                more, less = await self._read_once(low, high)
                trades += more
                still += less
            unavailable = still
        by_id = {trade.trade_id: trade for trade in trades}
        void = [(ids.first_id, ids.last_id) for ids in unavailable if ids.cause is UnavailableCause.OMITTED]
        rest = [ids for ids in unavailable if ids.cause is not UnavailableCause.OMITTED]
        return FetchedRange([by_id[trade_id] for trade_id in sorted(by_id)], void, rest)

    async def read_klines(self, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Fetch the venue's own candles of one minute; see `VenueHistory.read_klines`.

        Raises:
            FatalError: the venue refuses to give them.
        """
        return await self._retry(lambda: self._history.read_klines(self._symbol, start_us, end_us))

    async def _read_once(self, first_id: int, last_id: int) -> tuple[list[Trade], list[UnavailableIds]]:
        """Request a range once; return its trades and its unavailable ids."""
        trades: list[Trade] = []
        unavailable: list[UnavailableIds] = []
        low = first_id
        bounds = self._bounds(first_id, last_id)

        async def read_on() -> None:
            nonlocal low
            async for part in self._reader.read(low, last_id, bounds):
                trades.extend(part.trades)
                unavailable.extend(part.unavailable)
                low = part.last_id + 1

        await self._retry(read_on)
        return trades, unavailable

    def _bounds(self, first_id: int, last_id: int) -> TimeBounds:
        before = [trade.event_time_us for trade in self._known if trade.trade_id < first_id]
        after = [trade.event_time_us for trade in self._known if trade.trade_id > last_id]
        whole = TimeBounds()
        return TimeBounds(before[-1] if before else whole.after_us, after[0] if after else whole.before_us)

    async def _page(self, first_id: int, since_us: int) -> Sequence[Trade]:
        """Return the trades of a page from an id or a time on."""
        gap = MissingRange(self._symbol, first_id, _BEYOND_ID, since_us)
        return (await self._retry(lambda: self._reader.read_page(gap, TimeBounds()))).around

    async def _retry(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Make a request, and retry it while the venue is unavailable.

        Raises:
            FatalError: the venue refuses.
        """
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        outage = OutageLog(_log, f"{self._venue.name}:{self._symbol}: history unavailable, retrying")
        while True:
            try:
                return await ask()
            except (HistoryUnavailableError, UnreadableError) as error:
                outage.note_failure(error)
                await asyncio.sleep(backoff.next_s())
            except HistoryRefusedError as error:
                raise FatalError(
                    f"{self._venue.name}:{self._symbol}: the venue refuses its history: {error}"
                ) from error

    async def _page_since(self, time_us: int) -> Sequence[Trade]:
        return await self._page(0, time_us)

    async def _find_by_time(self, time_us: int) -> int:
        page = await self._page_since(time_us)
        after = [trade.trade_id for trade in page if trade.event_time_us >= time_us]
        if after:
            return after[0]
        back_us = _FIRST_STEP_BACK_US
        while not page and back_us < time_us:
            page = await self._page_since(time_us - back_us)
            back_us *= _STEP_FACTOR
        if not page:
            raise self._nothing()
        while True:
            newest = page[-1]
            page = await self._page_since(newest.event_time_us)
            if not page or page[-1].trade_id <= newest.trade_id:
                return newest.trade_id + 1

    async def _find_by_id(self, time_us: int) -> int:
        """Narrow down the ids between a trade before the time and one that is not, page by page."""
        search = _Search(time_us)
        latest = await self._latest()
        for trade_id, at_us in self._reader.known:
            search.add_trade(trade_id, at_us)
        while (probe := search.probe()) is not None:
            page = await self._page(probe, 0)
            for trade in page:
                search.add_trade(trade.trade_id, trade.event_time_us)
            first = next((trade for trade in page if trade.trade_id >= probe), None)
            if latest and not page:  # this venue's pages end at an id: all trades are above it
                search.set_lower(probe + PAGE_IDS)
            elif first is None or first.event_time_us >= time_us:
                search.set_upper(probe)
        if search.found is None:
            raise self._nothing()
        return search.found

    async def _latest(self) -> Sequence[Trade]:
        """Return the newest trades, where the venue returns them for an id beyond."""
        try:
            return await self._page(_BEYOND_ID, 0)
        except FatalError:
            return ()

    def _nothing(self) -> FatalError:
        return FatalError(f"{self._venue.name}:{self._symbol}: the venue has no trades")


class _Search:
    """A search for the first id at or after a time; times rise with ids."""

    def __init__(self, time_us: int) -> None:
        self._time_us = time_us
        self._before: tuple[int, int] | None = None
        """Id and time of the last known trade before the time."""
        self._after: tuple[int, int] | None = None
        """Id and time of the first known trade at or after the time."""
        self._lower = 0
        """Every trade below this id is before the time."""
        self._upper: int | None = None
        """No trade from this id on is before the time."""
        self._step = _FIRST_STEP
        self._interpolate = True

    @property
    def found(self) -> int | None:
        """The result, once there is nothing left to probe; None if there are no trades."""
        if self._after is not None:
            return self._after[0]
        return self._before[0] + 1 if self._before is not None else None

    def add_trade(self, trade_id: int, time_us: int) -> None:
        """Add a trade."""
        if time_us < self._time_us:
            if self._before is None or trade_id > self._before[0]:
                self._before = trade_id, time_us
                self._lower = max(self._lower, trade_id + 1)
        elif self._after is None or trade_id < self._after[0]:
            self._after = trade_id, time_us
            self.set_upper(trade_id)

    def set_lower(self, trade_id: int) -> None:
        """Set that there are no trades below an id."""
        self._lower = max(self._lower, trade_id)

    def set_upper(self, trade_id: int) -> None:
        """Set that no trade from an id on is before the time."""
        self._upper = trade_id if self._upper is None else min(self._upper, trade_id)

    def probe(self) -> int | None:
        """Return the first id of the next page; None when the search has ended."""
        if self._lower == 0 and self._upper != 0:
            return 0  # the page that starts with the venue's oldest trade
        if self._upper is None:
            step, self._step = self._step, self._step * _STEP_FACTOR
            return self._lower + step
        if self._lower >= self._upper:
            return None
        if self._upper - self._lower <= PAGE_IDS:
            return self._lower
        guess = (self._lower + self._upper) // 2
        if self._interpolate and self._before is not None and self._after is not None:
            (low_id, low_us), (high_id, high_us) = self._before, self._after
            share = (self._time_us - low_us) * (high_id - low_id) // (high_us - low_us)
            guess = low_id + share - PAGE_IDS // 2
        self._interpolate = not self._interpolate
        return min(max(guess, self._lower), self._upper - 1)
