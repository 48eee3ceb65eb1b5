"""The feed of some symbols of one venue: connects, subscribes, publishes, reconnects."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

from ingest.feed_context import FeedContext
from ingest.intake import Intake
from ingest.reporter import ConnectionReporter
from ingest.session import VenueSession
from ingest.silence_timer import SilenceTimer, TradeTimer
from ingest.subscription import RETRY_REFUSED_CAP_S, RETRY_REFUSED_S
from ingest.venues.base_rest import MissingRange
from tickplant import metrics
from tickplant.background import background
from tickplant.backoff import Backoff, bound_s
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

_STOP_TIMEOUT_S: Final = 10.0
"""How long a session may take to end when asked to; then it is cancelled."""
_OVERLAP_S: Final = 5.0
"""How long a replaced connection stays open beside its successor, so that no trade is lost."""


class Feed:
    """The trades of some symbols of one venue, over one connection, or two while one replaces the other."""

    def __init__(self, name: str, symbols: Sequence[str], context: FeedContext) -> None:
        """Initialize the feed.

        Args:
            name: the connection's name in logs, metrics and the API.
            symbols: in the venue's notation.
            context: what the venue's feeds share.
        """
        venue, publisher = context.venue, context.publisher
        self.name = name
        self.symbols = tuple(symbols)
        self.context = context
        self.url = venue.stream_url(context.base_url, symbols)
        self.silence_timer = SilenceTimer()
        self.trade_timer = TradeTimer()
        self.backoff = Backoff(first_s=0.5, cap_s=30.0)
        self.reporter = ConnectionReporter(name, venue.name, symbols, publisher)
        self.intake = Intake(
            name=name, venue=venue, symbols=symbols, publisher=publisher, suspect=self._suspect
        )
        self._sessions: list[VenueSession] = []
        self._outage = OutageLog(_log, f"{name}: disconnected, retrying")
        self._refusals = 0
        labels = venue.name, name.rpartition("/")[2]
        self._age = metrics.INGEST_SOCKET_AGE_S.labels(*labels)
        self._silence = metrics.INGEST_SILENCE_S.labels(*labels)
        self._refused = metrics.INGEST_REFUSED_SYMBOLS.labels(*labels)
        self._connect_counters = {
            outcome: metrics.INGEST_CONNECTS.labels(venue.name, outcome)
            for outcome in ("live", "lost", "refused")
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop` is set; publish everything received before returning."""
        add_fields(venue=self.context.venue.name, connection=self.name)
        async with background(self.reporter.run()):
            await self._receive(stop)
        await self.reporter.remove()

    async def _receive(self, stop: asyncio.Event) -> None:
        try:
            session = self._start_session()
            while not stop.is_set():
                await _first_of(session.task, session.replace.wait(), stop.wait())
                if session.task.done():
                    session.task.result()
                    await _first_of(stop.wait(), timeout_s=self._pause_s(session))
                    if not stop.is_set():
                        session = self._start_session()
                elif not stop.is_set():
                    session = await self._replace(session, stop)
        finally:
            await self._end_sessions()

    async def report_down(self, reason: str) -> None:
        """Publish that there is no connection."""
        self._age.set(0)
        self.reporter.set_state("down", reason)
        await self.reporter.publish()  # its own task has ended with the feed

    async def catch_up(self, symbols: Sequence[str]) -> None:
        """Request the trades between the last one published and the connection's first."""
        context = self.context
        if context.backfill is None:
            return
        symbol_ids = [SymbolId(context.venue.name, symbol) for symbol in symbols]
        for last in await context.publisher.read_last_trades(symbol_ids):
            context.backfill.suspect_after(last)

    def report(self, session: VenueSession, state: str, reason: str = "") -> None:
        """Set the state of the connection from a session's; while another session is live it stays live."""
        if any(other.is_live for other in self._sessions if other is not session):
            self.reporter.set_state("live", f"its successor is {state}: {reason}" if reason else "")
        else:
            self.reporter.set_state(state, reason)

    def note_live(self, session: VenueSession) -> None:
        """Note that a session is subscribed."""
        self._outage.note_success()
        self._refusals = 0
        self._connect_counters["live"].inc()
        subscribed = len(self.symbols) - len(session.answers.refused)
        _log.info("%s: connected, subscribed symbols: %d", self.name, subscribed)
        self.reporter.set_state("live")

    def note_failure(self, session: VenueSession, reason: str, *, refused: bool) -> None:
        """Note the unexpected end of a session."""
        self._connect_counters["refused" if refused else "lost"].inc()
        self.report(session, "down", reason)
        if any(other.is_live for other in self._sessions if other is not session):
            _log.warning("%s: the new connection failed, the old one stays: %s", self.name, reason)
            return
        self._age.set(0)
        self._outage.note_failure(reason)

    def note_refused(self, refused: Mapping[str, str]) -> None:
        """Record the refused symbols with their reasons; log each once."""
        for symbol in self.symbols:
            reason = refused.get(symbol)
            fields = {"symbol": symbol}
            if reason is None:
                if self.reporter.clear_problem(symbol, "refused"):
                    _log.info("%s: the venue now accepts %s", self.name, symbol, extra=fields)
            elif self.reporter.note_problem(symbol, "refused", reason):
                _log.warning(
                    "%s: the venue refuses %s, retrying: %s", self.name, symbol, reason, extra=fields
                )
        self._refused.set(len(refused))

    def note_listing(self, symbol: str, state: str, reason: str) -> None:
        """Record whether a symbol is unknown, halted or silent; an empty reason clears the state."""
        if not reason:
            if self.reporter.clear_problem(symbol, state):
                _log.info("%s: %s is no longer %s", self.name, symbol, state, extra={"symbol": symbol})
        elif self.reporter.note_problem(symbol, state, reason):
            _log.warning("%s: %s is %s: %s", self.name, symbol, state, reason, extra={"symbol": symbol})

    def last_trade(self, symbol: str) -> Trade | None:
        """Return the newest trade of a symbol that this process received."""
        return self.intake.last_trade(symbol)

    def set_gauges(self, age_s: float, silence_s: float) -> None:
        """Set the connection's gauges."""
        self._age.set(age_s)
        self._silence.set(silence_s)

    async def _replace(self, old: VenueSession, stop: asyncio.Event) -> VenueSession:
        """Return the session that follows an old one, which stays until the new one is live.

        Where the venue allows one connection only, the old session stays until the venue closes it.
        """
        if self.context.connection_lock is not None:
            await _first_of(old.task, stop.wait())
            return old
        _log.info("%s: replacing the connection", self.name)
        backoff = Backoff(first_s=2.0, cap_s=30.0)
        while True:
            new = self._start_session()
            await _first_of(new.live.wait(), new.task, old.task, stop.wait())
            if new.is_live and not old.mute:
                await _first_of(old.task, new.task, stop.wait(), timeout_s=_OVERLAP_S)
            if new.is_live:
                old.stop.set()
                await old.task
                return new
            if old.task.done() or stop.is_set():
                return new
            if new.task.done():
                new.task.result()
            await _first_of(old.task, stop.wait(), timeout_s=backoff.next_s())
            if old.task.done() or stop.is_set():
                return old

    def _start_session(self) -> VenueSession:
        session = VenueSession(self)
        self._sessions = [other for other in self._sessions if not other.task.done()] + [session]
        return session

    async def _end_sessions(self) -> None:
        tasks = [session.task for session in self._sessions]
        for session in self._sessions:
            session.stop.set()
        _, late = await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pause_s(self, ended: VenueSession) -> float:
        """Return how long to wait before the next session."""
        if not ended.refused:
            return self.backoff.next_s()
        self._refusals += 1
        return bound_s(self._refusals - 1, first_s=RETRY_REFUSED_S, cap_s=RETRY_REFUSED_CAP_S)

    def _suspect(self, gap: MissingRange) -> None:
        if self.context.backfill is not None:
            self.context.backfill.suspect(gap)


async def _first_of(*waits: Awaitable[object], timeout_s: float | None = None) -> None:
    """Wait until the first awaitable is done; leave tasks running and cancel the other awaitables."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
