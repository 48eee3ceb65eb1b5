"""The recording: feeds whose frames go to capture files."""

import asyncio
import errno
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ingest.buffer import FrameBuffer
from ingest.connection import SocketRead
from ingest.feed_context import FeedContext
from ingest.rate_limits import connect_rate
from ingest.recording.output import LocalLimit, NoLock, ReceivedCounts
from ingest.recording.writer import CapturePath, CaptureWriter, Rotation
from ingest.service import ConfiguredVenue, VenueAddress, make_feeds, select_venues
from ingest.supervision import keep_running
from tickplant.background import background
from tickplant.clock import now_us
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.proxies import Proxies

_log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.5
_STATISTICS_S: Final = 30.0
_BUFFER_BYTES: Final = 64 << 20


class Recording:
    """A recording of some symbols of one or several venues.

    Args:
        symbols: to record.
        addresses: by venue; a venue that is not in it has its default addresses.
        path: the names of the files.
        rotation: when the next file of a venue is begun.
        proxies: to the venues.

    Raises:
        FatalError: a symbol's venue is unknown, or needs a key, or allows fewer symbols.
    """

    def __init__(
        self,
        symbols: Sequence[SymbolId],
        addresses: Mapping[str, VenueAddress],
        path: CapturePath,
        rotation: Rotation,
        proxies: Proxies | None = None,
    ) -> None:
        self._venues = select_venues(symbols, addresses)
        self._proxies = proxies or Proxies({})
        self._statistics = ReceivedCounts()
        self._files: list[Path] = []
        self._failure: OSError | None = None
        self._failed = asyncio.Event()
        self._buffer = FrameBuffer(_BUFFER_BYTES, lambda: 0.0)
        named = len(self._venues) > 1 or not path.stem
        self._writers = {
            venue.adapter.name: CaptureWriter(
                path,
                venue=venue.adapter.name if named else None,
                rotation=rotation,
                on_finish=self._note_file,
            )
            for venue in self._venues
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set; finish all files before returning.

        Raises:
            FatalError: a file can't be written; it has all lines that could be.
        """
        ended = asyncio.Event()
        started_s = asyncio.get_running_loop().time()
        try:
            for writer in self._writers.values():
                writer.prepare()
            async with asyncio.TaskGroup() as tasks:
                for venue in self._venues:
                    for feed in make_feeds(venue.adapter.name, venue.symbols, self._context(venue)):
                        run = partial(feed.run, ended)
                        tasks.create_task(
                            keep_running(feed.name, run, ended, venue=venue.adapter.name, task="feed")
                        )
                async with background(self._flush()), background(self._log_statistics(started_s)):
                    await _first_set(stop, self._failed)
                    ended.set()
        except OSError as error:
            raise FatalError(f"{error.filename}: {error.strerror}") from error
        finally:
            self._close()
        _log.info("%s", self.summary(asyncio.get_running_loop().time() - started_s))
        if self._failure is not None:
            raise FatalError(_describe(self._failure)) from self._failure
        if not self._files:
            raise FatalError("nothing was received, so no file was written; see the log lines above")
        if silent := [name for name, writer in self._writers.items() if not writer.frames]:
            raise FatalError(f"nothing was received from {', '.join(silent)}; see the log lines above")

    def summary(self, seconds: float) -> str:
        """Describe what has been received."""
        counts = self._statistics
        frames = sum(writer.frames for writer in self._writers.values())
        size = sum(writer.size for writer in self._writers.values())
        symbols = ", ".join(f"{symbol} {count:,}" for symbol, count in sorted(counts.trades.items())[:8])
        rest = len(counts.trades) - 8
        return (
            f"{seconds:,.0f} s: {frames:,} frames with {counts.trades.total():,} trades"
            f"{f' ({symbols}' if symbols else ''}{f' and {rest} more symbols' if rest > 0 else ''}"
            f"{')' if symbols else ''}; {size:,} bytes written; connections lost: {counts.disconnects};"
            f" malformed frames: {counts.malformed}"
        )

    def _context(self, venue: ConfiguredVenue) -> FeedContext:
        adapter = venue.adapter
        limits, rate = adapter.limits, connect_rate(adapter.limits)
        return FeedContext(
            venue=adapter,
            base_url=venue.ws_url,
            proxy=self._proxies.of(venue.ws_url),
            publisher=self._statistics,
            buffer=self._buffer,
            connects=None if rate is None else LocalLimit(*rate),
            messages=None if limits.messages_per_s is None else LocalLimit(limits.messages_per_s),
            subscribing=asyncio.Lock(),
            connection_lock=NoLock() if limits.connections == 1 else None,
            backfill=None,
            record=partial(self._record, self._writers[adapter.name]),
        )

    def _record(self, writer: CaptureWriter, reads: list[SocketRead]) -> None:
        """Add frames; nothing after a failure."""
        if self._failure is None:
            try:
                writer.add(reads)
            except OSError as error:
                self._fail(error)

    async def _flush(self) -> None:
        while self._failure is None:
            await asyncio.sleep(_FLUSH_S)
            for writer in self._writers.values():
                try:
                    writer.flush(now_us())
                except OSError as error:
                    self._fail(error)
                    return

    async def _log_statistics(self, started_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_STATISTICS_S)
            _log.info("%s", self.summary(loop.time() - started_s))

    def _close(self) -> None:
        for writer in self._writers.values():
            try:
                if self._failure is None:
                    writer.flush()
            except OSError as error:
                self._fail(error)
            try:
                writer.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._failure = self._failure or error
        self._failed.set()

    def _note_file(self, path: Path, lines: int) -> None:
        self._files.append(path)
        _log.info("%s is finished: %d frames, %d bytes", path, lines, path.stat().st_size)


async def _first_set(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _describe(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename} has the frames until then; the recording has ended"
    return f"{error.filename}: {error.strerror}; the recording has ended"
