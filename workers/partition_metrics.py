"""Metrics of one owner's work on one partition; at zero from the start where their labels are known."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from db.commit import CommitBatch, CommitResult
from db.leases import Lease
from tickplant import metrics
from tickplant.clock import now_us
from tickplant.derived import AlertKind
from tickplant.errors import LeaseLostError
from tickplant.intervals import INTERVALS
from tickplant.market import Trade
from tickplant.streams import entry_order
from tickplant.wire import LiveUpdate
from workers.rejections import Rejection, RejectionKind
from workers.symbol_metrics import SymbolMetrics

_TABLES = ("trades", "candles", "ledger", "signals")


class PartitionMetrics:
    """The series of a partition while this process owns it."""

    def __init__(self, lease: Lease, strategies: Sequence[str]) -> None:
        """Create the series.

        Args:
            lease: of the partition.
            strategies: names of those that run.
        """
        self.symbols = SymbolMetrics()
        """Of the partition's symbols."""
        self._labels = lease.role, lease.partition
        role = lease.role
        self.poison = metrics.WORKER_POISON.labels(role)
        """Counts malformed entries."""
        self._failures = metrics.WORKER_COMMIT_FAILURES.labels(role)
        self._commit_s = metrics.WORKER_COMMIT_S.labels(role)
        self._commit_trades = metrics.WORKER_COMMIT_TRADES.labels(role)
        self._trades = metrics.WORKER_TRADES.labels(role)
        self._duplicates = metrics.WORKER_DUPLICATES.labels(role)
        self._rejected = {kind: metrics.WORKER_REJECTED.labels(kind) for kind in get_args(RejectionKind)}
        self._rows = {table: metrics.WORKER_ROWS.labels(table) for table in _TABLES}
        self._closed = {name: metrics.WORKER_CLOSED.labels(name) for name in INTERVALS}
        self._revised = {name: metrics.WORKER_REVISED.labels(name) for name in INTERVALS}
        for name in strategies:
            metrics.WORKER_SIGNALS.labels(name)
        self._firings = {kind: metrics.WORKER_FIRINGS.labels(kind) for kind in get_args(AlertKind)}
        self._lag = metrics.WORKER_LAG.labels(*self._labels)
        metrics.WORKER_LAG_S.labels(*self._labels).set_function(self._lag_s)
        self._prices: dict[tuple[str, str], Trade] = {}
        # Entries not in a batch yet, and those of the batch being committed; the time of the first of each.
        self._read_entries = self._batch_entries = 0
        self._read_ms: int | None = None
        self._batch_ms: int | None = None

    def note_read(self, entry_ids: Sequence[str]) -> None:
        """Note entries that have been read, in order."""
        if not entry_ids:
            return
        first_ms, _ = entry_order(entry_ids[0])
        metrics.WORKER_STREAM_DELAY_S.observe(_age_s(first_ms))
        self._read_entries += len(entry_ids)
        if self._read_ms is None:
            self._read_ms = first_ms

    def note_rejections(self, rejections: Iterable[Rejection]) -> None:
        """Note rejected trades."""
        for rejection in rejections:
            self._rejected[rejection.kind].inc()

    def note_update(self, update: LiveUpdate | None) -> None:
        """Note what is being published."""
        if update is not None:
            metrics.WORKER_UPDATES.inc()
            self._prices.update([((trade.venue, trade.symbol), trade) for trade in update.prices])

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Measure the commit of everything read so far.

        Raises:
            Exception: that the commit raises.
        """
        self._batch_entries, self._read_entries = self._read_entries, 0
        self._batch_ms, self._read_ms = self._read_ms, None
        started_s = time.perf_counter()
        try:
            yield
        except LeaseLostError:
            raise
        except Exception:
            self._failures.inc()
            raise
        self._commit_s.observe(time.perf_counter() - started_s)
        if self._batch_ms is not None:
            metrics.WORKER_COMMIT_DELAY_S.observe(_age_s(self._batch_ms))
        self._batch_entries, self._batch_ms = 0, None

    def note_committed(self, batch: CommitBatch, committed: CommitResult) -> None:
        """Note what has been stored."""
        self._trades.inc(batch.trade_count)
        self._duplicates.inc(batch.duplicates)
        self._commit_trades.observe(batch.trade_count)
        metrics.WORKER_BYTES.inc(len(batch.trade_rows))
        metrics.WORKER_OUTLIERS.inc(sum(not outlier.confirmed for outlier in batch.outliers))
        published = batch.to_publish
        counts = batch.trade_count, len(batch.candles), len(batch.ledger), len(published.signals)
        for table, count in zip(_TABLES, counts, strict=True):
            self._rows[table].inc(count)
        for candle in committed.candles:
            (self._revised if candle.revision else self._closed)[candle.interval].inc()
        for signal in published.signals:
            metrics.WORKER_SIGNALS.labels(signal.strategy).inc()
        for firing in published.firings:
            self._firings[firing.kind].inc()
        self.symbols.note_ledger(batch.ledger)
        self._prices = self.symbols.note_prices(self._prices)
        self.symbols.note_open_gaps(committed.open_gaps)
        self.symbols.note_changed_gaps(committed.gaps, now_us())

    def note_unread(self, entries: int) -> None:
        """Note how many entries of the stream have not been read."""
        self._lag.set(entries + self._read_entries + self._batch_entries)

    def remove(self) -> None:
        """Remove the series: the next owner may be another process."""
        self.symbols.remove()
        metrics.WORKER_LAG.remove(*self._labels)
        metrics.WORKER_LAG_S.remove(*self._labels)

    def _lag_s(self) -> float:
        """Return the current age of the oldest entry that has been read and not committed."""
        oldest_ms = self._read_ms if self._batch_ms is None else self._batch_ms
        return 0.0 if oldest_ms is None else _age_s(oldest_ms)


def _age_s(entry_ms: int) -> float:
    """Return the age of an entry: our clock less Redis's."""
    return max(0.0, now_us() / 1e6 - entry_ms / 1e3)
