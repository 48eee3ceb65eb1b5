"""Metrics of what is missing and what has healed, for one partition."""

from collections.abc import Iterable

from db.commit import LedgerRow
from tickplant import metrics
from tickplant.market import Gap


class GapMetrics:
    """What this process exposes of a partition's gaps, while it owns it."""

    def __init__(self) -> None:
        self._symbols: set[tuple[str, str]] = set()

    def note_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Note how many trades of each symbol are missing; nothing where the venue numbers nothing."""
        for row in rows:
            if row.numbered:
                self._symbols.add((row.venue, row.symbol))
                count = sum(last - first + 1 for first, last in row.missing)
                metrics.WORKER_MISSING.labels(row.venue, row.symbol).set(count)

    def note_gaps(self, gaps: Iterable[Gap], now_us: int) -> None:
        """Note the gaps that have just been healed by trades, and how long that took.

        Args:
            gaps: those that have changed.
            now_us: the present, microseconds since the epoch.
        """
        for gap in gaps:
            if gap.state == "healed" and gap.cause == "ours":
                metrics.WORKER_HEALED.labels(gap.venue).inc(gap.last_id - gap.first_id + 1)
                metrics.WORKER_HEAL_S.labels(gap.venue).observe(max(0, now_us - gap.detected_at_us) / 1e6)

    def forget(self) -> None:
        """Leave the symbols to the next owner, who may be another process."""
        for symbol in self._symbols:
            metrics.WORKER_MISSING.remove(*symbol)
        self._symbols.clear()
