"""The alerts of one symbol: which fire, and at which trade. Pure.

A run of trades costs a few comparisons, however many alerts there are, unless it reaches one: only then is it
looked at trade by trade.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from tickplant.derived import Alert, AlertChange, AlertState, Firing
from tickplant.intervals import BASE, MINUTE_US
from tickplant.market import Candle, Trade
from workers.roles.alerts.closes import MinuteClose, MinuteCloses
from workers.roles.alerts.ladder import PriceLadder
from workers.roles.alerts.silences import SilenceAlerts
from workers.roles.alerts.watched import WatchedAlert
from workers.roles.alerts.window import ChangeWindow
from workers.roles.events import Closed, Run

MOST_DELETED: Final = 1_000
"""How many deleted alerts of a symbol are remembered."""
_NO_MINUTE: Final = -1


class AlertChanges(NamedTuple):
    """What has changed, to be stored."""

    states: list[AlertState]
    """The whole state of every alert that has changed."""
    firings: list[Firing]
    """In order."""
    deliveries: list[tuple[Firing, str]]
    """Those of them that go to a webhook, with its address."""


class SymbolAlerts:
    """Everything that an owner holds of one symbol's alerts."""

    def __init__(
        self,
        states: Iterable[AlertState] = (),
        closes: Iterable[MinuteClose] = (),
        last_us: int | None = None,
    ) -> None:
        """Begin with what the database holds.

        Args:
            states: the symbol's alerts.
            closes: of its newest closed minutes, in order of time.
            last_us: event time of the last trade that its roles have processed; None where there was none.
        """
        self._closes = MinuteCloses(closes)
        self._minute_us = _NO_MINUTE
        self._prices = PriceLadder()
        self._windows: dict[int, ChangeWindow] = {}
        self._silences = SilenceAlerts(last_us)
        self._gaps: dict[str, WatchedAlert] = {}
        self._alerts = {state.alert.alert_id: WatchedAlert(state) for state in states}
        self._deleted: deque[str] = deque()
        for alert_id, watched in list(self._alerts.items()):
            if watched.deleted:
                self._note_deleted(alert_id)
        self._changed: dict[str, WatchedAlert] = {}
        self._fired: list[Firing] = []
        self._deliveries: list[tuple[Firing, str]] = []
        laddered: defaultdict[PriceLadder, list[WatchedAlert]] = defaultdict(list)
        for watched in self._alerts.values():
            if watched.live:
                ladder = self._ladder(watched.alert)
                if ladder is None:
                    self._watch(watched)
                else:
                    laddered[ladder].append(watched)
        for ladder, group in laddered.items():
            ladder.fill(group)
        self._update_bounds()

    def run(self, run: Run) -> list[Firing]:
        """Take trades; return what they fire, in order of the trades."""
        candle = run.candle
        if candle.open_time_us != self._minute_us:
            self._enter_minute(candle.open_time_us)
        silences = self._silences
        last_us = candle.last_event_time_us
        if last_us >= silences.due_us or silences.turning:
            return self._check_each(run.trades, silences=True)
        silences.end(last_us)
        if candle.high > self._next_rise or candle.low < self._next_fall:
            return self._check_each(run.trades, silences=False)
        return []

    def closed(self, closed: Closed) -> list[Firing]:
        """Remember what the price was; nothing fires before the next trade."""
        for candle in closed.candles:
            self.correct(candle)
        return []

    def correct(self, candle: Candle) -> None:
        """Take a candle that has closed, or a late part of one."""
        if candle.interval == BASE:
            last = candle.last_event_time_us, candle.last_trade_id
            self._closes.put(MinuteClose(candle.open_time_us + MINUTE_US, candle.close, last))
            self._enter_minute(self._minute_us)
            self._minute_us = _NO_MINUTE

    def advance_clock(self, time_us: int) -> list[Firing]:
        """Take the venue's time; return which silences it proves, the shortest first."""
        if time_us < self._silences.due_us:
            return []
        return self._note_fired(self._silences.advance_clock(time_us))

    def gap(self, first_id: int, last_id: int, time_us: int) -> list[Firing]:
        """Take a gap: ids found to be missing.

        Args:
            first_id: the first.
            last_id: the last, inclusive.
            time_us: the symbol's venue time when they were found to be missing.
        """
        triggered = [
            (watched, watched.fire(time_us, str(first_id))) for _, watched in sorted(self._gaps.items())
        ]
        for watched, _ in triggered:
            watched.armed = True  # a gap is over at once
            if not watched.live:
                self._unwatch(watched)
        return self._note_fired(triggered)

    def change(self, change: AlertChange) -> list[Firing]:
        """Make, change or delete an alert, as of this place among the trades; older versions are passed over.

        A condition that holds already fires at the next trade, or the next venue time.
        """
        alert = change.alert
        watched = self._alerts.get(alert.alert_id)
        if watched is None:
            watched = WatchedAlert(AlertState(alert, change.deleted))
            watched.restart(alert)
            self._alerts[alert.alert_id] = watched
        elif alert.version <= watched.alert.version:
            return []
        else:
            if watched.live:
                self._unwatch(watched)
            watched.change(alert, deleted=change.deleted)
        if watched.live:
            self._watch(watched)
        if change.deleted:
            self._note_deleted(alert.alert_id)
        self._change(watched)
        self._update_bounds()
        return []

    def _note_deleted(self, alert_id: str) -> None:
        """Remember deleted alerts for changes that are late, but not without bound."""
        self._deleted.append(alert_id)
        if len(self._deleted) > MOST_DELETED:
            self._alerts.pop(self._deleted.popleft(), None)

    def take(self) -> AlertChanges | None:
        """Return what has changed since the last call; None if nothing has."""
        if not self._changed:
            return None
        states = [watched.state for watched in self._changed.values()]
        taken = AlertChanges(states, self._fired, self._deliveries)
        self._changed, self._fired, self._deliveries = {}, [], []
        return taken

    def _check_each(self, trades: Iterable[Trade], *, silences: bool) -> list[Firing]:
        """Take trades one by one; `silences` says whether one may end among them."""
        fired: list[Firing] = []
        for trade in trades:
            if silences:
                fired += self.advance_clock(trade.event_time_us)
                for watched in self._silences.end(trade.event_time_us):
                    self._change(watched)
            price = Decimal(trade.price)
            if price > self._next_rise or price < self._next_fall:
                fired += self._reach(price, trade)
        return fired

    def _reach(self, price: Decimal, trade: Trade) -> list[Firing]:
        """Turn every alert that a trade's price reaches: fire those that are armed, arm the others."""
        fired = self._trigger(self._prices, trade.price, price, trade)
        for _, window in sorted(self._windows.items()):
            if price > window.ladder.next_rise or price < window.ladder.next_fall:
                fired += self._trigger(window.ladder, window.percent(price), price, trade)
        self._update_bounds()
        return fired

    def _trigger(self, ladder: PriceLadder, value: str, price: Decimal, trade: Trade) -> list[Firing]:
        triggered = []
        for watched in ladder.take(price):
            if watched.armed:
                threshold = watched.alert.price or watched.alert.percent
                triggered.append((watched, watched.fire(trade.event_time_us, value, trade, threshold)))
            else:
                watched.armed = True
                self._change(watched)
            if watched.live:
                ladder.add(watched)
        return self._note_fired(triggered)

    def _note_fired(self, triggered: Iterable[tuple[WatchedAlert, Firing | None]]) -> list[Firing]:
        """Note alerts that have fired, or were kept from it by their cooldown."""
        fired = []
        for watched, firing in triggered:
            self._change(watched)
            if firing is not None:
                fired.append(firing)
                if watched.alert.webhook_url is not None:
                    self._deliveries.append((firing, watched.alert.webhook_url))
        self._fired += fired
        return fired

    def _change(self, watched: WatchedAlert) -> None:
        self._changed[watched.alert.alert_id] = watched

    def _enter_minute(self, minute_us: int) -> None:
        """Compare with the prices of other minutes from now on."""
        self._minute_us = minute_us
        if self._windows:
            for window in self._windows.values():
                window.enter(minute_us, self._closes)
            self._update_bounds()

    def _ladder(self, alert: Alert) -> PriceLadder | None:
        """Return the ladder that an alert belongs to; None where it waits for neither price nor change."""
        if alert.kind in ("silence", "gap"):
            return None
        if alert.window_s is None:
            return self._prices
        window = self._windows.get(alert.window_s)
        if window is None:
            window = self._windows[alert.window_s] = ChangeWindow(alert.window_s)
            window.enter(self._minute_us, self._closes)
        return window.ladder

    def _watch(self, watched: WatchedAlert) -> None:
        alert = watched.alert
        if alert.kind == "silence":
            self._silences.add(watched)
        elif alert.kind == "gap":
            self._gaps[alert.alert_id] = watched
        else:
            ladder = self._ladder(alert)
            assert ladder is not None
            ladder.add(watched)

    def _unwatch(self, watched: WatchedAlert) -> None:
        alert = watched.alert
        if alert.kind == "silence":
            self._silences.remove(watched)
        elif alert.kind == "gap":
            del self._gaps[alert.alert_id]
        elif alert.window_s is not None:
            ladder = self._windows[alert.window_s].ladder
            ladder.remove(watched)
            if not ladder:
                del self._windows[alert.window_s]
        else:
            self._prices.remove(watched)

    def _update_bounds(self) -> None:
        """Find the prices that reach something next."""
        ladders = [self._prices, *(window.ladder for window in self._windows.values())]
        self._next_rise = min(ladder.next_rise for ladder in ladders)
        self._next_fall = max(ladder.next_fall for ladder in ladders)
