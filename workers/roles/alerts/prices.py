"""Alerts on a symbol's price, or on its change over a window. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from db.alerts.states import MinuteClose
from tickplant.derived import Alert, Firing
from tickplant.intervals import MINUTE_US
from tickplant.market import Candle, Trade
from workers.roles.alerts.closes import MinuteCloses
from workers.roles.alerts.ladder import PriceLadder
from workers.roles.alerts.watched import WatchedAlert
from workers.roles.alerts.window import ChangeWindow

_NO_MINUTE: Final = -1


class PriceAlerts:
    """The alerts that wait for a price or a change, and the prices that reach the next of them.

    Attributes:
        minute_us: the minute whose trades the changes are computed for.
        next_rise: prices above it reach an alert.
        next_fall: prices below it do.
    """

    __slots__ = ("_closes", "_prices", "_windows", "minute_us", "next_fall", "next_rise")

    def __init__(self, closes: Iterable[MinuteClose], alerts: Iterable[WatchedAlert]) -> None:
        """Start with the closes of the newest closed minutes, in order of time, and alerts."""
        self._closes = MinuteCloses(closes)
        self._prices = PriceLadder()
        self._windows: dict[int, ChangeWindow] = {}
        self.minute_us = _NO_MINUTE
        by_ladder: defaultdict[PriceLadder, list[WatchedAlert]] = defaultdict(list)
        for watched in alerts:
            by_ladder[self._ladder(watched.alert)].append(watched)
        for ladder, group in by_ladder.items():
            ladder.fill(group)
        self._update_bounds()

    def add(self, watched: WatchedAlert) -> None:
        """Watch one more alert."""
        self._ladder(watched.alert).add(watched)
        self._update_bounds()

    def remove(self, watched: WatchedAlert) -> None:
        """Watch an alert no longer; it must not have changed since it was added."""
        ladder, window_s = self._ladder(watched.alert), watched.alert.window_s
        ladder.remove(watched)
        if window_s is not None and not ladder:
            del self._windows[window_s]
        self._update_bounds()

    def enter_minute(self, minute_us: int) -> None:
        """Compute changes for the trades of another minute."""
        self.minute_us = minute_us
        if self._windows:
            for window in self._windows.values():
                window.enter(minute_us, self._closes)
            self._update_bounds()

    def put_minute(self, minute: Candle) -> None:
        """Add the close of a minute that has closed, or of a late part of one."""
        self._closes.put(
            MinuteClose(
                minute.open_time_us + MINUTE_US, minute.close, minute.last_event_time_us, minute.last_trade_id
            )
        )
        self.enter_minute(self.minute_us)
        self.minute_us = _NO_MINUTE

    def reach(self, price: Decimal, trade: Trade) -> list[tuple[WatchedAlert, Firing | None]]:
        """Fire the armed alerts that a trade's price reaches, and arm the others.

        Returns:
            All of these alerts, each with its firing, if it fires.
        """
        reached = _reach(self._prices, trade.price, price, trade)
        for _, window in sorted(self._windows.items()):
            if price > window.ladder.next_rise or price < window.ladder.next_fall:
                reached += _reach(window.ladder, window.percent(price), price, trade)
        self._update_bounds()
        return reached

    def _ladder(self, alert: Alert) -> PriceLadder:
        """Return the ladder of an alert."""
        if alert.window_s is None:
            return self._prices
        window = self._windows.get(alert.window_s)
        if window is None:
            window = self._windows[alert.window_s] = ChangeWindow(alert.window_s)
            window.enter(self.minute_us, self._closes)
        return window.ladder

    def _update_bounds(self) -> None:
        ladders = [self._prices, *(window.ladder for window in self._windows.values())]
        self.next_rise = min(ladder.next_rise for ladder in ladders)
        self.next_fall = max(ladder.next_fall for ladder in ladders)


def _reach(
    ladder: PriceLadder, value: str, price: Decimal, trade: Trade
) -> list[tuple[WatchedAlert, Firing | None]]:
    reached: list[tuple[WatchedAlert, Firing | None]] = []
    for watched in ladder.take(price):
        firing = None
        if watched.armed:
            threshold = watched.alert.price or watched.alert.percent
            firing = watched.fire(trade.event_time_us, value, trade, threshold)
        else:
            watched.armed = True
        reached.append((watched, firing))
        if watched.live:
            ladder.add(watched)
    return reached
