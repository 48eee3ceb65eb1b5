"""Fetches missing trades from a venue's history and publishes them like live ones."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from ingest.history.client import HistoryRefusedError, HistoryUnavailableError, VenueHistory
from ingest.history.gap_fetch import CONFIRM_DELAY_S, REFUSED_DELAY_S, GapFetch, missing_ranges
from ingest.history.page import PAGE_IDS, TimeBounds, UnavailableCause, UnavailableIds
from ingest.history.ranges import merge_ranges
from ingest.history.reader import HistoryPart, HistoryReader
from ingest.history.symbol_gaps import SymbolGaps
from ingest.publisher import Publisher
from ingest.venues.base_rest import HistoryAdapter, MissingRange
from tickplant import market, metrics
from tickplant.clock import now_us
from tickplant.errors import FatalError
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import OUTAGE
from tickplant.wire import ConnectionStatus, Verdict, VerdictKind

_log = logging.getLogger(__name__)

POLL_S: Final = 0.5
_AHEAD: Final = 10_000
"""Ids requested after the last known one where the newest is unknown."""
_SUSPECT_ATTEMPTS: Final = 2
_DOWN_AFTER_S: Final = 10.0
"""How long history may fail before that is published, and how often it is published again."""

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
            symbols: as the venue writes them.
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
        self._states = {symbol: SymbolGaps(HistoryReader(venue, symbol, history)) for symbol in symbols}
        self._fetched = metrics.INGEST_BACKFILLED.labels(venue.name)
        self._failures = metrics.INGEST_TASK_FAILURES.labels(venue.name, "history")
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._started_s = self._clock_s()
        self._failing: tuple[float, str] | None = None
        self._reported_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a fetch is running."""
        return bool(self._busy)

    def suspect(self, gap: MissingRange) -> None:
        """Fetch trades that may be missing; has no effect if they are not.

        Args:
            gap: starts after the last known id; its last id may be a guess.
        """
        state = self._states.get(gap.symbol)
        if state is not None and (state.suspected is None or state.suspected.gap != gap):
            due_s = self._clock_s()
            state.suspected = GapFetch(gap, due_s=due_s, suspected=True, max_attempts=_SUSPECT_ATTEMPTS)

    def after(self, symbol: str, trade_id: int, time_us: int) -> MissingRange:
        """Return a gap of unknown length after a trade."""
        return MissingRange(symbol, trade_id + 1, trade_id + _AHEAD, time_us)

    async def run(self, stop: asyncio.Event) -> None:
        """Fill gaps until `stop` is set."""
        add_fields(venue=self._venue.name)
        try:
            while not stop.is_set():
                for symbol, task in list(self._busy.items()):
                    if task.done():
                        del self._busy[symbol]
                        self._handle_end(symbol, task)
                await self._read_gaps()
                now_s = self._clock_s()
                for symbol, state in self._states.items():
                    due = [] if symbol in self._busy else state.due(now_s)
                    if due:
                        self._busy[symbol] = asyncio.create_task(self._fetch(symbol, state, due))
                await self._report_state()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._poll_s)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            self._busy.clear()
        with contextlib.suppress(*OUTAGE):
            await self._publisher.forget(self.name)

    async def report_down(self, reason: str) -> None:
        """Publish that history fails."""
        since_us = now_us()
        if self._failing is not None:
            since_us -= int((self._clock_s() - self._failing[0]) * 1e6)
        self._reported_s = self._clock_s()
        await self._publisher.report(
            ConnectionStatus(
                self.name, self._venue.name, self._symbols, "down", since_us, reason, told_us=now_us()
            )
        )

    async def _report_state(self) -> None:
        """Publish that history fails while it does, and remove that afterwards."""
        now_s = self._clock_s()
        if self._failing is None:
            if self._reported_s is not None:
                await self._publisher.forget(self.name)
                self._reported_s = None
        elif now_s - max(self._failing[0], self._reported_s or 0) >= _DOWN_AFTER_S:
            await self.report_down(self._failing[1])

    def _handle_end(self, symbol: str, task: asyncio.Task[None]) -> None:
        """Handle the end of one symbol's fetch; an unexpected error pauses only that symbol.

        Raises:
            FatalError: the process can't continue.
        """
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, FatalError):
            raise error
        self._failures.inc()
        self._fail(f"{symbol}: {type(error).__name__}: {error}"[:500])
        _log.error("%s:%s: fetching history failed", self._venue.name, symbol, exc_info=error)
        self._states[symbol].pause(self._clock_s())

    def _fail(self, reason: str) -> None:
        self._failing = (self._failing[0] if self._failing else self._clock_s()), reason

    async def _read_gaps(self) -> None:
        """Read the gaps from Redis."""
        known = await self._publisher.read_gaps(
            [SymbolId(self._venue.name, symbol) for symbol in self._symbols]
        )
        by_symbol: dict[str, list[market.Gap]] = {symbol: [] for symbol in self._symbols}
        for gap in known:
            by_symbol.setdefault(gap.symbol, []).append(gap)
        for symbol, gaps in by_symbol.items():
            if symbol not in self._busy and symbol in self._states:
                self._states[symbol].update(gaps, self._clock_s(), self._started_s)

    async def _fetch(self, symbol: str, state: SymbolGaps, fetches: list[GapFetch]) -> None:
        """Make one attempt at each due fetch: publish the trades, and verdicts on the other ids."""
        add_fields(symbol=symbol)
        for fetch in fetches:
            if state.is_open(fetch.gap):
                await self._publish_verdict(
                    symbol, fetch.gap.first_id, fetch.gap.last_id, "backfilling", None
                )
        last = await self._publisher.read_last_trades([SymbolId(self._venue.name, symbol)])
        state.reader.add_known(*last)
        wanted = sorted(missing_ranges(fetches))
        found: list[UnavailableIds] = []
        rest = merge_ranges(wanted, within=PAGE_IDS)
        started_us = now_us()
        try:
            while rest:
                low, high = rest[0]
                async for part in state.reader.read(low, high, _bounds(fetches, last, high)):
                    await self._publish_trades([t for t in part.trades if _holds(wanted, t.trade_id)])
                    found += part.unavailable
                    rest[0] = low, high = part.last_id + 1, high
                    if low <= high and _is_live(part, fetches, started_us):
                        found.append(
                            UnavailableIds(
                                low, high, UnavailableCause.LATE, "not traded yet when it was requested"
                            )
                        )
                        break
                rest.pop(0)
        except HistoryUnavailableError as error:
            if state.failing is None:
                _log.warning("%s:%s: history unavailable, retrying: %s", self._venue.name, symbol, error)
            state.failing = str(error)
            self._fail(f"{symbol}: {error}"[:500])
            state.pause(self._clock_s())
            found += [
                UnavailableIds(low, high, UnavailableCause.LATE, str(error))
                for low, high in rest
                if low <= high
            ]
            for fetch in fetches:
                fetch.record_interrupted(found, self._clock_s())
            return
        except HistoryRefusedError as error:
            _log.warning("%s:%s: history refused: %s", self._venue.name, symbol, error)
            found += [
                UnavailableIds(low, high, UnavailableCause.LATE, str(error))
                for low, high in rest
                if low <= high
            ]
            for fetch in fetches:
                fetch.record_interrupted(found, self._clock_s() + REFUSED_DELAY_S)
                for ids in [] if fetch.suspected else fetch.unavailable:
                    await self._publish_verdict(
                        symbol, ids.first_id, ids.last_id, "unrecoverable", str(error)
                    )
            state.forget_suspected(fetches)
            return
        self._failing = state.failing = None
        state.resume()
        for fetch in fetches:
            await self._publish_findings(symbol, state, fetch, found)

    async def _publish_findings(
        self, symbol: str, state: SymbolGaps, fetch: GapFetch, found: list[UnavailableIds]
    ) -> None:
        """Publish the verdicts that an attempt proved."""
        now_s = self._clock_s()
        proven = fetch.record(found, now_s)
        if fetch.suspected:
            state.drop_finished(fetch)
            return
        for ids in proven:
            if ids.cause is UnavailableCause.OMITTED:
                await self._publish_verdict(symbol, ids.first_id, ids.last_id, "void", None)
                gap = MissingRange(symbol, ids.first_id, ids.last_id, fetch.gap.after_time_us)
                state.confirm(gap, now_s + CONFIRM_DELAY_S)
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


def _bounds(fetches: Sequence[GapFetch], last: Sequence[Trade], last_id: int) -> TimeBounds:
    """Return the times between which the trades up to an id must lie."""
    after_us = min(fetch.gap.after_time_us for fetch in fetches)
    newest = last[0] if last else None
    if newest is not None and newest.trade_id > last_id:
        return TimeBounds(after_us, newest.event_time_us)
    return TimeBounds(after_us, max(now_us(), newest.event_time_us if newest else 0))


def _is_live(part: HistoryPart, fetches: Sequence[GapFetch], started_us: int) -> bool:
    """Return whether history has reached trades newer than the attempt, with no known gap beyond.

    Newer trades arrive over the connection. The last id of a suspected gap is a guess: without this check, a
    symbol that trades faster than history is read would be followed at the expense of known gaps.
    """
    if not part.trades or part.trades[-1].event_time_us < started_us:
        return False
    return all(fetch.suspected for fetch in fetches if fetch.gap.last_id > part.last_id)


def _holds(wanted: Sequence[tuple[int, int]], trade_id: int) -> bool:
    return any(low <= trade_id <= high for low, high in wanted)
