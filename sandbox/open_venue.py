"""A venue that is open: its source, its connections, its REST interface, and whom it lets in."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from sandbox.audience import Audience
from sandbox.connection import Connection
from sandbox.limits import Door, Limits
from sandbox.source import Source, State, Status
from sandbox.venue import Answer, BadAddressError, Venue

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


class OpenVenue:
    """One venue of the process.

    Args:
        source: its trades.
        limits: what it allows.
        clock_us: this machine's time, for what has nothing to do with the venue's.
        backlog_bytes: what may lie unsent for a slow client of a source that doesn't wait.
        history_status: REST history is off, and answered with this; None: it is on.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        *,
        clock_us: Callable[[], int],
        backlog_bytes: int,
        history_status: int | None,
    ) -> None:
        self.source = source
        self.audience = Audience(backlog_bytes)
        self._limits = limits
        self._door = Door(limits)
        self._rest = source.venue.open_rest(source, limits, clock_us)
        self._clock_us = clock_us
        self._history_status = history_status
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
        )

    def respond(self, connection: Connection, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Answer a request that is not for a websocket; None lets a websocket open.

        Args:
            connection: that it came on.
            path: with its query, without what names the venue.
            headers: of the request.
        """
        answer = self._read(path, headers)
        if answer is not None:
            return answer
        if "websocket" not in headers.get("Upgrade", "").lower():
            return self.venue.refusal(404, "there is no such endpoint")
        return self._admit(connection, path)

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
                    await connection.drained()
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

    def _read(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        if self._history_status is not None and self.venue.is_history(path.partition("?")[0]):
            return self.venue.refusal(self._history_status, "history is switched off")
        return self._rest.get(path, headers, self.source.now_us())

    def _admit(self, connection: Connection, path: str) -> Answer | None:
        left_s = self._door.admit(connection.address, asyncio.get_running_loop().time())
        if left_s is not None:
            return self._banned(left_s)
        try:
            connection.session = self.venue.open_session(path, self.source, self.source.now_us)
        except BadAddressError as error:
            return self.venue.refusal(error.status, str(error))
        if len(connection.view.streams) > self._limits.streams_per_connection:
            self._ban(connection, "asked for too many streams")
            return self._banned(self._limits.ban_s)
        connection.pace(self._limits, lambda: self._ban(connection, "sent too many messages a second"))
        connection.converse = self.converse
        return None

    def _receive(self, connection: Connection, message: str | bytes) -> None:
        answers = connection.session.receive(message)
        self.audience.regroup()
        connection.say(answers)
        if len(connection.view.streams) > self._limits.streams_per_connection:
            self._ban(connection, "asked for too many streams")
            connection.fail("Too many streams")

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
