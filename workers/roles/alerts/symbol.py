"""The alerts of one symbol: which fire, and at which trade. Pure.

A run of trades costs a few comparisons, however many alerts there are, unless it reaches one: only then are
its trades checked one by one.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from db.alerts.states import MinuteClose
from tickplant.derived import AlertChange, AlertState, Firing
from tickplant.intervals import BASE
from tickplant.market import Candle, Trade
from workers.roles.alerts.prices import PriceAlerts
from workers.roles.alerts.silences import SilenceAlerts
from workers.roles.alerts.watched import WatchedAlert
from workers.roles.events import Closed, Run

MAX_DELETED: Final = 1_000
"""Deleted alerts of a symbol that are remembered."""
_OTHER_KINDS: Final = ("silence", "gap")
"""Of alerts that wait for neither a price nor a change."""


class AlertChanges(NamedTuple):
    """What has changed, to be stored."""

    states: list[AlertState]
    """The whole state of every alert that has changed."""
    firings: list[Firing]
    """In order."""
    deliveries: list[tuple[Firing, str]]
    """The firings that go to a webhook, with its address."""
    notified: list[tuple[Firing, tuple[str, ...]]]
    """The firings that go to chat or mail, with the tags of their targets."""


class SymbolAlerts:
    """All alerts of one symbol in memory."""

    def __init__(
        self,
        states: Iterable[AlertState] = (),
        closes: Iterable[MinuteClose] = (),
        last_us: int | None = None,
    ) -> None:
        """Restore what the database holds.

        Args:
            states: the symbol's alerts.
            closes: of its newest closed minutes, in order of time.
            last_us: event time of the last trade that its roles have processed; None where there was none.
        """
        self._alerts = {state.alert.alert_id: WatchedAlert(state) for state in states}
        self._deleted: deque[str] = deque()
        self._changed: dict[str, WatchedAlert] = {}
        self._fired: list[Firing] = []
        self._deliveries: list[tuple[Firing, str]] = []
        self._notified: list[tuple[Firing, tuple[str, ...]]] = []
        self._silences = SilenceAlerts(last_us)
        self._gaps: dict[str, WatchedAlert] = {}
        live = [watched for watched in self._alerts.values() if watched.live]
        self._prices = PriceAlerts(
            closes, (watched for watched in live if watched.alert.kind not in _OTHER_KINDS)
        )
        for watched in live:
            if watched.alert.kind in _OTHER_KINDS:
                self._watch(watched)
        for alert_id, watched in list(self._alerts.items()):
            if watched.deleted:
                self._note_deleted(alert_id)

    def run(self, run: Run) -> list[Firing]:
        """Process trades; return what they fire, in order of the trades."""
        candle, prices, silences = run.candle, self._prices, self._silences
        if candle.open_time_us != prices.minute_us:
            prices.enter_minute(candle.open_time_us)
        last_us = candle.last_event_time_us
        if last_us >= silences.due_us or silences.awaiting_trade:
            return self._check_each(run.trades, silences=True)
        silences.end(last_us)
        if candle.high > prices.next_rise or candle.low < prices.next_fall:
            return self._check_each(run.trades, silences=False)
        return []

    def closed(self, closed: Closed) -> None:
        """Remember the closes of candles; nothing fires before the next trade."""
        for candle in closed.candles:
            self.correct(candle)

    def correct(self, candle: Candle) -> None:
        """Remember the close of a candle that has closed, or of a late part of one."""
        if candle.interval == BASE:
            self._prices.put_minute(candle)

    def advance_clock(self, time_us: int) -> list[Firing]:
        """Advance to the venue's time; return the firings of silences, the shortest first."""
        if time_us < self._silences.due_us:
            return []
        return self._note_reached(self._silences.advance_clock(time_us))

    def gap(self, first_id: int, last_id: int, time_us: int) -> list[Firing]:
        """Process a gap; return what it fires.

        Args:
            first_id: the first missing id.
            last_id: the last missing id.
            time_us: the symbol's venue time when the gap was found.
        """
        reached = [
            (watched, watched.fire(time_us, str(first_id))) for _, watched in sorted(self._gaps.items())
        ]
        for watched, _ in reached:
            watched.armed = True  # a gap ends at once
            if not watched.live:
                self._unwatch(watched)
        return self._note_reached(reached)

    def change(self, change: AlertChange) -> None:
        """Create, change or delete an alert as of this position among the trades; ignore older versions.

        A condition that already holds fires at the next trade, or the next venue time.
        """
        alert = change.alert
        watched = self._alerts.get(alert.alert_id)
        if watched is None:
            watched = WatchedAlert(AlertState(alert, change.deleted))
            watched.restart(alert)
            self._alerts[alert.alert_id] = watched
        elif alert.version <= watched.alert.version:
            return
        else:
            if watched.live:
                self._unwatch(watched)
            watched.change(alert, deleted=change.deleted)
        if watched.live:
            self._watch(watched)
        if change.deleted:
            self._note_deleted(alert.alert_id)
        self._changed[alert.alert_id] = watched

    def take(self) -> AlertChanges | None:
        """Return what has changed since the last call; None if nothing has changed."""
        if not self._changed:
            return None
        states = [watched.state for watched in self._changed.values()]
        taken = AlertChanges(states, self._fired, self._deliveries, self._notified)
        self._changed, self._fired, self._deliveries, self._notified = {}, [], [], []
        return taken

    def _check_each(self, trades: Iterable[Trade], *, silences: bool) -> list[Firing]:
        """Process trades one by one; return what they fire.

        Args:
            trades: in order.
            silences: whether a silence may end with one of them.
        """
        fired: list[Firing] = []
        prices = self._prices
        for trade in trades:
            if silences:
                fired += self.advance_clock(trade.event_time_us)
                for watched in self._silences.end(trade.event_time_us):
                    self._changed[watched.alert.alert_id] = watched
            price = Decimal(trade.price)
            if price > prices.next_rise or price < prices.next_fall:
                fired += self._note_reached(prices.reach(price, trade))
        return fired

    def _note_reached(self, reached: Iterable[tuple[WatchedAlert, Firing | None]]) -> list[Firing]:
        """Note alerts that have fired, or changed without firing; return the firings."""
        fired = []
        for watched, firing in reached:
            self._changed[watched.alert.alert_id] = watched
            if firing is not None:
                fired.append(firing)
                if watched.alert.webhook_url is not None:
                    self._deliveries.append((firing, watched.alert.webhook_url))
                if watched.alert.notify:
                    self._notified.append((firing, watched.alert.notify))
        self._fired += fired
        return fired

    def _note_deleted(self, alert_id: str) -> None:
        """Remember a deleted alert, within bounds, so that late changes do not create it again."""
        self._deleted.append(alert_id)
        if len(self._deleted) > MAX_DELETED:
            self._alerts.pop(self._deleted.popleft(), None)

    def _watch(self, watched: WatchedAlert) -> None:
        alert = watched.alert
        if alert.kind == "silence":
            self._silences.add(watched)
        elif alert.kind == "gap":
            self._gaps[alert.alert_id] = watched
        else:
            self._prices.add(watched)

    def _unwatch(self, watched: WatchedAlert) -> None:
        alert = watched.alert
        if alert.kind == "silence":
            self._silences.remove(watched)
        elif alert.kind == "gap":
            del self._gaps[alert.alert_id]
        else:
            self._prices.remove(watched)
