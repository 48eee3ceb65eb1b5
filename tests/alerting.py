"""Alerts for tests, and what they mean: the slow way, alert by alert and trade by trade."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tickplant.derived import Alert, Firing
from tickplant.intervals import MINUTE_US, SECOND_US, floor
from tickplant.market import Trade, fold_runs
from workers.roles.events import Run

START_US = 1_700_000_040_000_000  # the start of a minute


def alert(alert_id: str = "a", kind: str = "above", price: str | None = None, **fields: Any) -> Alert:
    usual: dict[str, Any] = {"version": 1, "user": "default", "venue": "binance", "symbol": "AAAUSDT"}
    return Alert(**usual | fields | {"alert_id": alert_id, "kind": kind, "price": price})


def trade(trade_id: int, price: str, at_us: int | None = None) -> Trade:
    time_us = START_US + trade_id * SECOND_US if at_us is None else at_us
    return Trade("binance", "AAAUSDT", trade_id, price, "1", "buy", time_us, time_us)


def runs(trades: Sequence[Trade]) -> list[Run]:
    """Trades as one batch: a run a minute."""
    made, start = [], 0
    for candle in fold_runs(trades):
        made.append(Run(trades[start : start + candle.trade_count], candle))
        start += candle.trade_count
    return made


class Model:
    """One alert, by the definitions alone."""

    def __init__(self, made: Alert) -> None:
        self.alert = made
        self.armed = not made.kind.startswith("crosses")
        self.fired: list[Firing] = []
        self.trades: list[Trade] = []

    def take(self, trade: Trade) -> None:
        """A trade, in order."""
        alert = self.alert
        if alert.kind == "silence":
            self.advance_clock(trade.event_time_us)
            self.armed = True
        elif (value := self._value(trade)) is not None:
            threshold = Decimal(alert.price or alert.percent or 0)
            rising = "above" in alert.kind or (alert.kind == "percent_change" and threshold > 0)
            sign = 1 if rising else -1
            back = threshold - sign * abs(threshold) * Decimal(alert.hysteresis)
            if self.armed and sign * value > sign * threshold:
                self._fire(trade.event_time_us, trade)
            elif not self.armed and sign * value < sign * back:
                self.armed = True
        self.trades.append(trade)

    def advance_clock(self, time_us: int) -> None:
        """The venue's time."""
        if self.alert.kind == "silence" and self.armed and self.trades:
            due_us = (
                max(trade.event_time_us for trade in self.trades) + (self.alert.silence_s or 0) * SECOND_US
            )
            if time_us >= due_us:
                self._fire(due_us, None)

    def _value(self, trade: Trade) -> Decimal | None:
        if self.alert.window_s is None:
            return Decimal(trade.price)
        moment_us = floor(trade.event_time_us, MINUTE_US) - self.alert.window_s * SECOND_US
        before = [trade for trade in self.trades if trade.event_time_us < moment_us]
        if not before:
            return None
        last = max(before, key=lambda trade: (trade.event_time_us, trade.trade_id))
        return (Decimal(trade.price) / Decimal(last.price) - 1) * 100

    def _fire(self, time_us: int, by: Trade | None) -> None:
        self.armed = False
        alert = self.alert
        if self.fired and not alert.repeat:
            return
        cooldown_us = alert.cooldown_s * SECOND_US
        if self.fired and cooldown_us and abs(time_us - self.fired[-1].event_time_us) < cooldown_us:
            return
        self.fired.append(
            Firing(
                *(
                    alert.alert_id,
                    len(self.fired) + 1,
                    alert.user,
                    alert.venue,
                    alert.symbol,
                    alert.kind,
                    time_us,
                ),
                *(by.trade_id if by else None, by.price if by else None, None, None, alert.note),
            )
        )
