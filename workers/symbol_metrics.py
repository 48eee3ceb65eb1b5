"""Metrics of each symbol of one partition: how far it is, its price, what is missing and what has healed."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from prometheus_client import Gauge

from db.commit import LedgerRow
from tickplant import metrics
from tickplant.market import Gap, Trade

_log = logging.getLogger(__name__)

_EVERY: Final = (metrics.WORKER_WATERMARK_S, metrics.WORKER_PRICE)
"""Gauges of every symbol."""
_NUMBERED: Final = (metrics.WORKER_MISSING, metrics.WORKER_OPEN_GAPS, metrics.WORKER_UNRECOVERABLE_GAPS)
"""Gauges of those whose venue numbers trades: of others nothing is known to be missing."""

Key = tuple[str, str]
"""Venue and symbol."""
Series = tuple[Gauge, ...]
"""A symbol's own, in the order above; none where the process has too many symbols."""


class SymbolMetrics:
    """What this process exposes of a partition's symbols, while it owns it."""

    _room: ClassVar = metrics.MOST_SYMBOLS
    """How many more symbols of this process may have series."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}

    def note_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Note how far each symbol is, and how much of it is missing."""
        for row in rows:
            key = row.venue, row.symbol
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = self._make(key, numbered=row.numbered)
            if series:
                series[0].set(row.watermark_us / 1e6)
            if len(series) > len(_EVERY):
                series[2].set(sum([last - first + 1 for first, last in row.missing]))

    def note_prices(self, prices: Iterable[Trade]) -> None:
        """Note the last trade of symbols that traded."""
        for trade in prices:
            series = self._series.get((trade.venue, trade.symbol))
            if series:
                series[1].set(float(trade.price))

    def note_open_gaps(self, gaps: Mapping[Key, Sequence[Gap]]) -> None:
        """Note all gaps of some symbols that are not healed."""
        for key, members in gaps.items():
            series = self._series.get(key, ())
            if len(series) > len(_EVERY):
                given_up = sum(gap.state == "unrecoverable" for gap in members)
                series[3].set(len(members) - given_up)
                series[4].set(given_up)

    def note_changed_gaps(self, gaps: Iterable[Gap], now_us: int) -> None:
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
        for key, series in self._series.items():
            for gauge in (*_EVERY, *_NUMBERED)[: len(series)]:
                gauge.remove(*key)
            SymbolMetrics._room += bool(series)
        self._series.clear()

    def _make(self, key: Key, *, numbered: bool) -> Series:
        if not SymbolMetrics._room:
            _log.warning("%s:%s has no metrics: %d symbols have", *key, metrics.MOST_SYMBOLS)
            return ()
        SymbolMetrics._room -= 1
        metrics.WORKER_HEALED.labels(key[0])
        metrics.WORKER_HEAL_S.labels(key[0])
        return tuple(gauge.labels(*key) for gauge in (_EVERY + _NUMBERED if numbered else _EVERY))
