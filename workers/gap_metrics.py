"""Metrics of each symbol of one partition: how far it is, and what of it is missing or has healed."""

import logging
from collections.abc import Iterable
from typing import ClassVar, Final

from prometheus_client import Gauge

from db.commit import LedgerRow
from tickplant import metrics
from tickplant.market import Gap

_log = logging.getLogger(__name__)

_GAUGES: Final = (metrics.WORKER_WATERMARK_S, metrics.WORKER_MISSING, metrics.WORKER_OPEN_GAPS)
"""A symbol's own; only the first where the venue numbers nothing, so that nothing is known to be missing."""

Series = tuple[Gauge, ...]


class GapMetrics:
    """What this process exposes of a partition's symbols, while it owns it."""

    _room: ClassVar = metrics.MOST_SYMBOLS
    """How many more symbols of this process may have series."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def note_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Note how far each symbol is, and how much of it is missing."""
        for row in rows:
            series = self._series_of((row.venue, row.symbol), numbered=row.numbered)
            count = sum([last - first + 1 for first, last in row.missing])
            for gauge, value in zip(series, (row.watermark_us / 1e6, count, len(row.missing)), strict=False):
                gauge.set(value)

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
        for symbol, series in self._series.items():
            for gauge, _ in zip(_GAUGES, series, strict=False):
                gauge.remove(*symbol)
            GapMetrics._room += bool(series)
        self._series.clear()

    def _series_of(self, symbol: tuple[str, str], *, numbered: bool) -> Series:
        """Return a symbol's series; none where the process has too many symbols for it to have any."""
        series = self._series.get(symbol)
        if series is None:
            series = self._series[symbol] = self._make(symbol, numbered=numbered)
        return series

    def _make(self, symbol: tuple[str, str], *, numbered: bool) -> Series:
        if not GapMetrics._room:
            _log.warning("%s:%s has no metrics: %d symbols have", *symbol, metrics.MOST_SYMBOLS)
            return ()
        GapMetrics._room -= 1
        metrics.WORKER_HEALED.labels(symbol[0])
        metrics.WORKER_HEAL_S.labels(symbol[0])
        return tuple(gauge.labels(*symbol) for gauge in (_GAUGES if numbered else _GAUGES[:1]))
