"""The roles of all symbols of a partition, and their results. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from db.alerts.states import AlertRows, MinuteClose
from db.commit import DerivedRows
from db.ledger import LedgerRow
from db.notifications import NotificationRows
from db.outliers import Outlier
from db.waiting import WaitingRows
from tickplant.derived import AlertChange, AlertState, Change, Signal
from tickplant.market import Candle, SymbolId, Trade
from tickplant.notifications import NotificationSettings, Notifier
from tickplant.wire import LiveUpdate
from workers.roles.alerts.symbol import AlertChanges, SymbolAlerts
from workers.roles.averages import PartitionAverages
from workers.roles.bot import PartitionBots
from workers.roles.price_guard import PriceGuard, PriceGuardState
from workers.roles.reorder import ReorderBuffer
from workers.roles.signals import PartitionSignals
from workers.roles.symbol import RolePosition, SymbolRoles, WaitingRoles
from workers.roles.unified import Unifier
from workers.strategies.runner import StrategyFailure


class StoredState(NamedTuple):
    """What the database holds of a partition's symbols, as of its committed entry."""

    ledger: Sequence[LedgerRow] = ()
    open_candles: Sequence[Candle] = ()
    waiting: Mapping[SymbolId, WaitingRoles] = MappingProxyType({})
    """Of symbols whose roles wait for a missing trade."""
    held: Mapping[SymbolId, Sequence[Trade]] = MappingProxyType({})
    """Of these, the trades after the last one that the roles processed."""


class StoredAlerts(NamedTuple):
    """What the database holds for the alerts of a partition's symbols."""

    states: dict[SymbolId, list[AlertState]]
    closes: dict[SymbolId, list[MinuteClose]]
    """Of the newest closed minutes, in order of time."""


class Derived(NamedTuple):
    """The results of the entries absorbed since the last batch."""

    rows: Sequence[DerivedRows]
    """To be stored."""
    to_publish: LiveUpdate
    """To be published once stored."""
    outliers: Sequence[Outlier]
    """Prices withheld from the roles, or confirmed by the next trade and released."""


class PartitionRoles:
    """The roles of all symbols of a partition; None for one that is switched off."""

    def __init__(
        self,
        partition: int,
        *,
        averages: PartitionAverages | None = None,
        signals: PartitionSignals | None = None,
        alerts: StoredAlerts | None = None,
        bots: PartitionBots | None = None,
        unifier: Unifier | None = None,
        notifier: Notifier | None = None,
        gap_wait_ms: int = 0,
        stored: StoredState | None = None,
    ) -> None:
        """Restore what has been loaded.

        Args:
            partition: the one owned.
            averages: of closed candles.
            signals: of strategies.
            alerts: of users.
            bots: the paper bot.
            unifier: joins prices with averages and signals.
            notifier: makes notifications; None: without targets.
            gap_wait_ms: how long a missing trade is waited for.
            stored: trades and candles; None where there are none.
        """
        self._partition = partition
        self._averages = averages
        self._signals = signals
        self._stored_alerts = alerts
        self._symbol_alerts: dict[SymbolId, SymbolAlerts] = {}
        self._bots = bots
        self._unifier = unifier or Unifier()
        self._notifier = notifier or Notifier(NotificationSettings())
        self._gap_wait_ms = gap_wait_ms
        stored = stored or StoredState()
        self._stored_waiting = set(stored.waiting)
        self._touched: dict[SymbolId, SymbolRoles] = {}
        self._unchecked: dict[SymbolId, SymbolRoles] = {}  # of those touched, since `urgent` was last read
        self._urgent = False
        self._changed_alerts: dict[SymbolId, None] = {}
        candles: dict[SymbolId, list[Candle]] = {}
        for candle in stored.open_candles:
            candles.setdefault(SymbolId(candle.venue, candle.symbol), []).append(candle)
        self._symbols: dict[SymbolId, SymbolRoles] = {}
        for row in stored.ledger:
            key = SymbolId(row.venue, row.symbol)
            waiting = stored.waiting.get(key)
            if waiting is not None:
                reorder = ReorderBuffer.restore(
                    waiting.reorder, stored.held.get(key, ()), wait_ms=gap_wait_ms
                )
                position = waiting.position
                guard = PriceGuard(waiting.guard)
                if waiting.guard.last is None:
                    guard = PriceGuard(PriceGuardState(row.last_price))
            else:
                reorder = ReorderBuffer(row.last_trade_id, wait_ms=gap_wait_ms)
                position = _position_of(row, candles.get(key, []))
                guard = PriceGuard(PriceGuardState(row.last_price))
            self._symbols[key] = self._make(key, reorder, position, guard)

    @property
    def urgent(self) -> bool:
        """Whether there are results that should be committed and published at once."""
        if not self._urgent and self._unchecked:
            self._urgent = any(roles.has_events for roles in self._unchecked.values())
            self._unchecked = {}
        return self._urgent

    def touch(self, key: SymbolId) -> SymbolRoles:
        """Return the roles of a symbol; their results are in the next `take`."""
        roles = self._symbols.get(key)
        if roles is None:
            reorder = ReorderBuffer(None, wait_ms=self._gap_wait_ms)
            roles = self._symbols[key] = self._make(key, reorder, RolePosition(), PriceGuard())
        self._touched[key] = self._unchecked[key] = roles
        return roles

    def change(self, change: Change) -> None:
        """Apply a user's change."""
        if isinstance(change, AlertChange):
            key = SymbolId(change.alert.venue, change.alert.symbol)
            alerts = self._alerts_of(key)
            if alerts is not None:
                alerts.change(change)
                self._changed_alerts[key] = None
        elif self._bots is not None:
            self._bots.switch(change)

    def take(self, traded: Iterable[Trade]) -> Derived:
        """Return the results since the last call.

        Args:
            traded: the last trade of each symbol that traded since then.
        """
        touched, self._touched = self._touched, {}
        self._unchecked, self._urgent = {}, False
        results = [roles.take() for roles in touched.values() if roles.has_results]
        averages = [row for symbol in results for row in symbol.averages]
        signals = [row for symbol in results for row in symbol.signals]
        self._unifier.add(averages, signals)
        alerts = self._take_alerts(touched)
        bots = self._bots.take(touched) if self._bots else None
        taken = [
            self._averages.take(
                averages,
                [row for symbol in results for row in symbol.statistics],
                [row for symbol in results for row in symbol.corrected],
            )
            if self._averages
            else None,
            self._signals.take(touched) if self._signals else None,
            self._alert_rows(alerts),
            self._notification_rows(alerts, signals),
            bots,
            self._take_waiting(touched),
        ]
        to_publish = LiveUpdate(
            signals=tuple(signals),
            firings=tuple(row for symbol in results for row in symbol.firings),
            accounts=bots.accounts if bots else (),
            unified=tuple(self._unifier.join(trade) for trade in traded),
        )
        outliers = [outlier for roles in touched.values() for outlier in roles.take_outliers()]
        return Derived([rows for rows in taken if rows is not None], to_publish, outliers)

    def take_failures(self) -> list[StrategyFailure]:
        """Return the strategies that failed between the last call and the last `take`."""
        return self._signals.take_failures() if self._signals else []

    def _take_waiting(self, touched: Mapping[SymbolId, SymbolRoles]) -> WaitingRows | None:
        waiting = {key: state for key, roles in touched.items() if (state := roles.waiting_state) is not None}
        ended = [key for key in self._stored_waiting if key in touched and key not in waiting]
        self._stored_waiting = (self._stored_waiting | waiting.keys()) - set(ended)
        if not waiting and not ended:
            return None
        encoded = {key: msgspec.msgpack.encode(state) for key, state in waiting.items()}
        return WaitingRows(self._partition, encoded, ended)

    def _take_alerts(self, touched: Iterable[SymbolId]) -> list[AlertChanges]:
        changed, self._changed_alerts = self._changed_alerts, {}
        alerts = [self._symbol_alerts.get(key) for key in changed | dict.fromkeys(touched)]
        return [taken for of_symbol in alerts if of_symbol and (taken := of_symbol.take()) is not None]

    def _alert_rows(self, changes: Sequence[AlertChanges]) -> AlertRows | None:
        if not changes:
            return None
        return AlertRows(
            self._partition,
            [state for taken in changes for state in taken.states],
            [firing for taken in changes for firing in taken.firings],
            [delivery for taken in changes for delivery in taken.deliveries],
        )

    def _notification_rows(
        self, changes: Sequence[AlertChanges], signals: Sequence[Signal]
    ) -> NotificationRows | None:
        fired = [notified for taken in changes for notified in taken.notified]
        made = [row for firing, tags in fired for row in self._notifier.of_firing(firing, tags)]
        made += [row for signal in signals for row in self._notifier.of_signal(signal)]
        return NotificationRows(made) if made else None

    def _alerts_of(self, key: SymbolId, last_us: int | None = None) -> SymbolAlerts | None:
        """Return the alerts of a symbol, restored the first time; None if the role is off.

        Args:
            key: of the symbol, which need not have any trades.
            last_us: event time of its last trade; None where there is none.
        """
        if self._stored_alerts is None:
            return None
        alerts = self._symbol_alerts.get(key)
        if alerts is None:
            states, closes = self._stored_alerts
            alerts = SymbolAlerts(states.pop(key, ()), closes.pop(key, ()), last_us)
            self._symbol_alerts[key] = alerts
        return alerts

    def _make(
        self, key: SymbolId, reorder: ReorderBuffer, position: RolePosition, guard: PriceGuard
    ) -> SymbolRoles:
        return SymbolRoles(
            reorder=reorder,
            position=position,
            guard=guard,
            averages=self._averages.of(key) if self._averages else None,
            signals=self._signals.of(key) if self._signals else None,
            alerts=self._alerts_of(key, position.last_us),
            bot=self._bots.of(*key) if self._bots else None,
        )


def _position_of(row: LedgerRow, candles: list[Candle]) -> RolePosition:
    """Return the position of roles that wait for nothing: that of the ledger."""
    # Without open candles it is the last trade's time, unless that trade was removed by age.
    last_us = max((candle.last_event_time_us for candle in candles), default=row.last_event_time_us)
    return RolePosition(row.watermark_us, row.watermark_us, last_us, candles)
