"""One connection to a venue, from opening to end."""

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from ingest.answers import SubscriptionAnswers
from ingest.connection import VenueConnection, open_connection
from ingest.subscription import Subscription
from tickplant.background import background
from tickplant.network_errors import network_reason
from tickplant.redis_errors import OUTAGE

if TYPE_CHECKING:
    from ingest.feed import Feed

_log = logging.getLogger(__name__)

CLOCK_INTERVAL_S: Final = 1.0
_CONNECT_TIMEOUT_S: Final = 10.0
_REPLACE_AT: Final = 0.9
"""The share of the venue's limit at which a connection is replaced for its age."""


class VenueSession:
    """One connection of a feed.

    Args:
        feed: has the symbols, and what its sessions share.
    """

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self.answers = SubscriptionAnswers(feed.symbols)
        """The venue's answers to the subscriptions."""
        self.live = asyncio.Event()
        """Set when every symbol is accepted or refused."""
        self.replace = asyncio.Event()
        """Set when a successor is needed: the connection is too old or silent, or about to be closed."""
        self.stop = asyncio.Event()
        """To be set to end the session."""
        self.mute = False
        """Whether a successor is needed because no message arrives."""
        self.refused = False
        """Whether it ended because the venue refused every symbol."""
        self._last_trade_s = 0.0
        self._trade_batches = 0
        self.task = asyncio.create_task(self._run())

    def note_trades(self, symbols: Collection[str]) -> None:
        """Note trades that have arrived: where the venue acknowledges nothing, they prove subscriptions."""
        self._last_trade_s = asyncio.get_running_loop().time()
        self._trade_batches += 1
        if not self._feed.context.venue.acknowledges:
            self.answers.accept(symbols)

    @property
    def is_live(self) -> bool:
        """Whether the session is subscribed and running."""
        return self.live.is_set() and not self.task.done()

    async def _run(self) -> None:
        """Run the connection until it is lost, refused or stopped.

        Raises:
            InvalidURI: the address is invalid.
            MixedSourcesError: stored trades come from a source of another kind.
        """
        feed, lock = self._feed, self._feed.context.connection_lock
        try:
            if lock is not None:
                await lock.acquire()
            await feed.intake.resume_ids()
            await self._connect()
        except InvalidURI:
            raise
        except (*OUTAGE, TimeoutError, WebSocketException) as error:
            if not self.stop.is_set() and not self.refused:
                feed.note_failure(self, network_reason(error), refused=isinstance(error, InvalidHandshake))
        finally:
            if lock is not None:
                with contextlib.suppress(*OUTAGE):
                    await lock.release()

    async def _connect(self) -> None:
        """Connect within the venue's limits, and receive until the connection ends."""
        feed, context = self._feed, self._feed.context
        if context.connects is not None:
            await context.connects.take()
        async with contextlib.AsyncExitStack() as admission:
            if context.messages is not None:
                await admission.enter_async_context(context.subscribing)
            feed.report(self, "connecting")
            async with open_connection(
                feed.url, timeout_s=_CONNECT_TIMEOUT_S, buffer=context.buffer, proxy=context.proxy
            ) as connection:
                assert isinstance(connection, VenueConnection)
                if connection.response is not None:
                    await context.publisher.claim_source(connection.response.headers)
                await self._receive(connection, admission)

    async def _receive(self, connection: VenueConnection, admission: contextlib.AsyncExitStack) -> None:
        """Handle frames until the connection ends, beside the tasks of the connection.

        Raises:
            WebSocketException: the connection is lost.
        """
        async with contextlib.AsyncExitStack() as stack:
            tasks = [
                await stack.enter_async_context(
                    background(work, on_end=lambda task: _abort_if_failed(task, connection))
                )
                for work in (
                    self._close_on_stop(connection),
                    self._subscribe(connection, admission),
                    self._watch(connection),
                    self._publish_time(connection),
                    self._renew_lock(),
                )
            ]
            stack.callback(connection.discard)
            try:
                while True:
                    reads = await connection.take()
                    if self._feed.context.record is not None:
                        self._feed.context.record(reads)
                    await self._feed.intake.handle(reads, self)
            except WebSocketException:
                failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
                if failed:
                    raise failed[0].exception() or AssertionError from None
                if not self.stop.is_set():
                    raise

    async def _close_on_stop(self, connection: VenueConnection) -> None:
        await self.stop.wait()
        await connection.close()

    async def _subscribe(self, connection: VenueConnection, admission: contextlib.AsyncExitStack) -> None:
        """Subscribe within the venue's limits, handle refusals, then request missed trades.

        Raises:
            TimeoutError: the venue has not acknowledged in time; the connection is closed.
        """
        feed = self._feed
        context = feed.context
        subscription = Subscription(
            context.venue, feed.symbols, connection.send, self.answers, context.messages
        )
        try:
            await subscription.subscribe_all()
        except TimeoutError:
            await connection.close()
            raise
        await admission.aclose()
        await subscription.find_refused()
        feed.note_refused(self.answers.refused)
        if len(self.answers.refused) == len(feed.symbols):
            self.refused = True
            feed.report(self, "refused", next(iter(self.answers.refused.values())))
            await connection.close()
            return
        self.live.set()
        feed.note_live(self)
        await feed.catch_up(feed.symbols)
        if context.venue.acknowledges:
            async for symbol in subscription.retry_refused():
                feed.note_refused(self.answers.refused)
                await feed.catch_up([symbol])
        else:
            await self._retry_unnamed(subscription)

    async def _retry_unnamed(self, subscription: Subscription) -> None:
        """Request symbols again that may be refused; meanwhile report them, and the connection if all are."""
        feed, reported = self._feed, "live"
        async for _ in subscription.retry_unnamed():
            refused = self.answers.refused
            feed.note_refused(refused)
            state = "refused" if refused and not self.answers.accepted else "live"
            if state != reported:
                feed.report(self, state, next(iter(refused.values())) if state == "refused" else "")
                reported = state

    async def _watch(self, connection: VenueConnection) -> None:
        """Check silence and age every second; never waits for Redis, so that an outage does not stop it."""
        feed = self._feed
        loop = asyncio.get_running_loop()
        limits = feed.context.venue.limits
        connected_s = self._last_trade_s = loop.time()
        frame_count = trade_batches = 0
        while True:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            connection.resume()
            feed.silence_timer.count(connection.frame_count - frame_count)
            frame_count = connection.frame_count
            feed.trade_timer.count(self._trade_batches - trade_batches)
            trade_batches = self._trade_batches
            age_s = loop.time() - connected_s
            if not self.replace.is_set():  # otherwise its successor sets them
                feed.set_gauges(age_s, connection.mute_s)
            if connection.dead_s > limits.silence_s or (
                feed.context.connection_lock is not None and connection.mute_s > feed.silence_timer.deadline_s
            ):
                _log.warning("%s: nothing received for %.0f s", feed.name, connection.mute_s)
                connection.transport.abort()
                return
            if connection.mute_s > feed.silence_timer.deadline_s and not self.replace.is_set():
                _log.warning("%s: no message for %.0f s", feed.name, connection.mute_s)
                self.mute = True
                self.replace.set()
            without_trades_s = loop.time() - self._last_trade_s if connection.drained else 0.0
            if self._replace_without_trades(without_trades_s) and feed.context.connection_lock is not None:
                connection.transport.abort()
                return
            if limits.connection_age_s and age_s > limits.connection_age_s * _REPLACE_AT:
                self.replace.set()
            feed.backoff.reset()

    def _replace_without_trades(self, silence_s: float) -> bool:
        """Return whether a successor is now needed because messages arrive, but no trades."""
        feed = self._feed
        if silence_s <= feed.trade_timer.deadline_s or self.replace.is_set():
            return False
        _log.warning("%s: no trade for %.0f s, connecting again", feed.name, silence_s)
        feed.trade_timer.note_replaced()
        self.replace.set()
        return True

    async def _publish_time(self, connection: VenueConnection) -> None:
        """Write the venue's time to the streams whenever everything received is published."""
        await self.live.wait()
        while True:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            if connection.drained:
                await self._feed.intake.publish_time()

    async def _renew_lock(self) -> None:
        """Renew the connection lock.

        Raises:
            TimeoutError: another process holds it.
        """
        lock = self._feed.context.connection_lock
        while lock is not None:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            if not await lock.renew():
                raise TimeoutError("another process holds the venue's only connection")


def _abort_if_failed(task: asyncio.Task[None], connection: VenueConnection) -> None:
    """Abort the connection of a failed task, so that receiving ends and raises the task's error."""
    if not task.cancelled() and task.exception() is not None:
        connection.transport.abort()
