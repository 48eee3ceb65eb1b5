"""One connection's way: frames parsed, trades published, the venue's clock kept, reconnected when lost."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from ingest.connection import Received, VenueConnection, open_connection
from ingest.publisher import Publisher
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.market import Trade
from tickplant.redis_client import OUTAGE
from tickplant.wire import Connection

_log = logging.getLogger(__name__)

ParseTrades = Callable[[bytes, int], Sequence[Trade]]

CLOCK_INTERVAL_S: Final = 1.0
CLOCK_GRACE_US: Final = 2_000_000
"""How long a trade may be on its way before a silent socket's clock passes it."""
_CONNECT_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 60.0
"""How long a socket may give nothing, not even answers to pings, before it is replaced."""
_BUDGET_CHECK_TRADES: Final = 10_000


class VenueClock:
    """The venue's time as its own trades tell it, going on while the socket is silent."""

    def __init__(self) -> None:
        self._event_time_us = 0
        self._heard_s = 0.0

    def hear(self, event_time_us: int, now_s: float) -> None:
        """Note the latest event time in what has just been received."""
        self._event_time_us = max(self._event_time_us, event_time_us)
        self._heard_s = now_s

    def read_us(self, now_s: float) -> int | None:
        """Return a time before which every trade has been received; None before the first trade.

        Right as long as everything received has been parsed, and no trade takes longer than the grace.
        """
        if not self._event_time_us:
            return None
        silent_us = int((now_s - self._heard_s) * 1e6)
        return self._event_time_us + max(0, silent_us - CLOCK_GRACE_US)


class Feed:
    """The trades of some symbols of one venue, over one websocket at a time."""

    def __init__(
        self,
        *,
        name: str,
        venue: str,
        symbols: Sequence[str],
        url: str,
        parse: ParseTrades,
        publisher: Publisher,
    ) -> None:
        self._name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._expected = frozenset(symbols)
        self._url = url
        self._parse = parse
        self._publisher = publisher
        self._clock = VenueClock()
        self._since_check = 0
        self._handling = False

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until `stop` is set; what has been received by then is published before returning.

        Raises:
            InvalidURI: the address is none.
        """
        backoff = Backoff(first_s=0.5, cap_s=30.0)
        connected = True  # so that the first failure is told
        while not stop.is_set():
            await self._report("connecting")
            try:
                async with open_connection(self._url, timeout_s=_CONNECT_TIMEOUT_S) as connection:
                    assert isinstance(connection, VenueConnection)
                    connected = True
                    metrics.INGEST_CONNECTS.labels(self._venue, "live").inc()
                    _log.info("%s: connected, %d symbols", self._name, len(self._symbols))
                    await self._report("live")
                    await self._receive(connection, stop, backoff)
                    continue
            except InvalidURI:
                raise
            except (OSError, TimeoutError, WebSocketException) as error:
                outcome = "refused" if isinstance(error, InvalidHandshake) else "lost"
                metrics.INGEST_CONNECTS.labels(self._venue, outcome).inc()
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                if connected:
                    _log.warning("%s: no connection, trying until there is one: %s", self._name, reason)
                connected = False
                await self._report("down", reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff.next_s())
        with contextlib.suppress(*OUTAGE):
            await self._publisher.forget(self._name)

    async def _receive(self, connection: VenueConnection, stop: asyncio.Event, backoff: Backoff) -> None:
        closing = asyncio.create_task(self._close_on(stop, connection))
        ticking = asyncio.create_task(self._tick(connection))
        try:
            while True:
                reads = await connection.take()
                self._handling = True
                await self._handle(reads)
                self._handling = False
                backoff.reset()
        except WebSocketException:
            if not stop.is_set():
                raise
        finally:
            for task in (closing, ticking):
                task.cancel()
            await asyncio.gather(closing, ticking, return_exceptions=True)

    async def _close_on(self, stop: asyncio.Event, connection: VenueConnection) -> None:
        await stop.wait()
        await connection.close()

    async def _handle(self, reads: list[Received]) -> None:
        trades: list[Trade] = []
        parse = self._parse
        for received in reads:
            time_us = received.time_us
            for frame in received.frames:
                try:
                    trades.extend(parse(frame, time_us))
                except PoisonError as error:
                    await self._keep(frame, str(error))
        if not trades:
            return
        latest_us = max([trade.event_time_us for trade in trades])
        if not self._expected.issuperset([trade.symbol for trade in trades]):
            trades = await self._without_strangers(trades)
        metrics.INGEST_TRADES.labels(self._venue).inc(len(trades))
        await self._publisher.publish(trades)
        self._clock.hear(latest_us, time.monotonic())
        self._since_check += len(trades)
        if self._since_check >= _BUDGET_CHECK_TRADES:
            self._since_check = 0
            await self._publisher.wait_for_budget()

    async def _without_strangers(self, trades: list[Trade]) -> list[Trade]:
        for trade in trades:
            if trade.symbol not in self._expected:
                await self._keep(
                    repr(trade).encode(), f"a trade of {trade.symbol!r}, which was not asked for"
                )
        return [trade for trade in trades if trade.symbol in self._expected]

    async def _keep(self, frame: bytes, reason: str) -> None:
        metrics.INGEST_MALFORMED.labels(self._venue).inc()
        _log.debug("%s: malformed frame kept as a dead letter: %s", self._name, reason)
        await self._publisher.keep_dead_letter(self._name, frame, reason)

    async def _tick(self, connection: VenueConnection) -> None:
        """Write the venue's time into the streams, while everything received has been published."""
        while True:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            if asyncio.get_running_loop().time() - connection.heard_s > _SILENCE_S:
                _log.warning("%s: nothing heard for %.0f s, reconnecting", self._name, _SILENCE_S)
                connection.transport.abort()
            time_us = self._clock.read_us(time.monotonic())
            if time_us is not None and connection.drained and not self._handling:
                await self._publisher.publish_clock(self._venue, self._symbols, time_us)

    async def _report(self, state: str, reason: str = "") -> None:
        await self._publisher.report(
            Connection(self._name, self._venue, self._symbols, state, now_us(), reason)
        )
