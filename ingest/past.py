"""One symbol's past at its venue: which id a moment begins with, and the trades of any range of ids."""

import asyncio
import logging
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from ingest.history import RefusedError, UnavailableError, VenueHistory
from ingest.venues.base import Gap, Venue
from tickplant.backoff import Backoff
from tickplant.errors import FatalError
from tickplant.klines import Kline
from tickplant.market import Trade

_log = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT")

Range = tuple[int, int]
"""First and last, both inclusive."""

PAGE_IDS: Final = 998
"""Ids in one request: with the trade before and the one after, the 1,000 trades of every venue's page."""
_BEYOND_ID: Final = 10**12
"""An id that no symbol has come to."""
_FIRST_STEP: Final = PAGE_IDS
_STEP_FACTOR: Final = 8
_FIRST_LOOK_BACK_US: Final = 60_000_000
_MOST_GUESSES: Final = 40


class Stretch(NamedTuple):
    """What the venue has of a range of ids."""

    trades: list[Trade]
    """Ascending."""
    void: list[Range]
    """Ids for which it has none, ascending."""


class Past:
    """One symbol's history, asked until it answers."""

    def __init__(self, venue: Venue, symbol: str, history: VenueHistory, known: Sequence[Trade] = ()) -> None:
        """Take what is needed.

        Args:
            venue: the adapter.
            symbol: as the venue writes it.
            history: where to ask.
            known: trades of the symbol from which to begin looking.
        """
        self._venue = venue
        self._symbol = symbol
        self._history = history
        self._marks: list[tuple[int, int]] = []
        self._learn(known)

    async def find(self, time_us: int) -> int:
        """Return the id of the first trade at or after a time; where there is none, the newest one's and one.

        Raises:
            FatalError: the venue has no trades of the symbol, or won't give them.
        """
        if self._venue.history_by_time:
            return await self._find_by_time(time_us)
        return await self._find_by_id(time_us)

    async def read(self, first_id: int, last_id: int) -> Stretch:
        """Return the trades of a range of ids, both inclusive, as far as the venue has them.

        Raises:
            FatalError: the venue won't give them.
        """
        stretch = Stretch([], [])
        gap = Gap(self._symbol, first_id, last_id, 0)
        page = await (self._locate(first_id) if self._venue.history_by_time else self._page(gap))
        while True:
            for before, after in pairwise(page):
                low, high = max(before.trade_id + 1, gap.first_id), min(after.trade_id - 1, last_id)
                if low <= high:
                    stretch.void.append((low, high))
            reached = [trade for trade in page if trade.trade_id >= gap.first_id]
            stretch.trades.extend(trade for trade in reached if trade.trade_id <= last_id)
            if not reached or reached[-1].trade_id >= last_id:
                return stretch
            last = reached[-1]
            gap = gap._replace(first_id=last.trade_id + 1, after_time_us=last.event_time_us)
            page = await self._page(gap)

    async def read_klines(self, start_us: int, end_us: int) -> tuple[Kline, ...]:
        """Return the venue's own candles of one minute; see `VenueHistory.read_klines`.

        Raises:
            FatalError: the venue won't give them.
        """
        return await self._ask(lambda: self._history.read_klines(self._symbol, start_us, end_us))

    async def _page(self, gap: Gap) -> Sequence[Trade]:
        page = await self._ask(lambda: self._history.read_page(gap))
        self._learn((page[0], page[-1]) if page else ())
        return page

    async def _ask(self, ask: Callable[[], Awaitable[tuple[AnswerT, ...]]]) -> tuple[AnswerT, ...]:
        """Ask for something, and wait as long as the venue is away.

        Raises:
            FatalError: the venue won't give it.
        """
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        failing = False
        while True:
            try:
                return await ask()
            except UnavailableError as error:
                if not failing:
                    _log.warning("%s:%s: trying again: %s", self._venue.name, self._symbol, error)
                failing = True
                await asyncio.sleep(backoff.next_s())
            except RefusedError as error:
                raise FatalError(f"{self._venue.name}:{self._symbol}: no history: {error}") from error

    async def _page_since(self, time_us: int) -> Sequence[Trade]:
        return await self._page(Gap(self._symbol, 0, 0, time_us))

    async def _find_by_time(self, time_us: int) -> int:
        page = await self._page_since(time_us)
        after = [trade.trade_id for trade in page if trade.event_time_us >= time_us]
        if after:
            return after[0]
        back_us = _FIRST_LOOK_BACK_US
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
        """Narrow down the ids between one before the time and one that is not, page by page."""
        search = _Search(time_us)
        latest = await self._latest()
        for trade_id, at_us in self._marks:
            search.learn(trade_id, at_us)
        while (probe := search.probe()) is not None:
            page = await self._page(Gap(self._symbol, probe, probe + PAGE_IDS - 1, 0))
            for trade in page:
                search.learn(trade.trade_id, trade.event_time_us)
            first = next((trade for trade in page if trade.trade_id >= probe), None)
            if latest and not page:  # this venue's pages end at an id: all trades come after that
                search.learn_least(probe + PAGE_IDS)
            elif first is None or first.event_time_us >= time_us:
                search.learn_bound(probe)
        if search.found is None:
            raise self._nothing()
        return search.found

    async def _latest(self) -> Sequence[Trade]:
        """Return the newest trades, where an id beyond them all is answered with these."""
        try:
            return await self._page(Gap(self._symbol, _BEYOND_ID, _BEYOND_ID, 0))
        except FatalError:
            return ()

    async def _locate(self, trade_id: int) -> Sequence[Trade]:
        """Return a page that begins at or before an id and, if guessing goes well, reaches it."""
        for guesses in range(_MOST_GUESSES):
            place = bisect_left(self._marks, (trade_id, 0))
            low_id, low_us = self._marks[place - 1] if place else (0, 0)
            if trade_id - low_id < PAGE_IDS // 2 or place == len(self._marks) or guesses == _MOST_GUESSES - 1:
                break
            high_id, high_us = self._marks[place]
            aim = trade_id - PAGE_IDS // 4
            guess_us = low_us + (aim - low_id) * (high_us - low_us) // (high_id - low_id)
            if guesses % 2:
                guess_us = (low_us + high_us) // 2
            if guess_us <= low_us:
                break
            page = await self._page_since(guess_us)
            if page and page[0].trade_id <= trade_id <= page[-1].trade_id:
                return page
        return await self._page_since(low_us)

    def _learn(self, trades: Sequence[Trade]) -> None:
        """Note when trades happened, to find others by."""
        for trade in trades:
            mark = trade.trade_id, trade.event_time_us
            place = bisect_left(self._marks, mark)
            if self._marks[place : place + 1] != [mark]:
                insort(self._marks, mark)

    def _nothing(self) -> FatalError:
        return FatalError(f"{self._venue.name}:{self._symbol}: the venue has no trades")


class _Search:
    """A search for the first id at or after a time, among ids whose times rise."""

    def __init__(self, time_us: int) -> None:
        self._time_us = time_us
        self._before: tuple[int, int] | None = None
        """Id and time of the last trade known to be before the time."""
        self._after: tuple[int, int] | None = None
        """Id and time of the first trade known not to be."""
        self._least = 0
        """Every trade below this id is before the time."""
        self._bound: int | None = None
        """No trade from this id on is before it."""
        self._step = _FIRST_STEP
        self._interpolate = True

    @property
    def found(self) -> int | None:
        """The id looked for, once there is nothing to probe; None where there are no trades at all."""
        if self._after is not None:
            return self._after[0]
        return self._before[0] + 1 if self._before is not None else None

    def learn(self, trade_id: int, time_us: int) -> None:
        """Take when a trade happened."""
        if time_us < self._time_us:
            if self._before is None or trade_id > self._before[0]:
                self._before = trade_id, time_us
                self._least = max(self._least, trade_id + 1)
        elif self._after is None or trade_id < self._after[0]:
            self._after = trade_id, time_us
            self.learn_bound(trade_id)

    def learn_least(self, trade_id: int) -> None:
        """Take that there are no trades below an id."""
        self._least = max(self._least, trade_id)

    def learn_bound(self, trade_id: int) -> None:
        """Take that no trade from an id on is before the time; there may be none at all."""
        self._bound = trade_id if self._bound is None else min(self._bound, trade_id)

    def probe(self) -> int | None:
        """Return the id to begin the next page with; None where the search is at its end."""
        if self._least == 0 and self._bound != 0:
            return 0  # the page that begins with the venue's oldest trade
        if self._bound is None:
            step, self._step = self._step, self._step * _STEP_FACTOR
            return self._least + step
        if self._least >= self._bound:
            return None
        if self._bound - self._least <= PAGE_IDS:
            return self._least
        guess = (self._least + self._bound) // 2
        if self._interpolate and self._before is not None and self._after is not None:
            (low_id, low_us), (high_id, high_us) = self._before, self._after
            share = (self._time_us - low_us) * (high_id - low_id) // (high_us - low_us)
            guess = low_id + share - PAGE_IDS // 2
        self._interpolate = not self._interpolate
        return min(max(guess, self._least), self._bound - 1)
