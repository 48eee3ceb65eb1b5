"""Missing trades fetched from a venue's history and sent down the streams as if they had just come."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ingest.history import RefusedError, UnavailableError, VenueHistory
from ingest.publisher import Publisher
from ingest.venues.base import Gap, Venue
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.wire import Verdict, VerdictKind

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_ASK_AGAIN_S: Final = 10.0
"""How long trades that were fetched may take to be committed before they are fetched again."""
_RETRY_REFUSED_S: Final = 600.0
"""After so long a venue that would not give trades is asked once more."""
_TOGETHER: Final = 1_000
"""Ids that a venue's page holds, about."""
_AHEAD: Final = 10_000
"""How many ids after the last one known are asked for where the newest isn't known."""

_SUSPECTED: Final = "suspected"
"""The state of a gap that the ledger doesn't know of."""


class Backfill:
    """Heals one venue's gaps: those in the ledger, and those that a connection suspects."""

    def __init__(
        self,
        *,
        venue: Venue,
        symbols: Sequence[str],
        history: VenueHistory,
        publisher: Publisher,
    ) -> None:
        self._venue = venue
        self._symbols = [SymbolId(venue.name, symbol) for symbol in symbols]
        self._history = history
        self._publisher = publisher
        self._asked: dict[tuple[str, int], float] = {}
        self._suspected: dict[str, Gap] = {}
        self._fetched = metrics.INGEST_BACKFILLED.labels(venue.name)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._started_s = asyncio.get_running_loop().time()

    def suspect(self, gap: Gap) -> None:
        """Ask for trades that may be missing; where they are not, nothing comes of it.

        Args:
            gap: its first id is the one after the last that is known; its last may be a guess.
        """
        self._suspected[gap.symbol] = gap

    def after(self, symbol: str, trade_id: int, time_us: int) -> Gap:
        """Return the gap of unknown length after a trade."""
        return Gap(symbol, trade_id + 1, trade_id + _AHEAD, time_us)

    async def run(self, stop: asyncio.Event) -> None:
        """Heal gaps until `stop` is set."""
        add_fields(venue=self._venue.name)
        loop = asyncio.get_running_loop()
        try:
            while not stop.is_set():
                for symbol, task in list(self._busy.items()):
                    if task.done():
                        del self._busy[symbol]
                        task.result()
                for gap, state in await self._due(loop.time()):
                    self._busy[gap.symbol] = asyncio.create_task(self._heal(gap, state))
                try:
                    await asyncio.wait_for(stop.wait(), _POLL_S)
                except TimeoutError:
                    continue
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _due(self, now_s: float) -> list[tuple[Gap, str]]:
        """Return what is to be asked for now, with its state: one gap a symbol, suspected ones first."""
        free = [symbol for symbol in self._suspected if symbol not in self._busy]
        due = {symbol: (self._suspected.pop(symbol), _SUSPECTED) for symbol in free}
        self._asked = {key: until_s for key, until_s in self._asked.items() if until_s > now_s}
        for known in await self._publisher.read_gaps(self._symbols):
            key = (known.symbol, known.first_id)
            if key in self._asked or known.symbol in self._busy:
                continue
            if known.state == "unrecoverable" and now_s < self._started_s + _RETRY_REFUSED_S:
                continue
            gap = Gap(known.symbol, known.first_id, known.last_id, known.after_time_us)
            begun, state = due.get(known.symbol, (gap, known.state))
            if state == _SUSPECTED or (gap.last_id - begun.first_id >= _TOGETHER and begun is not gap):
                continue
            # Gaps near one another are asked for together: one page holds them all.
            due[known.symbol] = begun._replace(last_id=gap.last_id), state
            self._asked[key] = now_s + (_RETRY_REFUSED_S if state == "unrecoverable" else _ASK_AGAIN_S)
        return list(due.values())

    async def _heal(self, gap: Gap, state: str) -> None:
        """Fetch page by page, until the gap's end or the venue's."""
        add_fields(symbol=gap.symbol)
        if state == "open":
            await self._judge(gap.symbol, gap.first_id, gap.last_id, "backfilling", None)
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        failing = False
        while gap.first_id <= gap.last_id:
            try:
                page = await self._history.read_page(gap)
            except UnavailableError as error:
                if not failing:
                    _log.warning("%s:%s: no history, trying again: %s", self._venue.name, gap.symbol, error)
                failing = True
                await asyncio.sleep(backoff.next_s())
                continue
            except RefusedError as error:
                _log.warning("%s:%s: no history: %s", self._venue.name, gap.symbol, error)
                await self._judge(gap.symbol, gap.first_id, gap.last_id, "unrecoverable", str(error))
                return
            failing = False
            if page and page[-1].trade_id < gap.first_id and page[-1].event_time_us > gap.after_time_us:
                gap = gap._replace(after_time_us=page[-1].event_time_us)  # a page by time that fell short
                continue
            if not page or page[-1].trade_id < gap.first_id:
                if state != _SUSPECTED:
                    reason = f"the venue's history has nothing from {gap.first_id} on"
                    await self._judge(gap.symbol, gap.first_id, gap.last_id, "unrecoverable", reason)
                return
            if page[0].trade_id > gap.first_id and state != _SUSPECTED:
                reason = f"the venue's history begins with {page[0].trade_id}"
                last_id = min(page[0].trade_id - 1, gap.last_id)
                await self._judge(gap.symbol, gap.first_id, last_id, "unrecoverable", reason)
            await self._take(gap, page)
            last = page[-1]
            gap = gap._replace(first_id=last.trade_id + 1, after_time_us=last.event_time_us)

    async def _take(self, gap: Gap, page: Sequence[Trade]) -> None:
        await self._publisher.publish(page)
        self._fetched.inc(len(page))
        for before, after in pairwise(page):  # between two trades of one page the venue has no others
            if after.trade_id > before.trade_id + 1:
                await self._judge(gap.symbol, before.trade_id + 1, after.trade_id - 1, "void", None)

    async def _judge(
        self, symbol: str, first: int, last: int, verdict: VerdictKind, reason: str | None
    ) -> None:
        await self._publisher.publish_verdict(Verdict(self._venue.name, symbol, first, last, verdict, reason))
