"""Parses frames, checks their trades and publishes them in batches."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ingest.connection import SocketRead
from ingest.intake_metrics import IntakeMetrics
from ingest.output import FeedOutput
from ingest.session import VenueSession
from ingest.venue_clock import DoubtedTime, HeartbeatTime, VenueClock
from ingest.venues.base import Closing, Heartbeat, Notice, ParsedRows, Refused, Subscribed, VenueAdapter
from ingest.venues.base_rest import MissingRange
from tickplant.errors import PoisonError
from tickplant.kernel import PIECE, TradeColumns, group_trades, join_symbols
from tickplant.market import Trade
from tickplant.times import format_time

_log = logging.getLogger(__name__)

_BUDGET_CHECK_TRADES: Final = 10_000
"""After this many trades the budget of the streams is checked."""

_DOUBT_INTERVAL_S: Final = 600.0
"""The least time between two logs of implausible times of a symbol."""

Suspect = Callable[[MissingRange], None]


class ReceivedFrame(NamedTuple):
    """One message of the venue."""

    text: bytes
    time_us: int
    """When it was received."""


class Intake:
    """Handles the frames of some symbols of one venue."""

    def __init__(
        self,
        *,
        name: str,
        venue: VenueAdapter,
        symbols: Sequence[str],
        publisher: FeedOutput,
        suspect: Suspect,
    ) -> None:
        """Initialize the intake.

        Args:
            name: of the connection, for dead letters.
            venue: the adapter.
            symbols: the requested symbols.
            publisher: receives the trades.
            suspect: called with ids whose trades may be lost.
        """
        self._name = name
        self._venue = venue
        self._symbols = tuple(symbols)
        self._requested = frozenset(symbols)
        self._publisher = publisher
        self._suspect = suspect
        self._clock = VenueClock(alone=len(symbols) == 1)
        self._doubt_logged_s: dict[str | None, float] = {}
        self._metrics = IntakeMetrics(venue.name, symbols)
        self._last: dict[str, Trade] = {}
        self._own_id = 0
        self._lock = asyncio.Lock()
        self._unchecked_trades = 0

    def last_trade(self, symbol: str) -> Trade | None:
        """Return the newest trade of a symbol that was received."""
        return self._last.get(symbol)

    async def handle(self, reads: list[SocketRead], session: VenueSession) -> None:
        """Parse and publish received frames; one batch at a time, even with two connections."""
        self._metrics.note_reads(reads)
        async with self._lock:
            pending: list[TradeColumns] = []
            for received in reads:
                frames, start = received.frames, 0
                while start < len(frames):
                    found, count = self._venue.parse_frames(frames[start : start + PIECE], received.time_us)
                    pending += found
                    start += count
                    if count < PIECE and start < len(frames):
                        frame = ReceivedFrame(frames[start], received.time_us)
                        pending = await self._handle_other(frame, pending, session)
                        start += 1
            await self._publish(pending, session)

    async def resume_ids(self) -> None:
        """Continue after the greatest id that any ingest process has assigned."""
        if not self._venue.numbered:
            last = await self._publisher.read_reserved_id(self._venue.name, self._symbols)
            self._own_id = max(self._own_id, last)

    async def publish_time(self) -> None:
        """Write the venue's time to the streams, unless a batch is being handled."""
        time_us = self._clock.read_us(time.monotonic())
        if time_us is not None and not self._lock.locked():
            await self._publisher.publish_clock(self._venue.name, self._symbols, time_us)

    async def _handle_other(
        self, frame: ReceivedFrame, pending: list[TradeColumns], session: VenueSession
    ) -> list[TradeColumns]:
        """Handle a frame that `parse_frames` stopped at.

        Args:
            frame: mostly a notice.
            pending: the trades before it; they are published before a notice is handled.
            session: of the connection.

        Returns:
            The trades that are still to be published.
        """
        try:
            parsed = self._venue.parse_frame(frame.text, frame.time_us)
        except PoisonError as error:
            await self._write_dead_letter(frame.text, str(error))
            return pending
        if isinstance(parsed, tuple):
            return pending + group_trades(parsed)
        if isinstance(parsed, ParsedRows):
            for payload, reason, _ in parsed.bad_rows:
                await self._write_dead_letter(payload, reason)
            return pending + group_trades(parsed.trades)
        await self._publish(pending, session)
        await self._handle_notice(parsed, frame, session)
        return []

    async def _publish(self, pending: list[TradeColumns], session: VenueSession) -> None:
        if not self._requested.issuperset([part.symbol for part in pending]):
            pending = await self._drop_unrequested(pending)
        if not pending:
            return
        trades = join_symbols(pending)
        session.note_trades([part.symbol for part in trades])
        if not self._venue.numbered:
            trades = list(map(self._number, trades))
            await self._publisher.reserve_ids(self._venue.name, self._own_id)
        self._metrics.note_trades(trades)
        await self._publisher.publish_columns(trades, numbered=self._venue.numbered)
        self._last.update([(part.symbol, part.trade(-1)) for part in trades])
        await self._report_doubts(self._clock.observe_trades(trades, time.monotonic()))
        self._unchecked_trades += sum(map(len, trades))
        if self._unchecked_trades >= _BUDGET_CHECK_TRADES:
            self._unchecked_trades = 0
            await self._publisher.wait_for_budget()

    async def _handle_notice(self, notice: Notice, frame: ReceivedFrame, session: VenueSession) -> None:
        match notice:
            case Heartbeat(symbol, last_trade_id, time_us):
                if time_us is not None:
                    heartbeat = HeartbeatTime(symbol, time_us, frame.time_us)
                    await self._report_doubts(self._clock.observe([heartbeat], time.monotonic()))
                last = self._last.get(symbol or "")
                if last is not None and last_trade_id is not None and last_trade_id > last.trade_id:
                    self._suspect(
                        MissingRange(last.symbol, last.trade_id + 1, last_trade_id, last.event_time_us)
                    )
            case Subscribed(symbols):
                session.answers.accept(symbols)
            case Refused(reason, symbols):
                if not session.answers.pending(self._symbols):  # otherwise the session logs the symbols
                    _log.warning("%s: the venue refuses a request: %s", self._name, reason)
                await self._write_dead_letter(frame.text, f"refused: {reason}")
                session.answers.refuse(reason, symbols)
            case Closing(reason):
                _log.info("%s: the venue is about to close the connection: %s", self._name, reason)
                session.replace.set()

    async def _report_doubts(self, doubts: Sequence[DoubtedTime]) -> None:
        """Count implausible times; log the first of each symbol in 10 minutes and make it a dead letter."""
        for message, reason in doubts:
            self._metrics.doubted_times.inc()
            now_s = time.monotonic()
            if now_s - self._doubt_logged_s.get(message.symbol, -_DOUBT_INTERVAL_S) < _DOUBT_INTERVAL_S:
                continue
            self._doubt_logged_s[message.symbol] = now_s
            kind = "trade" if isinstance(message, Trade) else "heartbeat"
            event_time = format_time(message.event_time_us)
            reason = f"the venue clock ignores the time {event_time} of a {kind}: {reason}"
            _log.warning(
                "%s: %s: %s",
                self._name,
                message.symbol or "the connection",
                reason,
                extra={"symbol": message.symbol},
            )
            await self._publisher.write_dead_letter(self._name, repr(message).encode(), reason)

    def _number(self, trades: TradeColumns) -> TradeColumns:
        """Assign ascending ids: the receive time in microseconds, or the last id plus one if greater."""
        ids = []
        for received_us in trades.ingest_times_us:
            self._own_id = max(self._own_id + 1, received_us)
            ids.append(self._own_id)
        return trades.with_ids(ids)

    async def _drop_unrequested(self, pending: list[TradeColumns]) -> list[TradeColumns]:
        """Return the trades of requested symbols; the others become dead letters."""
        for part in pending:
            if part.symbol not in self._requested:
                reason = f"a trade of {part.symbol!r}, which was not requested"
                for trade in part.trades():
                    await self._write_dead_letter(repr(trade).encode(), reason)
        return [part for part in pending if part.symbol in self._requested]

    async def _write_dead_letter(self, frame: bytes, reason: str) -> None:
        self._metrics.malformed.inc()
        _log.debug("%s: dead letter: %s", self._name, reason)
        await self._publisher.write_dead_letter(self._name, frame, reason)
