"""What a worker holds of one symbol: its ledger, its watermark, and candles since the last commit. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from db.ledger import LedgerRow
from tickplant.intervals import BASE, INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, Gap, SymbolId, Trade, merge, rebucket
from workers.admission import Admission
from workers.ledger import Ledger
from workers.roles.price_guard import near

_LONGER: Final = [(name, length) for name, length in INTERVALS.items() if name != BASE]

Key = tuple[str, int]
"""Interval and open time."""


class SymbolState:
    """One symbol's part of a partition."""

    def __init__(self, venue: str, symbol: str, *, numbered: bool = True) -> None:
        self.venue = venue
        self.symbol = symbol
        self.key = SymbolId(venue, symbol)
        self.ledger = Ledger.empty(numbered=numbered)
        self.admission = Admission()
        self.watermark_us = 0
        """The venue's time up to which the symbol's trades have been seen."""
        self.last: Trade | None = None
        """The newest trade since the state was loaded, but for an outlier that no other has confirmed."""
        self._outlier: Trade | None = None
        self.needs_close = False
        """Whether candles may have closed or become complete since the last commit."""
        self.gaps_after_us: int | None = None
        """An event time that no trade missing since the last commit is before; None if no gap changed."""
        self.last_us = 0
        """The latest event time of all trades taken."""
        self._unproven = True  # a candle may have closed without the trade after it, which proves it complete
        self._open: dict[str, Candle] = {}
        self._minutes: dict[int, Candle] = {}
        self._late: dict[Key, Candle] = {}
        self._unpublished: dict[int, Candle] = {}

    def load(self, ledger: Ledger, watermark_us: int, last_event_time_us: int | None) -> None:
        """Take over what the database holds."""
        self.ledger = ledger
        self.watermark_us = watermark_us
        self.last_us = watermark_us if last_event_time_us is None else last_event_time_us

    def load_open(self, candle: Candle) -> None:
        """Take over a candle that has not closed."""
        known = self._open.get(candle.interval)
        if known is None or candle.open_time_us > known.open_time_us:
            self._open[candle.interval] = candle

    def register(self, trades: Sequence[Trade]) -> tuple[Sequence[Trade], Sequence[Trade]]:
        """Enter the ids of trades in the ledger, in their order of arrival.

        Returns:
            The trades that are new, the same object where all are; and those whose ids were taken already.
        """
        if self.ledger.admit_all([trade.trade_id for trade in trades]):
            return trades, ()
        missing = self.ledger.missing.count
        new: list[Trade] = []
        repeated: list[Trade] = []
        for trade in trades:
            (new if self.ledger.admit(trade.trade_id) else repeated).append(trade)
        if self.ledger.missing.count != missing:
            self._note_gaps_changed(min(trade.event_time_us for trade in new))
        return new if repeated else trades, repeated

    def fold(self, trades: Sequence[Trade], runs: Sequence[Candle]) -> None:
        """Fold new trades into the candles.

        Args:
            trades: at least one, registered, in their order of arrival.
            runs: the same, folded by `fold_runs`.
        """
        self.needs_close |= self._unproven
        self._unproven = False
        for run in runs:
            self._fold_run(run)
            self.last_us = max(self.last_us, run.last_event_time_us)
        newest = trades[-1]
        if newest.trade_id == self.ledger.last:
            self._note_last(newest)

    @property
    def empty(self) -> bool:
        """Whether no trade has been taken."""
        return self.ledger.first > self.ledger.last

    def mark_one_void(self, trade_id: int) -> None:
        """Mark an id as void, within the ids of the ledger or beyond them."""
        self.ledger.mark_void_beyond(trade_id)
        self.mark_void(trade_id, trade_id)

    def mark_void(self, low: int, high: int) -> None:
        """Mark missing ids as void: the venue has no trades with them."""
        if self.ledger.mark_void(low, high):
            self._note_gaps_changed(self.last_us)

    def pass_time(self, time_us: int) -> None:
        """Let the venue's clock close what it has passed."""
        if time_us > self.watermark_us and self._advance_watermark(time_us):
            self._unproven = True

    def gaps_for_ingest(self, gaps: list[Gap], now_us: int) -> list[Gap]:
        """Return gaps with the venue's own ids, and with what lies before a suspect, so that it is asked for.

        Args:
            gaps: those that are not healed.
            now_us: the time of the last entry.
        """
        offset, begun = self.admission.offset, self.admission.begun
        if offset:
            gaps = [
                replace(gap, first_id=gap.first_id - offset, last_id=gap.last_id - offset)
                for gap in gaps
                if gap.first_id >= begun
            ]
        suspected = self.admission.suspected
        if suspected is None:
            return gaps
        first, last = self.ledger.last + 1 - offset, suspected.trade_id - 1 - offset
        times_us = self.last_us, now_us
        return [*gaps, Gap(*self.key, first, last, *times_us, "suspected", "ours", None, last - first + 1)]

    @property
    def ledger_row(self) -> LedgerRow:
        """The ledger and the watermark, to be stored."""
        ledger = self.ledger
        return LedgerRow(
            self.venue,
            self.symbol,
            ledger.first,
            ledger.last,
            ledger.missing.members,
            ledger.void.members,
            ledger.numbered,
            self.watermark_us,
        )

    def take_pending(self) -> list[Candle]:
        """Return what has been added since the last call as parts of candles of all intervals."""
        parts = self._late
        for minute in self._minutes.values():
            _merge_part(parts, minute)
            for name, length in _LONGER:
                _merge_part(parts, rebucket(minute, name, length))
        self._minutes, self._late = {}, {}
        self.needs_close = False
        self.gaps_after_us = None
        return list(parts.values())

    def take_open(self) -> list[Candle]:
        """Return, in full, the candles that changed since the last call and are still open."""
        changed: set[str] = set()
        for minute in self._unpublished.values():
            for name, length in INTERVALS.items():
                part = rebucket(minute, name, length)
                if part.open_time_us + length <= self.watermark_us:
                    continue  # it has closed: the commit publishes it
                known = self._open.get(name)
                same = known is not None and known.open_time_us == part.open_time_us
                self._open[name] = merge(known, part) if known and same else part
                changed.add(name)
        self._unpublished = {}
        return [self._open[name] for name in INTERVALS if name in changed]

    def _fold_run(self, run: Candle) -> None:
        opened = run.open_time_us
        if opened + MINUTE_US > self.watermark_us:
            self._advance_watermark(run.last_event_time_us)
            _merge_minute(self._minutes, opened, run)
        else:
            self._fold_late(run)
        _merge_minute(self._unpublished, opened, run)

    def _note_last(self, newest: Trade) -> None:
        """Take the newest trade as the last one, unless its price is far from all before it."""
        price = Decimal(newest.price)
        known = [it for it in (self.last, self._outlier) if it is not None]
        if self.last is None or any(near(Decimal(it.price), price) for it in known):
            self.last, self._outlier = newest, None
        else:
            self._outlier = newest

    def _fold_late(self, run: Candle) -> None:
        """Merge a run whose minute has closed; some of the longer intervals may still be open."""
        self.needs_close = True
        for name, length in INTERVALS.items():
            closed = floor(run.open_time_us, length) + length <= self.watermark_us
            _merge_part(self._late, rebucket(run, name, length, revision=run.trade_count if closed else 0))

    def _note_gaps_changed(self, time_us: int) -> None:
        """Note that ids have become missing, or have come.

        Args:
            time_us: the least event time of the trades that showed it: what is missing may lie between them.
        """
        self.needs_close = True
        times_us = [time_us, self.last_us or time_us, self.gaps_after_us]
        self.gaps_after_us = min(it for it in times_us if it is not None)

    def _advance_watermark(self, time_us: int) -> bool:
        """Raise the watermark; return whether it entered another minute."""
        crossed = floor(time_us, MINUTE_US) > floor(self.watermark_us, MINUTE_US)
        self.watermark_us = max(self.watermark_us, time_us)
        self.needs_close |= crossed
        return crossed


def _merge_part(parts: dict[Key, Candle], part: Candle) -> None:
    key = (part.interval, part.open_time_us)
    known = parts.get(key)
    parts[key] = merge(known, part) if known else part


def _merge_minute(minutes: dict[int, Candle], opened: int, run: Candle) -> None:
    known = minutes.get(opened)
    minutes[opened] = merge(known, run) if known else run
