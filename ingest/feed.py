"""Some symbols of one venue: connected, subscribed, received, published; reconnected when lost."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from ingest.backfill import Backfill
from ingest.connection import VenueConnection, open_connection
from ingest.intake import Intake
from ingest.publisher import Publisher
from ingest.pulse import Pulse
from ingest.rate import Rate
from ingest.session import Session
from ingest.turn import Turn
from ingest.venues.base import Gap, Venue
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.logs import add_fields
from tickplant.market import SymbolId
from tickplant.proxies import Proxy
from tickplant.redis_client import OUTAGE
from tickplant.wire import Connection

_log = logging.getLogger(__name__)

CLOCK_INTERVAL_S: Final = 1.0
_TELL_INTERVAL_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 10.0
_SUBSCRIBE_TIMEOUT_S: Final = 30.0
_REPLACE_AT: Final = 0.9
"""Of the age at which the venue closes a connection: when it is replaced."""
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
        venue: Venue,
        symbols: Sequence[str],
        base_url: str,
        publisher: Publisher,
        connects: Rate | None,
        messages: Rate | None,
        subscribing: asyncio.Lock,
        turn: Turn | None,
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
            connects: the venue's limit for connection attempts; None where it has none.
            messages: likewise for messages sent to it.
            subscribing: held from connecting to being subscribed, by one of a venue's feeds at a time, since
                who has connected must not wait long for its right to send.
            turn: the right to be connected, where the venue allows one connection only.
            backfill: heals what is lost between connections; None where the venue numbers nothing.
            proxy: leads to the venue; None: nothing does but the network.
        """
        self._name = name
        self._proxy = proxy
        self._venue = venue
        self._symbols = tuple(symbols)
        self._url = venue.stream_url(base_url, symbols)
        self._publisher = publisher
        self._connects = connects
        self._messages = messages
        self._subscribing = subscribing
        self._turn = turn
        self._backfill = backfill
        self._intake = Intake(
            name=name, venue=venue, symbols=symbols, publisher=publisher, suspect=self._suspect
        )
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self._pulse = Pulse()
        self._state, self._since_us = "", 0
        self._down = False
        labels = venue.name, name.rpartition("/")[2]
        self._age, self._silence = (
            gauge.labels(*labels) for gauge in (metrics.INGEST_SOCKET_AGE_S, metrics.INGEST_SILENCE_S)
        )
        self._connects_by = {
            outcome: metrics.INGEST_CONNECTS.labels(venue.name, outcome)
            for outcome in ("live", "lost", "refused")
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop` is set; what has been received by then is published before returning."""
        add_fields(venue=self._venue.name, connection=self._name)
        stopping = asyncio.create_task(stop.wait())
        sessions: list[tuple[Session, asyncio.Task[None]]] = [self._begin()]
        try:
            while not stop.is_set():
                current, task = sessions[-1]
                replacing = asyncio.create_task(current.replace.wait())
                await asyncio.wait({task, replacing, stopping}, return_when=asyncio.FIRST_COMPLETED)
                replacing.cancel()
                if task.done():
                    task.result()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), self._backoff.next_s())
                    sessions = [self._begin()]
                elif current.replace.is_set() and not stop.is_set():
                    sessions = await self._make_before_break(current, task)
        finally:
            stopping.cancel()
            for session, _ in sessions:
                session.stop.set()
            _, late = await asyncio.wait({task for _, task in sessions}, timeout=_STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*(task for _, task in sessions), return_exceptions=True)
        with contextlib.suppress(*OUTAGE):
            await self._publisher.forget(self._name)

    async def _make_before_break(
        self, old: Session, old_task: asyncio.Task[None]
    ) -> list[tuple[Session, asyncio.Task[None]]]:
        """Replace a connection by a new one that is live before the old one ends."""
        _log.info("%s: replacing the connection", self._name)
        if self._turn is not None:
            old.stop.set()
        new, new_task = self._begin()
        live = asyncio.create_task(new.live.wait())
        await asyncio.wait({live, new_task}, return_when=asyncio.FIRST_COMPLETED)
        live.cancel()
        if not new_task.done():
            await asyncio.wait({old_task}, timeout=_OVERLAP_S)
        old.stop.set()
        await asyncio.gather(old_task)
        return [(new, new_task)]

    def _begin(self) -> tuple[Session, asyncio.Task[None]]:
        session = Session()
        return session, asyncio.create_task(self._connect(session))

    async def _connect(self, session: Session) -> None:
        """Live through one connection; ends when it is lost, refused, or no longer needed.

        Raises:
            InvalidURI: the address is none.
        """
        try:
            if self._turn is not None:
                await self._turn.take()
            if self._connects is not None:
                await self._connects.take()
            async with contextlib.AsyncExitStack() as admission:
                if self._messages is not None:
                    await admission.enter_async_context(self._subscribing)
                await self._report("connecting")
                async with open_connection(
                    self._url, timeout_s=_CONNECT_TIMEOUT_S, proxy=self._proxy
                ) as connection:
                    assert isinstance(connection, VenueConnection)
                    if connection.response is not None:
                        await self._publisher.claim_source(connection.response.headers)
                    await self._receive(connection, session, admission)
        except InvalidURI:
            raise
        except (*OUTAGE, TimeoutError, WebSocketException) as error:
            if session.stop.is_set():
                return
            refused = isinstance(error, InvalidHandshake)
            self._connects_by["refused" if refused else "lost"].inc()
            self._age.set(0)
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            if not self._down:
                _log.warning("%s: no connection, trying until there is one: %s", self._name, reason)
            self._down = True
            await self._report("down", reason)
        finally:
            if self._turn is not None:
                with contextlib.suppress(*OUTAGE):
                    await self._turn.give_back()

    async def _receive(
        self, connection: VenueConnection, session: Session, admission: contextlib.AsyncExitStack
    ) -> None:
        tasks = [
            asyncio.create_task(self._close_on(session.stop, connection)),
            asyncio.create_task(self._subscribe(connection, session, admission)),
            asyncio.create_task(self._watch(connection, session)),
        ]
        for task in tasks:
            task.add_done_callback(lambda ended: _abort_if_failed(ended, connection))
        try:
            while True:
                reads = await connection.take()
                await self._intake.handle(reads, session)
        except WebSocketException:
            failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
            if failed:
                raise failed[0].exception() or AssertionError from None
            if not session.stop.is_set():
                raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_on(self, stop: asyncio.Event, connection: VenueConnection) -> None:
        await stop.wait()
        await connection.close()

    async def _subscribe(
        self, connection: VenueConnection, session: Session, admission: contextlib.AsyncExitStack
    ) -> None:
        """Subscribe at the venue's pace, wait for what it says, then ask for what was missed.

        Raises:
            TimeoutError: the venue has not acknowledged in time; the connection is closed.
        """
        try:
            for message in self._venue.subscribe_messages(self._symbols):
                if self._messages is not None:
                    await self._messages.take()
                await connection.send(message)
            if self._venue.acknowledges:
                await asyncio.wait_for(self._intake.acknowledged(session), _SUBSCRIBE_TIMEOUT_S)
        except TimeoutError:
            await connection.close()
            raise TimeoutError("subscriptions were not acknowledged in time") from None
        await admission.aclose()
        session.live.set()
        self._down = False
        self._connects_by["live"].inc()
        _log.info("%s: connected, %d symbols", self._name, len(self._symbols))
        await self._report("live")
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Ask for the trades between the last one known and this connection's first."""
        if self._backfill is None:
            return
        symbols = [SymbolId(self._venue.name, symbol) for symbol in self._symbols]
        for last in await self._publisher.read_last_trades(symbols):
            self._backfill.suspect(self._backfill.after(last.symbol, last.trade_id, last.event_time_us))

    def _suspect(self, gap: Gap) -> None:
        if self._backfill is not None:
            self._backfill.suspect(gap)

    async def _watch(self, connection: VenueConnection, session: Session) -> None:
        """Write the venue's time into the streams; notice silence, and age."""
        loop = asyncio.get_running_loop()
        limits = self._venue.limits
        replace_s = loop.time() + limits.connection_age_s * _REPLACE_AT if limits.connection_age_s else None
        frame_count = 0
        connected_s = loop.time()
        tell_s = loop.time() + _TELL_INTERVAL_S
        while True:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            self._pulse.beat(connection.frame_count - frame_count)
            frame_count = connection.frame_count
            if not session.replace.is_set():  # else its successor tells
                self._age.set(loop.time() - connected_s)
                self._silence.set(connection.mute_s)
            if connection.dead_s > limits.silence_s or connection.mute_s > self._pulse.deadline_s:
                _log.warning("%s: nothing heard for %.0f s", self._name, connection.mute_s)
                connection.transport.abort()
                return
            if self._turn is not None and not await self._turn.keep():
                raise TimeoutError("another process has the venue's only connection")
            if replace_s is not None and loop.time() > replace_s:
                session.replace.set()
            self._backoff.reset()
            if connection.drained and session.live.is_set():
                await self._intake.publish_time()
            if session.live.is_set() and loop.time() >= tell_s:
                tell_s = loop.time() + _TELL_INTERVAL_S
                await self._report("live")

    async def _report(self, state: str, reason: str = "") -> None:
        told_us = now_us()
        if state != self._state:
            self._state, self._since_us = state, told_us
        await self._publisher.report(
            Connection(
                self._name, self._venue.name, self._symbols, state, self._since_us, reason, told_us=told_us
            )
        )


def _abort_if_failed(task: asyncio.Task[None], connection: VenueConnection) -> None:
    """End a connection whose watch has failed; whoever receives from it then raises what has failed."""
    if not task.cancelled() and task.exception() is not None:
        connection.transport.abort()
