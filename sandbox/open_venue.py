"""A venue that is open: its source, its connections, its REST interface, and whom it lets in."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from sandbox.audience import Audience
from sandbox.connection import Connection
from sandbox.faults import Fault, Mishaps, Plan
from sandbox.limits import Door, Limits
from sandbox.line import TroubledLine
from sandbox.source import Source, State, Status
from sandbox.venue import Answer, BadAddressError, Venue

_SHUTDOWN_S: Final = 1.0
"""Between the notice and the end."""

logger = logging.getLogger(__name__)


class VenueStatus(Struct, frozen=True):
    """What one venue has done and seen."""

    state: State
    sent: int
    total: int | None
    connections: int
    """Open now."""
    accepted: int
    """Websockets so far."""
    bans: int
    faults: dict[str, int]
    """How often each was seen to."""


class OpenVenue:
    """One venue of the process.

    Args:
        source: its trades.
        limits: what it allows.
        clock_us: this machine's time, for what has nothing to do with the venue's.
        backlog_bytes: what may lie unsent for a slow client of a source that doesn't wait.
        history_status: REST history is off, and answered with this; None: it is on.
        plan: what goes wrong; None: nothing does.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        *,
        clock_us: Callable[[], int],
        backlog_bytes: int,
        history_status: int | None,
        plan: Plan | None,
    ) -> None:
        self.source = source
        self.audience = Audience(backlog_bytes)
        self._limits = limits
        self._door = Door(limits)
        self._rest = source.venue.open_rest(source, limits, clock_us)
        self._clock_us = clock_us
        self._history_status = history_status
        self._plan = plan
        self._faults: Counter[str] = Counter()
        self._sockets = count(1)
        self._requests = count(1)
        self._connections: set[Connection] = set()
        self._accepted = 0

    @property
    def venue(self) -> Venue:
        """Its protocol."""
        return self.source.venue

    @property
    def connections(self) -> frozenset[Connection]:
        """The websockets that are open."""
        return frozenset(self._connections)

    def status(self, played: Status) -> VenueStatus:
        """Say what has happened; `played` is the source's own status."""
        return VenueStatus(
            played.state,
            played.sent,
            played.total,
            len(self._connections),
            self._accepted,
            self._door.bans,
            dict(sorted(self._faults.items())),
        )

    def respond(self, connection: Connection, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Answer a request that is not for a websocket; None lets a websocket open.

        Args:
            connection: that it came on.
            path: with its query, without what names the venue.
            headers: of the request.
        """
        if "websocket" in headers.get("Upgrade", "").lower():
            return self._admit(connection, path)
        return self._read(path, headers)

    async def converse(self, connection: Connection) -> None:
        """Serve a websocket until it ends."""
        self._accepted += 1
        self._connections.add(connection)
        self.audience.add(connection)
        idle = self._watch_idle(connection)
        try:
            connection.say(connection.session.greet())
            async with asyncio.timeout(self._limits.connection_age_s):
                async for message in connection:
                    self._receive(connection, message)
        except TimeoutError:
            await connection.close(CloseCode.GOING_AWAY, "a connection is valid for 24 hours")
        except ConnectionClosed:
            logger.debug("client %s went without a closing handshake", connection.remote_address)
        finally:
            if idle is not None:
                idle.cancel()
            self._connections.discard(connection)
            self.audience.remove(connection)

    def beat(self) -> None:
        """Send what is sent once a second."""
        for connection in tuple(self._connections):
            connection.say(connection.session.beat(quiet=connection.quiet))
            connection.quiet = True

    def announce_end(self) -> None:
        """Tell the connections that the venue closes, as far as it does tell."""
        for connection in tuple(self._connections):
            notice = self.venue.shutdown_notice(connection.view, self.source.now_us())
            if notice is not None and connection.backlog_bytes == 0:
                connection.say([notice])

    def _read(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a REST request, unless that goes wrong."""
        planned = self._plan.request(self.venue.name, next(self._requests)) if self._plan else None
        if planned is not None:
            self._count(planned.fault)
            if planned.status is not None:
                return self._fail(planned.status, planned.retry_after_s)
        if self._history_status is not None and self.venue.is_history(path.partition("?")[0]):
            return self.venue.refusal(self._history_status, "history is switched off")
        now_us = self.source.now_us() + (planned.skew_us if planned else 0)
        answer = self._rest.get(path, headers, now_us)
        return answer or self.venue.refusal(404, "there is no such endpoint")

    def _fail(self, status: int, retry_after_s: int | None) -> Answer:
        if status == 418 != self._limits.ban_status:
            status = 429
        extra = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if status >= 500:
            return Answer(status, {"Content-Type": "text/html", **extra}, b"<html>Server error</html>")
        answer = self.venue.refusal(status, "Too many requests")
        return answer._replace(headers={**answer.headers, **extra})

    def _admit(self, connection: Connection, path: str) -> Answer | None:
        """Let a websocket in, or say why not."""
        left_s = self._door.admit(connection.address, asyncio.get_running_loop().time())
        if left_s is not None:
            return self._banned(left_s)
        mishaps = self._plan.connection(self.venue.name, next(self._sockets)) if self._plan else None
        skew_us = mishaps.skew_us if mishaps else 0
        try:
            connection.session = self.venue.open_session(
                path, self.source, lambda: self.source.now_us() + skew_us
            )
        except BadAddressError as error:
            return self.venue.refusal(error.status, str(error))
        if len(connection.view.streams) > self._limits.streams_per_connection:
            self._ban(connection, "asked for too many streams")
            return self._banned(self._limits.ban_s)
        if mishaps is not None and (refusal := self._trouble(connection, mishaps)):
            return refusal
        connection.pace(self._limits, lambda: self._ban(connection, "sent too many messages a second"))
        connection.converse = self.converse
        return None

    def _trouble(self, connection: Connection, mishaps: Mishaps) -> Answer | None:
        """Let things go wrong on a connection; refuse it, where its address is its subscription."""
        if mishaps.skew_us:
            self._count(Fault.SKEWED)
        if connection.view.streams and mishaps.subscribe(acknowledges=False):
            self._count(Fault.REFUSED)
            return self.venue.refusal(503, "please try again later")

        def on_fault(fault: Fault) -> None:
            self._count(fault)
            if fault is Fault.SHUTDOWN:
                self._shut_down(connection)

        connection.line = TroubledLine(mishaps, connection, on_fault)
        return None

    def _count(self, fault: Fault) -> None:
        self._faults[fault] += 1

    def _shut_down(self, connection: Connection) -> None:
        notice = self.venue.shutdown_notice(connection.view, self.source.now_us())
        connection.say([] if notice is None else [notice])
        asyncio.get_running_loop().call_later(
            _SHUTDOWN_S, connection.fail, "server shutdown", CloseCode.GOING_AWAY
        )

    def _receive(self, connection: Connection, message: str | bytes) -> None:
        connection.say(self._obey(connection, message))
        if len(connection.view.streams) > self._limits.streams_per_connection:
            self._ban(connection, "asked for too many streams")
            connection.fail("Too many streams")

    def _obey(self, connection: Connection, message: str | bytes) -> Sequence[str]:
        """Do what a message asks for, unless that goes wrong, and return what is sent back."""
        line = connection.line
        refusal = connection.session.refuse(message) if line else None
        if line and refusal is not None:
            fault = line.mishaps.subscribe(acknowledges=self.venue.acknowledges)
            if fault is not None:
                self._count(fault)
                return refusal if fault is Fault.REFUSED else ()
        answers = connection.session.receive(message)
        self.audience.regroup()
        return answers

    def _ban(self, connection: Connection, reason: str) -> None:
        logger.warning("%s: client %s %s: banned", self.venue.name, connection.remote_address, reason)
        self._door.ban(connection.address, asyncio.get_running_loop().time())

    def _banned(self, left_s: float) -> Answer:
        answer = self.venue.refusal(self._limits.ban_status, "banned for going beyond a limit")
        return answer._replace(headers={**answer.headers, "Retry-After": str(int(left_s) + 1)})

    def _watch_idle(self, connection: Connection) -> asyncio.TimerHandle | None:
        """Close a connection that has not subscribed in time, where the venue has such a rule."""
        seconds = self._limits.subscribe_within_s
        if seconds is None:
            return None

        def close() -> None:
            if not connection.view.streams:
                connection.fail("no subscription in time")

        return asyncio.get_running_loop().call_later(seconds, close)
