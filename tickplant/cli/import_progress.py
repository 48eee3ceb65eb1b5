"""The progress of an import: a bar in a terminal, or lines elsewhere, with the rate and the time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tickplant.cli.progress import duration, progress_bars

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from maintenance.import_run import WantedFile
    from maintenance.imports import FileImport

_LINE_S: Final = 5.0
_SHOWN: Final = 3
"""Differences that are shown."""


class ImportProgress:
    """Shows the progress of one symbol's files: `maintenance.import_run.ImportObserver`."""

    def __init__(self, symbol: str, sizes: int, files: int, bars: "Progress | None") -> None:
        """Start.

        Args:
            symbol: shown in front.
            sizes: bytes of all files.
            files: how many there are.
            bars: the bar; None: lines.
        """
        self._symbol = symbol
        self._sizes = max(1, sizes)
        self._files = files
        self._finished = self._finished_bytes = 0
        self.stored = self.missing = self.refused = self.differing = 0
        self._bars = bars
        self._task: TaskID | None = None if bars is None else bars.add_task(symbol, total=self._sizes)
        self._started_s = self._shown_s = self._file_s = time.monotonic()
        self._skipped_bytes = 0

    def downloading(self, file: "WantedFile", done: int) -> None:
        """Note the bytes of a file that are there."""
        self._show(file, f"{done / 1e6:,.0f} of {file.size / 1e6:,.0f} MB downloaded", 0.0)

    def checking(self, file: "WantedFile", done: int) -> None:
        """Note the trades of a file that have been read and checked."""
        self._file_s = time.monotonic()  # the rate is that of storing
        self._show(file, f"{done:,} trades checked", 0.0)

    def progress(self, file: "WantedFile", done: int, total: int) -> None:
        """Note the trades of a file that are done."""
        rate = done / max(0.001, time.monotonic() - self._file_s)
        self._show(file, f"{done:,} of {total:,} trades, {rate:,.0f} a second", done / max(1, total))

    def _show(self, file: "WantedFile", text: str, share: float) -> None:
        """Show what is being done, and how much of a file is done."""
        now_s = time.monotonic()
        line = f"{self._symbol} {file.label}, file {self._finished + 1} of {self._files}: {text}"
        if self._bars is not None and self._task is not None:
            completed = int(self._finished_bytes + share * file.size)
            self._bars.update(self._task, completed=completed, description=line)
        elif now_s - self._shown_s >= _LINE_S:
            self._shown_s = now_s
            print(f"{line}{self._left(share * file.size, now_s)}", file=sys.stderr, flush=True)

    def finished(self, file: "WantedFile", result: "FileImport | None") -> None:
        """Print what has become of a file."""
        now_s = time.monotonic()
        self._finished += 1
        self._finished_bytes += file.size
        if result is None:
            self._skipped_bytes += file.size
            print(f"{self._symbol} {file.label}: stored already", flush=True)
        else:
            self.stored += result.stored
            self.missing += result.missing
            self.refused += result.refused
            self.differing += len(result.differences)
            print(f"{self._symbol} {file.label}: {_describe(result, now_s - self._file_s)}", flush=True)
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._finished_bytes)
        self._file_s = now_s

    def _left(self, done_bytes: float, now_s: float) -> str:
        """Return the time left in all, by the bytes of what was imported."""
        done = self._finished_bytes - self._skipped_bytes + done_bytes
        if not done:
            return ""
        seconds = (now_s - self._started_s) * (self._sizes - self._finished_bytes - done_bytes) / done
        return f", about {duration(seconds)} left"


@contextmanager
def import_progress(symbol: str, sizes: int, files: int) -> Iterator[ImportProgress]:
    """Show a bar on the standard error, or a line periodically where it is not a terminal."""
    if not sys.stderr.isatty():
        yield ImportProgress(symbol, sizes, files, None)
        return
    with progress_bars() as bars:
        yield ImportProgress(symbol, sizes, files, bars)


def _describe(result: "FileImport", seconds: float) -> str:
    text = f"{result.trades:,} trades, {result.stored:,} stored"
    if result.stored:
        text += f" ({result.stored / max(0.001, seconds):,.0f} a second)"
    if result.compared:
        text += f", {result.compared:,} compared with those stored already"
    if result.missing:
        text += f", {result.missing:,} ids missing between them"
    if result.refused:
        text += f", {result.refused:,} refused: the log of the worker says why"
    if result.differences:
        text += f"; {len(result.differences):,} differ from what is stored:"
        for stored, trade in result.differences[:_SHOWN]:
            text += (
                f"\n  id {trade.trade_id}: stored {stored.price} {stored.size} {stored.side} at"
                f" {stored.event_time_us} us, in the file {trade.price} {trade.size} {trade.side} at"
                f" {trade.event_time_us} us"
            )
    return text
