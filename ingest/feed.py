"""Some symbols of one venue: connected, subscribed, received, published; reconnected when lost."""

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
from ingest.subscription import ASK_AGAIN_CAP_S, ASK_AGAIN_S
from ingest.venues.base import MissingRange, VenueAdapter
from tickplant import metrics
from tickplant.backoff import Backoff, bound_s
from tickplant.logs import add_fields
from tickplant.market import SymbolId, Trade
from tickplant.proxies import Proxy

_log = logging.getLogger(__name__)

_STOP_TIMEOUT_S: Final = 10.0
"""How long a connection may take to end when told to; one that waits for a permission is given up."""
_OVERLAP_S: Final = 5.0
"""How long a connection stays that has been replaced, so that nothing falls between the two."""


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
        turn: ConnectionLock | None,
        backfill: Backfill | None,
        proxy: Proxy | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            name: of the connection, for logs and whoever watches.
            venue: the adapter.
            symbols: as the venue writes them.
            base_url: the venue's websocket address.
            publisher: where trades go.
            buffer: bounds what is received and not yet published.
            connects: the venue's limit for connection attempts; None where it has none.
            messages: likewise for messages sent to it.
            subscribing: held from connecting to being subscribed, by one of a venue's feeds at a time, since
                who has connected must not wait long for its right to send.
            turn: the right to be connected, where the venue allows one connection only.
            backfill: heals what is lost between connections; None where the venue numbers nothing.
            proxy: leads to the venue; None: nothing does but the network.
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
        self.turn = turn
        self.pulse = SilenceTimer()
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
        self._down = False
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
        """Receive until `stop` is set; what has been received by then is published before returning."""
        add_fields(venue=self.venue.name, connection=self.name)
        reporting = asyncio.create_task(self.reporter.run())
        try:
            session = self._begin()
            while not stop.is_set():
                await _first_of(session.task, session.replace.wait(), stop.wait())
                if session.task.done():
                    session.task.result()
                    await _first_of(stop.wait(), timeout_s=self._pause_s(session))
                    if not stop.is_set():
                        session = self._begin()
                elif not stop.is_set():
                    session = await self._replace(session, stop)
        finally:
            await self._end_sessions()
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        await self.reporter.forget()

    async def report_down(self, reason: str) -> None:
        """Tell everybody downstream that there is no connection."""
        self._age.set(0)
        self.reporter.tell("down", reason)
        await self.reporter.publish()  # it does not run while the feed doesn't

    async def catch_up(self, symbols: Sequence[str]) -> None:
        """Ask for the trades between the last one known and a connection's first."""
        if self._backfill is None:
            return
        for last in await self.publisher.read_last_trades(
            [SymbolId(self.venue.name, symbol) for symbol in symbols]
        ):
            self._backfill.suspect(self._backfill.after(last.symbol, last.trade_id, last.event_time_us))

    def report(self, session: VenueSession, state: str, reason: str = "") -> None:
        """Tell the state of a session; one that is live speaks for its successor, too."""
        if any(other.is_live for other in self._sessions if other is not session):
            self.reporter.tell("live", f"its successor is {state}: {reason}" if reason else "")
        else:
            self.reporter.tell(state, reason)

    def note_live(self, session: VenueSession) -> None:
        """Note that a session has been subscribed."""
        self._down = False
        self._refusals = 0
        self._connects_by["live"].inc()
        _log.info("%s: connected, %d symbols", self.name, len(session.answers.accepted) or len(self.symbols))
        self.reporter.tell("live")

    def note_failure(self, session: VenueSession, reason: str, *, refused: bool) -> None:
        """Note that a session has ended though it was needed."""
        self._connects_by["refused" if refused else "lost"].inc()
        self.report(session, "down", reason)
        if any(other.is_live for other in self._sessions if other is not session):
            _log.warning("%s: no successor yet, the connection stays: %s", self.name, reason)
            return
        self._age.set(0)
        if not self._down:
            _log.warning("%s: no connection, trying until there is one: %s", self.name, reason)
        self._down = True

    def note_refused(self, refused: Mapping[str, str]) -> None:
        """Note which symbols the venue refuses, and why; each is logged once."""
        for symbol in self.symbols:
            reason = refused.get(symbol)
            if reason is None:
                if self.reporter.clear_problem(symbol, "refused"):
                    _log.info("%s: the venue accepts %s now", self.name, symbol, extra={"symbol": symbol})
            elif self.reporter.note_problem(symbol, "refused", reason):
                _log.warning(
                    "%s: the venue refuses %s, and is asked again: %s",
                    self.name,
                    symbol,
                    reason,
                    extra={"symbol": symbol},
                )
        self._refused.set(len(refused))

    def note_listing(self, symbol: str, state: str, reason: str) -> None:
        """Note what the venue's list, or its silence, says of a symbol; an empty reason: nothing is wrong."""
        if not reason:
            if self.reporter.clear_problem(symbol, state):
                _log.info("%s: %s is no longer %s", self.name, symbol, state, extra={"symbol": symbol})
        elif self.reporter.note_problem(symbol, state, reason):
            _log.warning("%s: %s is %s: %s", self.name, symbol, state, reason, extra={"symbol": symbol})

    def last_trade(self, symbol: str) -> Trade | None:
        """Return the newest trade received of a symbol by this process."""
        return self.intake.last_trade(symbol)

    def show(self, age_s: float, silence_s: float) -> None:
        """Set the gauges of the connection."""
        self._age.set(age_s)
        self._silence.set(silence_s)

    async def _replace(self, old: VenueSession, stop: asyncio.Event) -> VenueSession:
        """Return the session that follows: one that is live beside the old, which stays for so long.

        Where the venue allows one connection only, the old one stays until the venue ends it.
        """
        if self.turn is not None:
            await _first_of(old.task, stop.wait())
            return old
        _log.info("%s: replacing the connection", self.name)
        backoff = Backoff(first_s=2.0, cap_s=30.0)
        while True:
            new = self._begin()
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

    def _begin(self) -> VenueSession:
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
        """Return how long to wait after a session has ended."""
        if not ended.refused:
            return self.backoff.next_s()
        self._refusals += 1
        return bound_s(self._refusals - 1, first_s=ASK_AGAIN_S, cap_s=ASK_AGAIN_CAP_S)

    def _suspect(self, gap: MissingRange) -> None:
        if self._backfill is not None:
            self._backfill.suspect(gap)


async def _first_of(*waits: Awaitable[object], timeout_s: float | None = None) -> None:
    """Wait until the first of some is done; tasks among them go on, all else is cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
