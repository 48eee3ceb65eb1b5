"""Metrics of symbols: watermark, price, volume, missing trades and healed gaps."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from prometheus_client import Gauge

from db.ledger import LedgerRow
from db.stats import Change24h
from tickplant import metrics
from tickplant.market import Gap, SymbolId, Trade

_log = logging.getLogger(__name__)

_OF_GAPS: Final = (metrics.WORKER_MISSING, metrics.WORKER_OPEN_GAPS, metrics.WORKER_UNRECOVERABLE_GAPS)
_OF_ALL: Final = (metrics.WORKER_WATERMARK_S, metrics.WORKER_PRICE, metrics.WORKER_VOLUME_24H)

Key = tuple[str, str]
"""Venue and symbol."""


class _Series:
    """The series of one symbol."""

    def __init__(self, key: Key, *, numbered: bool) -> None:
        self._key = key
        self.watermark, self.price, self.volume = (gauge.labels(*key) for gauge in _OF_ALL)
        self.gaps: list[Gauge] = [gauge.labels(*key) for gauge in _OF_GAPS] if numbered else []
        """Missing trades, open gaps and unrecoverable gaps; empty where the venue has no trade ids."""

    def remove(self) -> None:
        for gauge in (*_OF_ALL, *_OF_GAPS):
            gauge.remove(*self._key)


class SymbolMetrics:
    """The series of a partition's symbols while this process owns it."""

    _exposed: ClassVar[dict[Key, _Series]] = {}
    """Of all partitions of this process: its first symbols, up to `metrics.MAX_SYMBOLS`."""
    _full: ClassVar[bool] = False
    """Whether it has been logged that no more symbols are exposed."""

    def __init__(self) -> None:
        self._known: dict[Key, _Series | None] = {}

    @classmethod
    def exposed(cls) -> list[SymbolId]:
        """Return this process's symbols that have series of their own."""
        return [SymbolId(*key) for key in cls._exposed]

    @classmethod
    def note_changes(cls, changes: Iterable[Change24h]) -> None:
        """Note the last 24 hours of symbols of this process."""
        for change in changes:
            series = cls._exposed.get(change.symbol)
            if series is not None:
                series.volume.set(float(change.volume))

    def note_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Note the watermark and the missing trades of each symbol."""
        for row in rows:
            series = self._series_of((row.venue, row.symbol), numbered=row.numbered)
            if series is None:
                continue
            series.watermark.set(row.watermark_us / 1e6)
            if series.gaps:
                series.gaps[0].set(sum([last - first + 1 for first, last in row.missing]))

    def note_prices(self, last: Mapping[Key, Trade]) -> dict[Key, Trade]:
        """Note last trades of symbols; return those of symbols without a ledger so far."""
        for key, trade in last.items():
            series = self._known.get(key)
            if series is not None:
                series.price.set(float(trade.price))
        return {key: trade for key, trade in last.items() if key not in self._known}

    def note_open_gaps(self, gaps: Mapping[Key, Sequence[Gap]]) -> None:
        """Note all gaps of some symbols, except healed ones."""
        for key, members in gaps.items():
            series = self._known.get(key)
            if series is not None and series.gaps:
                unrecoverable = sum(gap.state == "unrecoverable" for gap in members)
                series.gaps[1].set(len(members) - unrecoverable)
                series.gaps[2].set(unrecoverable)

    def note_changed_gaps(self, gaps: Iterable[Gap], now_us: int) -> None:
        """Note the gaps that trades have just healed, and how long that took.

        Args:
            gaps: the changed ones.
            now_us: the present, microseconds since the epoch.
        """
        for gap in gaps:
            if gap.state == "healed" and gap.cause == "ours":
                metrics.WORKER_HEALED.labels(gap.venue).inc(gap.last_id - gap.first_id + 1)
                metrics.WORKER_HEAL_S.labels(gap.venue).observe(max(0, now_us - gap.detected_at_us) / 1e6)

    def remove(self) -> None:
        """Remove the series: the next owner may be another process."""
        for key, series in self._known.items():
            if series is not None:
                series.remove()
                self._exposed.pop(key, None)
        self._known.clear()

    def _series_of(self, key: Key, *, numbered: bool) -> _Series | None:
        if key not in self._known:
            self._known[key] = self._make(key, numbered=numbered)
        return self._known[key]

    def _make(self, key: Key, *, numbered: bool) -> _Series | None:
        if len(self._exposed) >= metrics.MAX_SYMBOLS:
            if not SymbolMetrics._full:
                SymbolMetrics._full = True
                _log.warning(
                    "%d symbols have metrics of their own; others of this process, such as %s:%s, have none",
                    metrics.MAX_SYMBOLS,
                    *key,
                )
            return None
        metrics.WORKER_HEALED.labels(key[0])
        metrics.WORKER_HEAL_S.labels(key[0])
        series = self._exposed[key] = _Series(key, numbered=numbered)
        return series
