"""Fetches missing trades from a venue's history and publishes them like live ones."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from ingest.history.attempt import FetchAttempt
from ingest.history.client import HistoryRefusedError, HistoryUnavailableError, VenueHistory
from ingest.history.gap_fetch import CONFIRM_DELAY_S, REFUSED_DELAY_S, GapFetch
from ingest.history.page import UnavailableCause, UnavailableIds
from ingest.history.reader import HistoryReader
from ingest.history.reporter import HistoryReporter
from ingest.history.symbol_gaps import SymbolGaps
from ingest.publisher import Publisher
from ingest.venues.base_rest import HistoryAdapter, MissingRange
from tickplant import market, metrics
from tickplant.errors import FatalError
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.outage import OutageLog
from tickplant.wire import Verdict, VerdictKind

_log = logging.getLogger(__name__)

POLL_S: Final = 0.5
_AHEAD: Final = 10_000
"""Ids requested after the last known one where the newest is unknown."""
_SUSPECT_ATTEMPTS: Final = 2

Clock = Callable[[], float]
"""A monotonic clock, in seconds."""


class Backfill:
    """Fills one venue's gaps: those in the ledger, and those that a connection suspects."""

    def __init__(
        self,
        *,
        name: str,
        venue: HistoryAdapter,
        symbols: Sequence[str],
        history: VenueHistory,
        publisher: Publisher,
        clock_s: Clock | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        """Initialize the backfill.

        Args:
            name: of the entry among the connections that is published while history fails.
            venue: the adapter.
            symbols: in the venue's notation.
            history: the venue's.
            publisher: writes trades and verdicts.
            clock_s: a monotonic clock; the event loop's if None.
            poll_s: how often gaps are read and due fetches started.
        """
        self.name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._publisher = publisher
        self._poll_s = poll_s
        self._clock_s = clock_s or asyncio.get_running_loop().time
        self._gaps = {symbol: self._make_gaps(symbol, history) for symbol in symbols}
        self._fetched = metrics.INGEST_BACKFILLED.labels(venue.name)
        self._failures = metrics.INGEST_TASK_FAILURES.labels(venue.name, "history")
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._started_s = self._clock_s()
        self._reporter = HistoryReporter(
            name=name, venue=venue.name, symbols=symbols, publisher=publisher, clock_s=self._clock_s
        )

    @property
    def busy(self) -> bool:
        """Whether a fetch is running."""
        return bool(self._busy)

    def suspect(self, gap: MissingRange) -> None:
        """Fetch trades that may be missing; has no effect if they are not.

        Args:
            gap: starts after the last known id; its last id may be a guess.
        """
        gaps = self._gaps.get(gap.symbol)
        if gaps is not None and (gaps.suspected is None or gaps.suspected.gap != gap):
            due_s = self._clock_s()
            gaps.suspected = GapFetch(gap, due_s=due_s, suspected=True, max_attempts=_SUSPECT_ATTEMPTS)

    def suspect_after(self, trade: Trade) -> None:
        """Fetch the trades after one, as many as there may be."""
        first_id = trade.trade_id + 1
        self.suspect(MissingRange(trade.symbol, first_id, trade.trade_id + _AHEAD, trade.event_time_us))

    async def run(self, stop: asyncio.Event) -> None:
        """Fill gaps until `stop` is set."""
        add_fields(venue=self._venue.name)
        try:
            while not stop.is_set():
                self._handle_ended()
                await self._read_gaps()
                self._start_due()
                await self._reporter.update()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._poll_s)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            self._busy.clear()
        await self._reporter.remove()

    async def report_down(self, reason: str) -> None:
        """Publish that history fails."""
        await self._reporter.publish_down(reason)

    def _make_gaps(self, symbol: str, history: VenueHistory) -> SymbolGaps:
        name = f"{self._venue.name}:{symbol}"
        outage = OutageLog(
            _log, f"{name}: history unavailable, retrying", f"{name}: history is available again"
        )
        return SymbolGaps(HistoryReader(self._venue, symbol, history), outage)

    def _handle_ended(self) -> None:
        """Remove the tasks that have ended.

        Raises:
            FatalError: from a task: the process can't continue.
        """
        for symbol, task in list(self._busy.items()):
            if task.done():
                del self._busy[symbol]
                self._handle_end(symbol, task)

    def _handle_end(self, symbol: str, task: asyncio.Task[None]) -> None:
        """Handle the end of one symbol's fetch; an unexpected error pauses only that symbol."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, FatalError):
            raise error
        self._failures.inc()
        self._reporter.note_failure(f"{symbol}: {type(error).__name__}: {error}"[:500])
        _log.error("%s:%s: fetching history failed", self._venue.name, symbol, exc_info=error)
        self._gaps[symbol].pause(self._clock_s())

    async def _read_gaps(self) -> None:
        """Read the gaps from Redis."""
        committed = await self._publisher.read_gaps(
            [SymbolId(self._venue.name, symbol) for symbol in self._symbols]
        )
        by_symbol: dict[str, list[market.Gap]] = {symbol: [] for symbol in self._symbols}
        for gap in committed:
            by_symbol.setdefault(gap.symbol, []).append(gap)
        for symbol, gaps in by_symbol.items():
            if symbol not in self._busy and symbol in self._gaps:
                self._gaps[symbol].update(gaps, self._clock_s(), self._started_s)

    def _start_due(self) -> None:
        """Start the fetches that are due, one task for each symbol."""
        now_s = self._clock_s()
        for symbol, gaps in self._gaps.items():
            if symbol not in self._busy and (due := gaps.due(now_s)):
                self._busy[symbol] = asyncio.create_task(self._fetch(symbol, gaps, due))

    async def _fetch(self, symbol: str, gaps: SymbolGaps, fetches: list[GapFetch]) -> None:
        """Make one attempt at each due fetch: publish the trades, and verdicts on the other ids."""
        add_fields(symbol=symbol)
        for fetch in fetches:
            if gaps.is_open(fetch.gap):
                gap = fetch.gap
                await self._publish_verdict(symbol, gap.first_id, gap.last_id, "backfilling", None)
        newest = next(
            iter(await self._publisher.read_last_trades([SymbolId(self._venue.name, symbol)])), None
        )
        gaps.reader.add_known(newest)
        attempt = FetchAttempt(gaps.reader, fetches, newest, self._publish_trades)
        try:
            found = await attempt.run()
        except HistoryUnavailableError as error:
            self._postpone(symbol, gaps, fetches, attempt.found_before(error), error)
        except HistoryRefusedError as error:
            await self._give_up(symbol, gaps, fetches, attempt.found_before(error), error)
        else:
            self._reporter.note_success()
            gaps.outage.note_success()
            gaps.resume()
            for fetch in fetches:
                await self._publish_findings(symbol, gaps, fetch, found)

    def _postpone(
        self,
        symbol: str,
        gaps: SymbolGaps,
        fetches: Sequence[GapFetch],
        found: Sequence[UnavailableIds],
        error: HistoryUnavailableError,
    ) -> None:
        """Schedule the next attempt, as history was unavailable."""
        gaps.outage.note_failure(error)
        self._reporter.note_failure(f"{symbol}: {error}"[:500])
        gaps.pause(self._clock_s())
        for fetch in fetches:
            fetch.record_interrupted(found, self._clock_s())

    async def _give_up(
        self,
        symbol: str,
        gaps: SymbolGaps,
        fetches: Sequence[GapFetch],
        found: Sequence[UnavailableIds],
        error: HistoryRefusedError,
    ) -> None:
        """Publish that ids are unrecoverable, as the venue refused to give them."""
        _log.warning("%s:%s: history refused: %s", self._venue.name, symbol, error)
        for fetch in fetches:
            fetch.record_interrupted(found, self._clock_s() + REFUSED_DELAY_S)
            for ids in [] if fetch.suspected else fetch.unavailable:
                await self._publish_verdict(symbol, ids.first_id, ids.last_id, "unrecoverable", str(error))
        gaps.forget_suspected(fetches)

    async def _publish_findings(
        self, symbol: str, gaps: SymbolGaps, fetch: GapFetch, found: list[UnavailableIds]
    ) -> None:
        """Publish the verdicts that an attempt proved."""
        now_s = self._clock_s()
        proven = fetch.record(found, now_s)
        if fetch.suspected:
            gaps.drop_finished(fetch)
            return
        for ids in proven:
            if ids.cause is UnavailableCause.OMITTED:
                await self._publish_verdict(symbol, ids.first_id, ids.last_id, "void", None)
                gap = MissingRange(symbol, ids.first_id, ids.last_id, fetch.gap.after_time_us)
                gaps.confirm(gap, now_s + CONFIRM_DELAY_S)
            else:
                await self._publish_verdict(symbol, ids.first_id, ids.last_id, "unrecoverable", ids.reason)

    async def _publish_trades(self, trades: Sequence[Trade]) -> None:
        if trades:
            await self._publisher.publish(trades)
            self._fetched.inc(len(trades))

    async def _publish_verdict(
        self, symbol: str, first: int, last: int, verdict: VerdictKind, reason: str | None
    ) -> None:
        await self._publisher.publish_verdict(Verdict(self._venue.name, symbol, first, last, verdict, reason))
