"""The report of a backtest, as text or JSON."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from tickplant.bot import AccountChanges, Fill, PaperOrder
from tickplant.derived import Signal, signal_view
from tickplant.errors import FatalError
from tickplant.market import EXACT
from tickplant.times import format_time
from workers.backtest import Backtest, BacktestResult

Event = Signal | Fill | PaperOrder
"""A signal, a fill of the bot's, or an order that was refused."""


class Summary(Struct, frozen=True):
    """All of it. Money is in quote currency."""

    interrupted: bool
    trades: int
    first_time: str | None
    """Of the first trade; None where there is none. Likewise the following."""
    last_time: str | None
    first_price: str | None
    last_price: str | None
    signals: dict[str, int]
    """How many, by strategy."""
    orders: int
    fills: int
    refused: int
    gains: int
    """Sells that brought more than the position had cost."""
    losses: int
    """Those that did not."""
    initial_cash: Decimal
    cash: Decimal
    position: Decimal
    """In base currency."""
    equity: Decimal
    """Cash, and the position at the last price that it was valued at."""
    profit: Decimal
    """Equity less the initial cash: all fees are off it."""
    fees: Decimal
    deepest_fall: Decimal
    """The most that the equity lay below its highest so far, as candles closed and at the end."""


class BacktestReport:
    """Prints what happens as it happens, and what it came to."""

    def __init__(self, *, json: bool) -> None:
        """Choose JSON lines, or text."""
        self._write = _json if json else _text
        self._json = json
        self._signals: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._highest = self._deepest_fall = Decimal(0)

    def tell(self, outcome: BacktestResult) -> None:
        """Print what has happened.

        Raises:
            FatalError: a strategy has raised.
        """
        for failure in outcome.failures:
            raise FatalError(f"the strategy {failure.strategy} has raised:\n{failure.traceback}")
        events: list[tuple[int, int, Event]] = [(it.trade_id, 1, it) for it in outcome.signals]
        self._signals.update(it.strategy for it in outcome.signals)
        if outcome.changes:
            events += self._take(outcome.changes)
        for _, _, event in sorted(events, key=lambda it: it[:2]):
            print(self._write(event))

    def sum_up(self, test: Backtest, *, interrupted: bool) -> None:
        """Print what it came to."""
        summary = self._summary(test, interrupted=interrupted)
        if self._json:
            text = _json_line({"type": "summary", **msgspec.structs.asdict(summary)})
        else:
            text = _summary_text(summary)
        print(text, flush=True)

    def _take(self, changes: AccountChanges) -> list[tuple[int, int, Event]]:
        """Count what the account has done; return it with its places among the trades."""
        refused = [it for it in changes.orders if it.state == "refused"]
        self._counts["fills"] += len(changes.fills)
        self._counts["refused"] += len(refused)
        for fill in changes.fills:
            if fill.side == "sell":
                self._counts["gains" if fill.profit > 0 else "losses"] += 1
        for it in changes.equities:
            self._note_equity(it.equity)
        events: list[tuple[int, int, Event]] = [(it.trade_id, 0, it) for it in changes.fills]
        return events + [(it.trade_id, 2, it) for it in refused]

    def _note_equity(self, equity: Decimal) -> None:
        self._highest = max(self._highest, equity)
        self._deepest_fall = max(self._deepest_fall, EXACT.subtract(self._highest, equity))

    def _summary(self, test: Backtest, *, interrupted: bool) -> Summary:
        account, first, last = test.account, test.first, test.last
        self._note_equity(account.equity)
        return Summary(
            interrupted=interrupted,
            trades=test.trades,
            first_time=format_time(first.event_time_us) if first else None,
            last_time=format_time(last.event_time_us) if last else None,
            first_price=first.price if first else None,
            last_price=last.price if last else None,
            signals=dict(self._signals),
            orders=account.orders,
            fills=self._counts["fills"],
            refused=self._counts["refused"],
            gains=self._counts["gains"],
            losses=self._counts["losses"],
            initial_cash=account.initial_cash,
            cash=account.cash,
            position=account.position,
            equity=account.equity,
            profit=EXACT.subtract(account.equity, account.initial_cash),
            fees=account.fees,
            deepest_fall=self._deepest_fall,
        )


def _json(event: Event) -> str:
    match event:
        case Signal():
            fields: dict[str, Any] = {"type": "signal", **msgspec.structs.asdict(signal_view(event))}
        case Fill():
            fields = {"type": "fill", **msgspec.structs.asdict(event)}
        case PaperOrder():
            fields = {"type": "refused", **msgspec.structs.asdict(event)}
    if "time_us" in fields:
        fields["time"] = format_time(fields.pop("time_us"))
        fields["symbol"] = f"{fields.pop('venue')}:{fields['symbol']}"
    return _json_line(fields)


def _json_line(fields: dict[str, Any]) -> str:
    shown = {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in fields.items()}
    return msgspec.json.encode(shown).decode()


def _text(event: Event) -> str:
    match event:
        case Signal():
            values = ", ".join(f"{name} {value:.8g}" for name, value in event.values.items())
            what = f"{event.strategy} {event.number}: {event.side} at {event.price}"
            return f"{_time(event.event_time_us)}  {what}, strength {event.strength:.2f} ({values})"
        case Fill():
            what = f"order {event.number}: {event.side} {event.size:f} at {_plain(event.price)}"
            profit = f", profit {_plain(event.profit)}" if event.side == "sell" else ""
            return f"{_time(event.time_us)}    {what}, fee {_plain(event.fee)}{profit}"
        case PaperOrder():
            return f"{_time(event.time_us)}    order {event.number}: {event.side} refused: {event.reason}"


def _summary_text(it: Summary) -> str:
    signals = ", ".join(f"{name} {count:,}" for name, count in it.signals.items()) or "none"
    traded = f"{it.fills:,} filled, {it.refused:,} refused, {it.orders - it.fills - it.refused:,} open"
    sold = f"{it.gains:,} sold with gain, {it.losses:,} with loss"
    rows = {
        "trades": f"{it.trades:,}, {it.first_time} to {it.last_time}" if it.trades else "none",
        "price": f"{it.first_price} to {it.last_price}" if it.trades else "none",
        "signals": signals,
        "orders": f"{it.orders:,}: {traded}; {sold}",
        "profit": f"{_plain(it.profit)} ({float(it.profit / it.initial_cash):+.2%}), fees {_plain(it.fees)}",
        "equity": f"{_plain(it.equity)}, of it {_plain(it.cash)} cash; at the deepest"
        f" {_plain(it.deepest_fall)} below its highest",
    }
    lines = [f"{name:<8} {text}" for name, text in rows.items()]
    if it.interrupted:
        lines.insert(0, "interrupted: this is what it has come to so far")
    return "\n" + "\n".join(lines)


def _time(time_us: int) -> str:
    return f"{format_time(time_us):<27}"


def _plain(number: Decimal) -> str:
    """Write money without the zeros at its end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
