"""An open venue: its source, connections, REST interface and admission control."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from sandbox.audience import SandboxAudience
from sandbox.connection import SandboxConnection
from sandbox.faults import OF_PAGES, Fault, FaultPlan
from sandbox.faulty_line import FaultyLine
from sandbox.history import SandboxHistory
from sandbox.limits import SandboxAdmission, SandboxLimits
from sandbox.page_faults import tamper
from sandbox.source import SourceStatus, State, TradeSource
from sandbox.venue import Answer, BadAddressError, SandboxMarket, SandboxVenue
from sandbox.venue_faults import VenueFaults
from tickplant.market import SymbolId

_SHUTDOWN_S: Final = 1.0
"""Between the notice and the end."""

logger = logging.getLogger(__name__)


class VenueStatus(Struct, frozen=True):
    """The counters of one venue."""

    state: State
    sent: int
    total: int | None
    connections: int
    """Open now."""
    accepted: int
    """Websockets so far."""
    bans: int
    faults: dict[str, int]
    """How often each was injected."""


class _LaggingMarket:
    """A market whose history lags: it ends before a time."""

    def __init__(self, market: SandboxMarket) -> None:
        self._market = market
        self.until_us: int | None = None
        """None: all is known."""

    @property
    def symbols(self) -> Collection[SymbolId]:
        return self._market.symbols

    def history(self, symbol: SymbolId) -> SandboxHistory:
        history = self._market.history(symbol)
        return history if self.until_us is None else history.until(self.until_us)


class OpenVenue:
    """One venue of the process.

    Args:
        source: its trades.
        limits: what it allows.
        clock_us: this machine's time, for what has nothing to do with the venue's.
        backlog_bytes: what may lie unsent for a slow client of a source that doesn't wait.
        history_status: REST history is off, and answered with this; None: it is on.
        plan: the faults; None: there are none.
    """

    def __init__(
        self,
        source: TradeSource,
        limits: SandboxLimits,
        *,
        clock_us: Callable[[], int],
        backlog_bytes: int,
        history_status: int | None,
        plan: FaultPlan | None,
    ) -> None:
        self.source = source
        self.audience = SandboxAudience(backlog_bytes)
        self._limits = limits
        self._admission = SandboxAdmission(limits)
        self._lagging = _LaggingMarket(source)
        self._rest = source.venue.open_rest(self._lagging, limits, clock_us)
        self._history_status = history_status
        self._faults = VenueFaults(plan, source.venue)
        self._connections: set[SandboxConnection] = set()
        self._accepted = 0

    @property
    def venue(self) -> SandboxVenue:
        """Its protocol."""
        return self.source.venue

    def status(self, played: SourceStatus) -> VenueStatus:
        """Return the venue's status; `played` is that of its source."""
        return VenueStatus(
            played.state,
            played.sent,
            played.total,
            len(self._connections),
            self._accepted,
            self._admission.bans,
            self._faults.counts,
        )

    def respond(self, connection: SandboxConnection, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Answer a request that is not for a websocket; None lets a websocket open.

        Args:
            connection: that it came on.
            path: with its query, without what names the venue.
            headers: of the request.
        """
        if "websocket" in headers.get("Upgrade", "").lower():
            return self._admit(connection, path)
        return self._read(path, headers)

    async def converse(self, connection: SandboxConnection) -> None:
        """Serve a websocket until it ends."""
        self._accepted += 1
        self._connections.add(connection)
        self.audience.add(connection)
        if self._limits.subscribe_within_s is not None:
            connection.expect_subscription(self._limits.subscribe_within_s)
        try:
            connection.send_messages(connection.session.greet())
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
            connection.send_messages(connection.session.beat(quiet=connection.quiet))
            connection.quiet = True

    def announce_end(self) -> None:
        """Announce to the connections that the venue closes, if the venue announces it."""
        for connection in tuple(self._connections):
            if connection.backlog_bytes == 0:
                connection.send_messages(self._notices(connection))

    def _read(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a REST request, with its fault if it has one."""
        planned = self._faults.next_request()
        if planned is not None and planned.status is not None:
            return self._faults.fail(planned.status, planned.retry_after)
        is_history = self.venue.is_history(path.partition("?")[0])
        if self._history_status is not None and is_history:
            return self.venue.refusal(self._history_status, "history is switched off")
        now_us = self.source.now_us() + (planned.skew_us if planned else 0)
        lag_us = planned.lag_us if planned and is_history else 0
        self._lagging.until_us = now_us - lag_us if lag_us else None
        answer = self._rest.get(path, headers, now_us)
        if answer is not None and is_history and planned is not None and planned.fault in OF_PAGES:
            corrupted = tamper(answer.body, planned.fault, random.Random(planned.seed))  # noqa: S311
            answer = answer._replace(body=corrupted)
        return answer or self.venue.refusal(404, "there is no such endpoint")

    def _admit(self, connection: SandboxConnection, path: str) -> Answer | None:
        """Admit a websocket, or return the refusal."""
        left_s = self._admission.admit(connection.address, asyncio.get_running_loop().time())
        if left_s is not None:
            return self._banned(left_s)
        faults = self._faults.next_connection()
        skew_us = faults.skew_us if faults else 0
        try:
            connection.session = self.venue.open_session(
                path, self.source, lambda: self.source.now_us() + skew_us
            )
        except BadAddressError as error:
            return self.venue.refusal(error.status, str(error))
        if self._asks_too_much(connection):
            return self._banned(self._limits.ban_s)
        if connection.view.streams and self._faults.next_subscription(faults):
            return self.venue.refusal(503, "please try again later")
        if faults is not None:
            connection.line = FaultyLine(faults, connection, partial(self._on_fault, connection))
        connection.pace(self._limits, lambda: self._ban(connection, "sent too many messages a second"))
        connection.converse = self.converse
        return None

    def _receive(self, connection: SandboxConnection, message: str | bytes) -> None:
        connection.send_messages(self._handle(connection, message))
        if self._asks_too_much(connection):
            connection.fail("Too many streams")

    def _handle(self, connection: SandboxConnection, message: str | bytes) -> Sequence[str]:
        """Handle a message unless its fault prevents it, and return the answers."""
        refusal = connection.session.refuse(message)
        if refusal is not None and connection.line is not None:
            fault = self._faults.next_subscription(connection.line.faults)
            if fault is not None:
                return refusal if fault is Fault.REFUSED else ()
        connection.has_subscribed |= refusal is not None
        answers = connection.session.receive(message)
        self.audience.regroup()
        return answers

    def _on_fault(self, connection: SandboxConnection, fault: Fault) -> None:
        self._faults.count(fault)
        if fault is Fault.SHUTDOWN:
            connection.send_messages(self._notices(connection))
            connection.fail_later(_SHUTDOWN_S, "server shutdown", CloseCode.GOING_AWAY)

    def _notices(self, connection: SandboxConnection) -> list[str]:
        """Return the notices of a connection's end, if the venue sends any."""
        notice = self.venue.shutdown_notice(connection.view, self.source.now_us())
        return [] if notice is None else [notice]

    def _asks_too_much(self, connection: SandboxConnection) -> bool:
        """Return whether a connection goes beyond its number of streams, and ban it then."""
        too_much = len(connection.view.streams) > self._limits.streams_per_connection
        if too_much:
            self._ban(connection, "asked for too many streams")
        return too_much

    def _ban(self, connection: SandboxConnection, reason: str) -> None:
        logger.warning("%s: client %s %s: banned", self.venue.name, connection.remote_address, reason)
        self._admission.ban(connection.address, asyncio.get_running_loop().time())

    def _banned(self, left_s: float) -> Answer:
        answer = self.venue.refusal(self._limits.ban_status, "banned for going beyond a limit")
        return answer._replace(headers={**answer.headers, "Retry-After": str(math.ceil(left_s))})
