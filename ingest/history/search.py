"""Searches one symbol's history: the first id at or after a time, and the trades of a range of ids."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from ingest.history.client import HistoryRefusedError, HistoryUnavailableError, VenueHistory
from ingest.history.id_search import IdSearch
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
"""An id above every symbol's newest."""
_STEP_FACTOR: Final = 8
_FIRST_STEP_BACK_US: Final = 60_000_000
REREAD_DELAY_S: Final = 3.0
"""The delay before missing ids are requested a second time: a replica may lag."""


class FetchedRange(NamedTuple):
    """A range of ids fetched from the venue."""

    trades: list[Trade]
    """Ascending."""
    void: list[IdRange]
    """Ids that the venue omitted between two others in two requests; ascending."""
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
            symbol: in the venue's notation.
            history: the venue's.
            known: stored trades of the symbol; searches start there, and their times bound the others'.
            reread_delay_s: the delay before missing ids are requested a second time.
        """
        self._venue = venue
        self._symbol = symbol
        self._history = history
        self._known = sorted(known, key=lambda trade: trade.trade_id)
        self._reread_delay_s = reread_delay_s
        self._reader = HistoryReader(venue, symbol, history)
        self._reader.add_known(*known)
        self._name = f"{venue.name}:{symbol}"
        self._outage = OutageLog(
            _log, f"{self._name}: history unavailable, retrying", f"{self._name}: history is available again"
        )

    async def find(self, time_us: int) -> int:
        """Return the id of the first trade at or after a time; if there is none, the newest id plus one.

        Raises:
            FatalError: the venue has no trades of the symbol, or refuses them.
        """
        if self._venue.history_by_time:
            return await self._find_by_time(time_us)
        return await self._find_by_id(time_us)

    async def read(self, first_id: int, last_id: int) -> FetchedRange:
        """Fetch the trades of a range of ids, both inclusive.

        Raises:
            FatalError: the venue refuses them.
        """
        trades, unavailable = await self._read_once(first_id, last_id)
        if unavailable:
            await asyncio.sleep(self._reread_delay_s)
            missing = [(ids.first_id, ids.last_id) for ids in unavailable]
            unavailable = []
            for low, high in merge_ranges(missing, within=PAGE_IDS):
                more_trades, still_unavailable = await self._read_once(low, high)
                trades += more_trades
                unavailable += still_unavailable
        by_id = {trade.trade_id: trade for trade in trades}
        void = [(ids.first_id, ids.last_id) for ids in unavailable if ids.cause is UnavailableCause.OMITTED]
        rest = [ids for ids in unavailable if ids.cause is not UnavailableCause.OMITTED]
        return FetchedRange([by_id[trade_id] for trade_id in sorted(by_id)], void, rest)

    async def read_klines(self, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Fetch the venue's candles of one minute; see `VenueHistory.read_klines`.

        Raises:
            FatalError: the venue refuses them.
        """
        return await self._retry(lambda: self._history.read_klines(self._symbol, start_us, end_us))

    async def _read_once(self, first_id: int, last_id: int) -> tuple[list[Trade], list[UnavailableIds]]:
        """Read a range once; return its trades and its unavailable ids."""
        trades: list[Trade] = []
        unavailable: list[UnavailableIds] = []
        low = first_id
        bounds = self._bounds(first_id, last_id)

        async def read_rest() -> None:
            nonlocal low
            async for part in self._reader.read(low, last_id, bounds):
                trades.extend(part.trades)
                unavailable.extend(part.unavailable)
                low = part.last_id + 1

        await self._retry(read_rest)
        return trades, unavailable

    def _bounds(self, first_id: int, last_id: int) -> TimeBounds:
        """Return the times of the known trades around a range."""
        before = [trade.event_time_us for trade in self._known if trade.trade_id < first_id]
        after = [trade.event_time_us for trade in self._known if trade.trade_id > last_id]
        unbounded = TimeBounds()
        return TimeBounds(
            before[-1] if before else unbounded.after_us, after[0] if after else unbounded.before_us
        )

    async def _page(self, first_id: int, since_us: int) -> Sequence[Trade]:
        """Return the trades of a page from an id or a time on."""
        gap = MissingRange(self._symbol, first_id, _BEYOND_ID, since_us)
        return (await self._retry(lambda: self._reader.read_page(gap, TimeBounds()))).around

    async def _retry(self, request: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Make a request, and retry it while the venue is unavailable.

        Raises:
            FatalError: the venue refuses.
        """
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        while True:
            try:
                answer = await request()
            except (HistoryUnavailableError, UnreadableError) as error:
                self._outage.note_failure(error)
                await asyncio.sleep(backoff.next_s())
            except HistoryRefusedError as error:
                raise FatalError(f"{self._name}: the venue refuses its history: {error}") from error
            else:
                self._outage.note_success()
                return answer

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
            raise self._no_trades_error()
        while True:
            newest = page[-1]
            page = await self._page_since(newest.event_time_us)
            if not page or page[-1].trade_id <= newest.trade_id:
                return newest.trade_id + 1

    async def _find_by_id(self, time_us: int) -> int:
        """Search page by page between a trade before the time and one at or after it."""
        search = IdSearch(time_us)
        latest = await self._latest()
        for trade_id, at_us in self._reader.known:
            search.add_trade(trade_id, at_us)
        while (probe := search.probe()) is not None:
            page = await self._page(probe, 0)
            for trade in page:
                search.add_trade(trade.trade_id, trade.event_time_us)
            first = next((trade for trade in page if trade.trade_id >= probe), None)
            if latest and not page:  # this venue's pages end at an id, so all trades are above this one
                search.set_lower(probe + PAGE_IDS)
            elif first is None or first.event_time_us >= time_us:
                search.set_upper(probe)
        if search.found is None:
            raise self._no_trades_error()
        return search.found

    async def _latest(self) -> Sequence[Trade]:
        """Return the newest trades, if the venue returns them for an id above the newest."""
        try:
            return await self._page(_BEYOND_ID, 0)
        except FatalError:
            return ()

    def _no_trades_error(self) -> FatalError:
        return FatalError(f"{self._name}: the venue has no trades")
