"""A venue that is open: its source, its connections, its REST interface, and whom it lets in."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from sandbox.audience import Audience
from sandbox.connection import Connection
from sandbox.faults import OF_PAGES, Fault, Plan
from sandbox.history import Past
from sandbox.limits import Door, Limits
from sandbox.line import TroubledLine
from sandbox.source import Source, State, Status
from sandbox.tampering import tamper
from sandbox.troubles import Troubles
from sandbox.venue import Answer, BadAddressError, Market, Venue
from tickplant.market import SymbolId

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


class _Lagging:
    """A market of which only what happened before a time is known."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.until_us: int | None = None
        """None: all is known."""

    @property
    def symbols(self) -> Collection[SymbolId]:
        return self._market.symbols

    def past(self, symbol: SymbolId) -> Past:
        past = self._market.past(symbol)
        return past if self.until_us is None else past.until(self.until_us)


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
        self._lagging = _Lagging(source)
        self._rest = source.venue.open_rest(self._lagging, limits, clock_us)
        self._history_status = history_status
        self._troubles = Troubles(plan, source.venue)
        self._connections: set[Connection] = set()
        self._accepted = 0

    @property
    def venue(self) -> Venue:
        """Its protocol."""
        return self.source.venue

    def status(self, played: Status) -> VenueStatus:
        """Say what has happened; `played` is the source's own status."""
        return VenueStatus(
            played.state,
            played.sent,
            played.total,
            len(self._connections),
            self._accepted,
            self._door.bans,
            self._troubles.counts,
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
        if self._limits.subscribe_within_s is not None:
            connection.expect_subscription(self._limits.subscribe_within_s)
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
            if connection.backlog_bytes == 0:
                connection.say(self._notices(connection))

    def _read(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a REST request, unless that goes wrong."""
        planned = self._troubles.next_request()
        if planned is not None and planned.status is not None:
            return self._troubles.fail(planned.status, planned.retry_after)
        is_history = self.venue.is_history(path.partition("?")[0])
        if self._history_status is not None and is_history:
            return self.venue.refusal(self._history_status, "history is switched off")
        now_us = self.source.now_us() + (planned.skew_us if planned else 0)
        lag_us = planned.lag_us if planned and is_history else 0
        self._lagging.until_us = now_us - lag_us if lag_us else None
        answer = self._rest.get(path, headers, now_us)
        if answer is not None and is_history and planned is not None and planned.fault in OF_PAGES:
            harmed = tamper(answer.body, planned.fault, random.Random(planned.seed))  # noqa: S311
            answer = answer._replace(body=harmed)
        return answer or self.venue.refusal(404, "there is no such endpoint")

    def _admit(self, connection: Connection, path: str) -> Answer | None:
        """Let a websocket in, or say why not."""
        left_s = self._door.admit(connection.address, asyncio.get_running_loop().time())
        if left_s is not None:
            return self._banned(left_s)
        mishaps = self._troubles.next_connection()
        skew_us = mishaps.skew_us if mishaps else 0
        try:
            connection.session = self.venue.open_session(
                path, self.source, lambda: self.source.now_us() + skew_us
            )
        except BadAddressError as error:
            return self.venue.refusal(error.status, str(error))
        if self._asks_too_much(connection):
            return self._banned(self._limits.ban_s)
        if connection.view.streams and self._troubles.next_subscription(mishaps):
            return self.venue.refusal(503, "please try again later")
        if mishaps is not None:
            connection.line = TroubledLine(mishaps, connection, partial(self._on_fault, connection))
        connection.pace(self._limits, lambda: self._ban(connection, "sent too many messages a second"))
        connection.converse = self.converse
        return None

    def _receive(self, connection: Connection, message: str | bytes) -> None:
        connection.say(self._obey(connection, message))
        if self._asks_too_much(connection):
            connection.fail("Too many streams")

    def _obey(self, connection: Connection, message: str | bytes) -> Sequence[str]:
        """Do what a message asks for, unless that goes wrong, and return what is sent back."""
        refusal = connection.session.refuse(message)
        if refusal is not None and connection.line is not None:
            fault = self._troubles.next_subscription(connection.line.mishaps)
            if fault is not None:
                return refusal if fault is Fault.REFUSED else ()
        connection.has_subscribed |= refusal is not None
        answers = connection.session.receive(message)
        self.audience.regroup()
        return answers

    def _on_fault(self, connection: Connection, fault: Fault) -> None:
        self._troubles.count(fault)
        if fault is Fault.SHUTDOWN:
            connection.say(self._notices(connection))
            connection.fail_later(_SHUTDOWN_S, "server shutdown", CloseCode.GOING_AWAY)

    def _notices(self, connection: Connection) -> list[str]:
        """Return what announces a connection's end, as far as the venue does."""
        notice = self.venue.shutdown_notice(connection.view, self.source.now_us())
        return [] if notice is None else [notice]

    def _asks_too_much(self, connection: Connection) -> bool:
        """Say whether a connection goes beyond its number of streams, and ban it then."""
        too_much = len(connection.view.streams) > self._limits.streams_per_connection
        if too_much:
            self._ban(connection, "asked for too many streams")
        return too_much

    def _ban(self, connection: Connection, reason: str) -> None:
        logger.warning("%s: client %s %s: banned", self.venue.name, connection.remote_address, reason)
        self._door.ban(connection.address, asyncio.get_running_loop().time())

    def _banned(self, left_s: float) -> Answer:
        answer = self.venue.refusal(self._limits.ban_status, "banned for going beyond a limit")
        return answer._replace(headers={**answer.headers, "Retry-After": str(int(left_s) + 1)})
