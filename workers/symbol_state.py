"""The in-memory state of one symbol: its ledger, watermark, and candles since the last commit. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from db.ledger import LedgerRow
from tickplant.intervals import BASE, INTERVALS, MINUTE_US, floor
from tickplant.kernel import TradeColumns
from tickplant.market import Candle, Gap, SymbolId, Trade, merge, rebucket
from workers.admission import Admission
from workers.ledger import Ledger
from workers.plausibility import MAX_ID
from workers.roles.price_guard import near

_LONGER: Final = [(name, length) for name, length in INTERVALS.items() if name != BASE]

PartKey = tuple[str, int]
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
        """The newest trade since the state was restored, without an outlier that no other has confirmed."""
        self._outlier: Trade | None = None
        self.needs_close = False
        """Whether candles may have closed or become complete since the last commit."""
        self.gaps_after_us: int | None = None
        """A lower bound of the event times of what is newly missing; None if no gap has changed."""
        self.last_us = 0
        """The latest event time of all trades."""
        self._unproven = True  # a candle may have closed without the trade after it, which proves it complete
        self._open: dict[str, Candle] = {}
        self._current: Candle | None = None
        """The watermark's minute, in full, as of the last batch; the stored longer candles lack it."""
        self._minutes: dict[int, Candle] = {}
        self._late: dict[PartKey, Candle] = {}
        self._unpublished: dict[int, Candle] = {}
        self._unpublished_longer: dict[int, Candle] = {}  # published as 1m candles, not in the longer ones

    def restore(self, ledger: Ledger, watermark_us: int, last_event_time_us: int | None) -> None:
        """Restore what the database holds."""
        self.ledger = ledger
        self.watermark_us = watermark_us
        self.last_us = watermark_us if last_event_time_us is None else last_event_time_us

    def restore_open(self, candle: Candle) -> None:
        """Restore a candle that has not closed."""
        known = self._open.get(candle.interval)
        if known is None or candle.open_time_us > known.open_time_us:
            self._open[candle.interval] = candle
            if candle.interval == BASE:
                self._current = candle

    def register(self, trades: Sequence[Trade]) -> tuple[Sequence[Trade], Sequence[Trade]]:
        """Add the ids of trades to the ledger, in order of arrival.

        Returns:
            The new trades, the same object where all are new; and those whose ids were stored already.
        """
        missing = self.ledger.missing.count
        new: list[Trade] = []
        repeated: list[Trade] = []
        for trade in trades:
            (new if self.ledger.add(trade.trade_id) else repeated).append(trade)
        if self.ledger.missing.count != missing:
            self._note_gaps_changed(min(trade.event_time_us for trade in new))
        return new if repeated else trades, repeated

    def append(self, trades: TradeColumns, limit_us: int) -> bool:
        """Add the ids of trades to the ledger, if they continue from the last one and are plausible.

        Returns:
            Whether they were added; if not, nothing has changed, and each trade has to be assessed.
        """
        low, high = trades.lowest_id, trades.highest_id
        return (
            high <= MAX_ID
            and trades.latest_time_us <= limit_us
            and (trades.consecutive if self.ledger.numbered else trades.ascending)
            and not trades.has_zero
            and self.ledger.append(low, high)
        )

    def fill(self, trades: TradeColumns, limit_us: int) -> bool:
        """Add the ids of past trades to the ledger, if they are consecutive, new and plausible.

        Returns:
            Whether they were added; if not, nothing has changed, and each trade has to be assessed.
        """
        missing = self.ledger.missing.count
        low, high = trades.lowest_id, trades.highest_id
        if (
            high > self.ledger.last
            or trades.latest_time_us > min(limit_us, self.last_us)
            or not trades.consecutive
            or trades.has_zero
            or not self.ledger.fill(low, high)
        ):
            return False
        if self.ledger.missing.count != missing:
            self._note_gaps_changed(min(trades.event_times_us))
        return True

    def fold(self, trades: TradeColumns, runs: Sequence[Candle]) -> None:
        """Fold new trades into the candles.

        Args:
            trades: at least one, registered, in order of arrival.
            runs: the same, folded.
        """
        self.needs_close |= self._unproven
        self._unproven = False
        for run in runs:
            self._fold_run(run)
            self.last_us = max(self.last_us, run.last_event_time_us)
        self._note_last(trades, runs)

    @property
    def empty(self) -> bool:
        """Whether no trade is stored."""
        return self.ledger.first > self.ledger.last

    def mark_one_void(self, trade_id: int) -> None:
        """Mark an id as void, inside the ledger or beyond it."""
        self.ledger.mark_void_beyond(trade_id)
        self.mark_void(trade_id, trade_id)

    def mark_void(self, low: int, high: int) -> None:
        """Mark missing ids as void: the venue has no trades under them."""
        if self.ledger.mark_void(low, high):
            self._note_gaps_changed(self.last_us)

    def advance_clock(self, time_us: int) -> None:
        """Advance the watermark to the venue's clock; candles that end by then close."""
        if time_us > self.watermark_us and self._advance_watermark(time_us):
            self._unproven = True

    def gaps_for_ingest(self, gaps: list[Gap], now_us: int) -> list[Gap]:
        """Return gaps with the venue's own ids, and the ids before a suspect as a suspected gap.

        Args:
            gaps: those that are not healed.
            now_us: the time of the last entry.
        """
        offset, series_start = self.admission.offset, self.admission.series_start
        if offset:
            gaps = [
                replace(gap, first_id=gap.first_id - offset, last_id=gap.last_id - offset)
                for gap in gaps
                if gap.first_id >= series_start
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

    def take_parts(self) -> list[Candle]:
        """Return what is to be merged into the stored candles, at most one part per candle.

        Trades of the watermark's minute are part of its 1m candle only. A minute that the watermark has left
        since the last call is, in full, part of the longer candles; late trades are part of all intervals.
        """
        parts, minutes = self._late, self._minutes
        self._late, self._minutes = {}, {}
        for minute in minutes.values():
            _merge_part(parts, minute)
        if self._current is not None:
            _merge_minute(minutes, self._current.open_time_us, self._current)
        self._current = minutes.pop(floor(self.watermark_us, MINUTE_US), None)
        for minute in minutes.values():
            for name, length in _LONGER:
                _merge_part(parts, rebucket(minute, name, length))
        self.needs_close = False
        self.gaps_after_us = None
        return list(parts.values())

    def take_open(self, *, longer: bool) -> list[Candle]:
        """Return, in full, the candles that changed since they were last returned and are still open.

        Args:
            longer: whether to return candles longer than a minute, too; otherwise a later call does.
        """
        unpublished, self._unpublished = self._unpublished, {}
        changed = [BASE] if self._merge_open(BASE, MINUTE_US, unpublished) else []
        if not self._unpublished_longer:
            self._unpublished_longer = unpublished
        else:
            for opened, minute in unpublished.items():
                _merge_minute(self._unpublished_longer, opened, minute)
        if longer:
            unpublished, self._unpublished_longer = self._unpublished_longer, {}
            changed += [name for name, length in _LONGER if self._merge_open(name, length, unpublished)]
        return [self._open[name] for name in changed]

    def _merge_open(self, name: str, length: int, minutes: dict[int, Candle]) -> bool:
        """Merge minutes into the open candle of an interval; return whether it has changed.

        Those of candles that have closed are left out: the commit publishes these.
        """
        changed = False
        for opened, minute in minutes.items():
            opened_us = floor(opened, length)
            if opened_us + length <= self.watermark_us:
                continue
            known = self._open.get(name)
            if known is not None and known.open_time_us == opened_us:
                self._open[name] = merge(known, minute)
            else:
                self._open[name] = minute if name == BASE else rebucket(minute, name, length)
            changed = True
        return changed

    def _fold_run(self, run: Candle) -> None:
        opened = run.open_time_us
        if opened + MINUTE_US > self.watermark_us:
            self._advance_watermark(run.last_event_time_us)
            _merge_minute(self._minutes, opened, run)
        else:
            self._fold_late(run)
        _merge_minute(self._unpublished, opened, run)

    def _note_last(self, trades: TradeColumns, runs: Sequence[Candle]) -> None:
        """Find the newest trade by id whose price is not an outlier."""
        newest = trades.trade(-1)
        known_ids = [earlier.trade_id for earlier in (self.last, self._outlier) if earlier is not None]
        if known_ids and trades.highest_id < max(known_ids):
            return
        if self.last is not None and self._outlier is None and newest.trade_id == self.ledger.last:
            price = Decimal(self.last.price)
            if near(min([price, *[run.low for run in runs]]), max([price, *[run.high for run in runs]])):
                self.last = newest
                return
        for trade in trades.trades():
            self._note_trade(trade)

    def _note_trade(self, trade: Trade) -> None:
        known = [earlier for earlier in (self.last, self._outlier) if earlier is not None]
        if any(trade.trade_id < earlier.trade_id for earlier in known):
            return
        price = Decimal(trade.price)
        if self.last is None or any(near(Decimal(earlier.price), price) for earlier in known):
            self.last, self._outlier = trade, None
        else:
            self._outlier = trade

    def _fold_late(self, run: Candle) -> None:
        """Merge a run whose minute has closed; some of the longer intervals may still be open."""
        self.needs_close = True
        for name, length in INTERVALS.items():
            closed = floor(run.open_time_us, length) + length <= self.watermark_us
            _merge_part(self._late, rebucket(run, name, length, revision=run.trade_count if closed else 0))

    def _note_gaps_changed(self, time_us: int) -> None:
        """Note that ids are newly missing, or no longer.

        Args:
            time_us: the earliest event time of the trades that showed it; missing ones may lie between them.
        """
        self.needs_close = True
        times_us = [time_us, self.last_us or time_us, self.gaps_after_us]
        self.gaps_after_us = min(known_us for known_us in times_us if known_us is not None)

    def _advance_watermark(self, time_us: int) -> bool:
        """Raise the watermark; return whether it entered another minute."""
        crossed = floor(time_us, MINUTE_US) > floor(self.watermark_us, MINUTE_US)
        self.watermark_us = max(self.watermark_us, time_us)
        self.needs_close |= crossed
        return crossed


def _merge_part(parts: dict[PartKey, Candle], part: Candle) -> None:
    key = (part.interval, part.open_time_us)
    known = parts.get(key)
    parts[key] = merge(known, part) if known else part


def _merge_minute(minutes: dict[int, Candle], opened: int, run: Candle) -> None:
    known = minutes.get(opened)
    minutes[opened] = merge(known, run) if known else run
