"""The roles of one symbol, in the order in which they depend on one another. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from db.outliers import Outlier
from tickplant.derived import Average, Firing, Signal, Statistics
from tickplant.intervals import BASE
from tickplant.kernel import TradeColumns
from tickplant.market import Candle, Trade, fold_runs
from tickplant.wire import Verdict
from workers.ledger import Ledger
from workers.roles.alerts.symbol import SymbolAlerts
from workers.roles.averages import SymbolAverages
from workers.roles.bot import SymbolBot
from workers.roles.events import Closed, Last, Run, RunTrades
from workers.roles.open_candles import OpenCandles, minute_of
from workers.roles.price_guard import PriceGuard, PriceGuardState
from workers.roles.reorder import ReorderBuffer, ReorderState
from workers.roles.signals import SymbolSignals


class RolePosition(Struct, frozen=True, array_like=True):
    """Up to where a symbol's roles have processed its trades."""

    time_us: int = 0
    """The venue's time up to which they have processed."""
    clock_us: int = 0
    """The venue's time to which they advance when they wait no longer."""
    last_us: int | None = None
    """Event time of the last trade released to them; None where there was none."""
    candles: list[Candle] = []
    """The open candles of the trades that they have processed."""


class WaitingRoles(Struct, frozen=True, array_like=True):
    """The saved state of a symbol whose roles wait for a missing trade, or for one that confirms a price."""

    reorder: ReorderState
    position: RolePosition
    guard: PriceGuardState = PriceGuardState()


class RoleResults(NamedTuple):
    """What a symbol's roles have produced."""

    averages: list[Average]
    statistics: list[Statistics]
    corrected: list[Candle]
    """Late parts of candles that had closed."""
    signals: list[Signal]
    firings: list[Firing]


class SymbolRoles:
    """One symbol's roles: they process trades in order of id, in whatever order they arrive."""

    def __init__(
        self,
        *,
        reorder: ReorderBuffer,
        position: RolePosition,
        guard: PriceGuard,
        averages: SymbolAverages | None,
        signals: SymbolSignals | None,
        alerts: SymbolAlerts | None,
        bot: SymbolBot | None,
    ) -> None:
        """Take the restored roles; None for a role that is switched off.

        Args:
            reorder: releases the trades in order of id.
            position: up to where they have processed.
            guard: withholds outlier prices.
            averages: of closed candles.
            signals: of the strategies.
            alerts: of the users.
            bot: the paper bot.
        """
        self._reorder = reorder
        self._guard = guard
        self._candles = OpenCandles(position.candles, minute_us=minute_of(position.time_us))
        self._time_us = position.time_us
        self._clock_us = position.clock_us
        self._last_us = position.last_us
        self._averages = averages
        self._signals = signals
        self._bot = bot
        self._alerts = alerts
        self._results = RoleResults([], [], [], [], [])

    @property
    def has_events(self) -> bool:
        """Whether there are signals or firings to publish."""
        return bool(self._results.signals or self._results.firings)

    @property
    def has_results(self) -> bool:
        """Whether anything has been produced since the last `take`."""
        return any(self._results)

    def take(self) -> RoleResults:
        """Return what has been produced since the last call."""
        results, self._results = self._results, RoleResults([], [], [], [], [])
        return results

    @property
    def waiting_state(self) -> WaitingRoles | None:
        """The state to save while the roles wait for a trade; None while they don't."""
        reorder = self._reorder.held_state or (self._reorder.idle_state if self._guard.busy else None)
        return WaitingRoles(reorder, self.position, self._guard.state) if reorder else None

    def take_outliers(self) -> Sequence[Outlier]:
        """Return the outlier prices found or confirmed since the last call."""
        return self._guard.take_outliers()

    @property
    def position(self) -> RolePosition:
        """Up to where the roles have processed."""
        clock_us = max(self._time_us, self._clock_us)
        return RolePosition(self._time_us, clock_us, self._last_us, self._candles.candles)

    def expects(self, new: TradeColumns, ledger: Ledger) -> bool:
        """Return whether new trades would be processed at once, in their order."""
        return self._reorder.expects(new, ledger)

    def feed(self, trades: TradeColumns, runs: Iterable[Candle], ledger: Ledger, now_ms: int) -> None:
        """Process new trades.

        Args:
            trades: in order of arrival, added to the ledger.
            runs: the same, folded.
            ledger: of the symbol.
            now_ms: the time of their entry.
        """
        if self._reorder.pass_through(trades, ledger):
            self._process_columns(trades, runs)
            return
        if self._reorder.is_past(trades, ledger):
            self._merge_past(runs)
        else:
            cursor, new = self._reorder.cursor, trades.trades()
            released = self._reorder.push(new, ledger, now_ms)
            if cursor is not None:
                self._merge_past(fold_runs(trade for trade in new if trade.trade_id <= cursor))
            self._process(released)
        self._report_gaps()
        self._catch_up()

    def _merge_past(self, runs: Iterable[Candle]) -> None:
        """Merge trades that are too late to be released in order."""
        for run in runs:
            self._advance(run.last_event_time_us)
            self._merge(run)

    def advance_clock(self, time_us: int, ledger: Ledger, now_ms: int) -> None:
        """Advance to the venue's time, before which all trades have arrived but missing ones."""
        self._clock_us = max(self._clock_us, time_us)
        self._release(ledger, now_ms, clock=True)

    def apply_verdict(self, verdict: Verdict, ledger: Ledger, now_ms: int) -> None:
        """Stop waiting for missing ids that are unrecoverable or void."""
        if verdict.verdict == "unrecoverable":
            self._reorder.abandon(verdict.first_id, verdict.last_id)
        self._release(ledger, now_ms)

    def _release(self, ledger: Ledger, now_ms: int, *, clock: bool = False) -> None:
        if self._reorder.holding:
            released = self._reorder.release(ledger, now_ms, clock=clock)
            self._process(released)
        self._catch_up()

    def _catch_up(self) -> None:
        """Advance to the venue's time, once no trade before it is missing."""
        if self._clock_us > self._time_us and not self._reorder.holding:
            self._advance(self._clock_us)
            if self._alerts is not None:
                self._results.firings.extend(self._alerts.advance_clock(self._clock_us))

    def _process_columns(self, trades: TradeColumns, runs: Iterable[Candle]) -> None:
        start = 0
        for candle in runs:
            end = start + candle.trade_count
            part = trades if candle.trade_count == len(trades) else trades.slice(start, end)
            self._process_part(RunTrades(part), candle, part.prices[-1])
            start = end

    def _process(self, trades: Sequence[Trade]) -> None:
        start = 0
        for candle in fold_runs(trades):
            end = start + candle.trade_count
            self._process_part(trades[start:end], candle, trades[end - 1].price)
            start = end

    def _process_part(self, trades: Sequence[Trade], candle: Candle, last_price: str) -> None:
        if self._guard.passes(candle, last_price):
            self._process_run(Run(trades, candle))
        else:
            self._process_guarded(trades)

    def _process_guarded(self, trades: Sequence[Trade]) -> None:
        """Process trades without those whose price no other has confirmed."""
        start, passed = 0, self._guard.filter(trades)
        for candle in fold_runs(passed):
            end = start + candle.trade_count
            self._process_run(Run(passed[start:end], candle))
            start = end
        self._merge_withheld()

    def _process_run(self, run: Run) -> None:
        last_us = run.candle.last_event_time_us
        self._last_us = max(last_us, self._last_us or last_us)
        self._advance(last_us)
        self._merge(run.candle)
        if self._alerts is not None:
            self._results.firings.extend(self._alerts.run(run))
        signals = [] if self._signals is None else self._signals.run(run)
        if self._bot is not None:
            self._bot.run(run, signals)
        self._results.signals.extend(signals)

    def _advance(self, time_us: int) -> None:
        """Advance to a time: candles that have ended by then close."""
        if time_us <= self._time_us:
            return
        self._time_us = time_us
        for closed_us, candles in self._candles.close_until(minute_of(time_us)):
            self._close(closed_us, candles)
        self._merge_withheld()

    def _merge_withheld(self) -> None:
        """Merge withheld trades once their minute has closed, as if they were late."""
        for run in fold_runs(self._guard.take_withheld(minute_of(self._time_us))):
            self._merge(run)

    def _close(self, time_us: int, candles: list[Candle]) -> None:
        averages: list[Average] = []
        statistics = None
        if self._averages is not None:
            for candle in candles:
                averages += self._averages.close(candle)
                if candle.interval == BASE:
                    statistics = self._averages.statistics(candle)
            self._results.averages.extend(averages)
            if statistics is not None:
                self._results.statistics.append(statistics)
        shortest = candles[0]
        last = Last(shortest.last_trade_id, f"{shortest.close:f}", shortest.last_event_time_us)
        closed = Closed(time_us, candles, averages, statistics, last)
        if self._alerts is not None:
            self._alerts.closed(closed)
        signals = [] if self._signals is None else self._signals.closed(closed)
        if self._bot is not None:
            self._bot.closed(closed, signals)
        self._results.signals.extend(signals)

    def _merge(self, run: Candle) -> None:
        for part in self._candles.add(run):
            if self._alerts is not None:
                self._alerts.correct(part)
            if self._averages is not None and self._averages.correct(part):
                self._results.corrected.append(part)

    def _report_gaps(self) -> None:
        """Report gaps to alerts when they are found, as of the last trade before them."""
        for low, high in self._reorder.take_new_gaps():
            if self._alerts is not None:
                self._results.firings.extend(self._alerts.gap(low, high, self._last_us or self._time_us))
