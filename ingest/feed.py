"""The feed of some symbols of one venue: connects, subscribes, publishes, reconnects."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

from ingest.buffer import FrameBuffer
from ingest.connection_lock import ConnectionLock
from ingest.history.backfill import Backfill
from ingest.intake import Intake
from ingest.publisher import Publisher
from ingest.rate_limits import RateLimit
from ingest.reporter import ConnectionReporter
from ingest.session import VenueSession
from ingest.silence_timer import SilenceTimer
from ingest.subscription import RETRY_REFUSED_CAP_S, RETRY_REFUSED_S
from ingest.venues.base import VenueAdapter
from ingest.venues.base_rest import MissingRange
from tickplant import metrics
from tickplant.background import background
from tickplant.backoff import Backoff, bound_s
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.outage import OutageLog
from tickplant.proxies import Proxy

_log = logging.getLogger(__name__)

_STOP_TIMEOUT_S: Final = 10.0
"""How long a session may take to end when asked to; then it is cancelled."""
_OVERLAP_S: Final = 5.0
"""How long a replaced connection stays open beside its successor, so that no trade is lost."""


class Feed:
    """The trades of some symbols of one venue, over one connection, or two while one replaces the other."""

    def __init__(
        self,
        *,
        name: str,
        venue: VenueAdapter,
        symbols: Sequence[str],
        base_url: str,
        publisher: Publisher,
        buffer: FrameBuffer,
        connects: RateLimit | None,
        messages: RateLimit | None,
        subscribing: asyncio.Lock,
        connection_lock: ConnectionLock | None,
        backfill: Backfill | None,
        proxy: Proxy | None = None,
    ) -> None:
        """Initialize the feed.

        Args:
            name: the connection's name in logs, metrics and the API.
            venue: the adapter.
            symbols: as the venue writes them.
            base_url: the venue's websocket address.
            publisher: writes trades to Redis.
            buffer: bounds frames that are received and not yet published.
            connects: the venue's limit for connection attempts; None where it has none.
            messages: likewise for messages sent to it.
            subscribing: held from connecting until subscribed, so that a new connection does not wait for the
                message limit behind other feeds of the venue.
            connection_lock: held while connected, where the venue allows one connection only.
            backfill: fetches trades lost between connections; None for a venue without history.
            proxy: to connect through; None for a direct connection.
        """
        self.name = name
        self.venue = venue
        self.symbols = tuple(symbols)
        self.url = venue.stream_url(base_url, symbols)
        self.proxy = proxy
        self.buffer = buffer
        self.connects = connects
        self.messages = messages
        self.subscribing = subscribing
        self.connection_lock = connection_lock
        self.silence_timer = SilenceTimer()
        self.backoff = Backoff(first_s=0.5, cap_s=30.0)
        self.reporter = ConnectionReporter(name, venue.name, symbols, publisher)
        self.intake = Intake(
            name=name,
            venue=venue,
            symbols=symbols,
            publisher=publisher,
            suspect=self._suspect,
        )
        self.publisher = publisher
        self._backfill = backfill
        self._sessions: list[VenueSession] = []
        self._outage = OutageLog(_log, f"{name}: disconnected, retrying")
        self._refusals = 0
        labels = venue.name, name.rpartition("/")[2]
        self._age, self._silence = (
            gauge.labels(*labels) for gauge in (metrics.INGEST_SOCKET_AGE_S, metrics.INGEST_SILENCE_S)
        )
        self._connects_by = {
            outcome: metrics.INGEST_CONNECTS.labels(venue.name, outcome)
            for outcome in ("live", "lost", "refused")
        }
        self._refused = metrics.INGEST_REFUSED_SYMBOLS.labels(*labels)

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop` is set; publish everything received before returning."""
        add_fields(venue=self.venue.name, connection=self.name)
        async with background(self.reporter.run()):
            await self._receive(stop)
        await self.reporter.forget()

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
        await self.reporter.publish()  # its task runs only while the feed does

    async def catch_up(self, symbols: Sequence[str]) -> None:
        """Request the trades between the last one published and the connection's first."""
        if self._backfill is None:
            return
        for last in await self.publisher.read_last_trades(
            [SymbolId(self.venue.name, symbol) for symbol in symbols]
        ):
            self._backfill.suspect(self._backfill.after(last.symbol, last.trade_id, last.event_time_us))

    def report(self, session: VenueSession, state: str, reason: str = "") -> None:
        """Set the state of the connection from a session's; while another session is live it stays live."""
        if any(other.is_live for other in self._sessions if other is not session):
            self.reporter.set_state("live", f"its successor is {state}: {reason}" if reason else "")
        else:
            self.reporter.set_state(state, reason)

    def note_live(self, session: VenueSession) -> None:
        """Handle that a session is subscribed."""
        self._outage.note_success()
        self._refusals = 0
        self._connects_by["live"].inc()
        _log.info("%s: connected, %d symbols", self.name, len(session.answers.accepted) or len(self.symbols))
        self.reporter.set_state("live")

    def note_failure(self, session: VenueSession, reason: str, *, refused: bool) -> None:
        """Handle the unexpected end of a session."""
        self._connects_by["refused" if refused else "lost"].inc()
        self.report(session, "down", reason)
        if any(other.is_live for other in self._sessions if other is not session):
            _log.warning("%s: the replacement failed, the old connection stays: %s", self.name, reason)
            return
        self._age.set(0)
        self._outage.note_failure(reason)

    def note_refused(self, refused: Mapping[str, str]) -> None:
        """Record the refused symbols with their reasons; log each once."""
        for symbol in self.symbols:
            reason = refused.get(symbol)
            if reason is None:
                if self.reporter.clear_problem(symbol, "refused"):
                    _log.info("%s: the venue now accepts %s", self.name, symbol, extra={"symbol": symbol})
            elif self.reporter.note_problem(symbol, "refused", reason):
                _log.warning(
                    "%s: the venue refuses %s, retrying: %s",
                    self.name,
                    symbol,
                    reason,
                    extra={"symbol": symbol},
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
        """Return the session that follows; the old one stays until the new one is live.

        Where the venue allows one connection only, the old session stays until the venue closes it.
        """
        if self.connection_lock is not None:
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
        self._sessions = [known for known in self._sessions if not known.task.done()] + [session]
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
        if self._backfill is not None:
            self._backfill.suspect(gap)


async def _first_of(*waits: Awaitable[object], timeout_s: float | None = None) -> None:
    """Wait until the first awaitable is done; leave tasks running and cancel the other awaitables."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
