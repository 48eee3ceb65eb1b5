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
    """The summary of a backtest. Money is in quote currency."""

    interrupted: bool
    trades: int
    first_time: str | None
    """Time of the first trade; this and the next three are None where there is none."""
    last_time: str | None
    first_price: str | None
    last_price: str | None
    signals: dict[str, int]
    """Number of signals by strategy."""
    orders: int
    fills: int
    refused: int
    gains: int
    """Sells with a profit."""
    losses: int
    """Sells without a profit."""
    initial_cash: Decimal
    cash: Decimal
    position: Decimal
    """In base currency."""
    equity: Decimal
    """Cash plus the position at the price of its last valuation."""
    profit: Decimal
    """Equity less the initial cash, after fees."""
    fees: Decimal
    max_drawdown: Decimal
    """The largest fall of the equity below its maximum so far, as candles closed and at the end."""


class BacktestReport:
    """Prints the events of a backtest as they happen, and a summary."""

    def __init__(self, *, json: bool) -> None:
        """Choose JSON lines or text."""
        self._write = _json if json else _text
        self._json = json
        self._signals: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._peak = self._max_drawdown = Decimal(0)

    def report(self, outcome: BacktestResult) -> None:
        """Print the events of a batch of trades.

        Raises:
            FatalError: a strategy raised an exception.
        """
        for failure in outcome.failures:
            raise FatalError(f"the strategy {failure.strategy} raised an exception:\n{failure.traceback}")
        events: list[tuple[int, int, Event]] = [(signal.trade_id, 1, signal) for signal in outcome.signals]
        self._signals.update(signal.strategy for signal in outcome.signals)
        if outcome.changes:
            events += self._count(outcome.changes)
        for _, _, event in sorted(events, key=lambda placed: placed[:2]):
            print(self._write(event))

    def sum_up(self, test: Backtest, *, interrupted: bool) -> None:
        """Print the summary."""
        summary = self._summary(test, interrupted=interrupted)
        if self._json:
            text = _json_line({"type": "summary", **_summary_fields(summary)})
        else:
            text = _summary_text(summary)
        print(text, flush=True)

    def _count(self, changes: AccountChanges) -> list[tuple[int, int, Event]]:
        """Count the fills and refusals of the account; return them with their order among the trades."""
        refused = [order for order in changes.orders if order.state == "refused"]
        self._counts["fills"] += len(changes.fills)
        self._counts["refused"] += len(refused)
        for fill in changes.fills:
            if fill.side == "sell":
                self._counts["gains" if fill.profit > 0 else "losses"] += 1
        for valuation in changes.equities:
            self._note_equity(valuation.equity)
        events: list[tuple[int, int, Event]] = [(fill.trade_id, 0, fill) for fill in changes.fills]
        return events + [(order.trade_id, 2, order) for order in refused]

    def _note_equity(self, equity: Decimal) -> None:
        self._peak = max(self._peak, equity)
        self._max_drawdown = max(self._max_drawdown, EXACT.subtract(self._peak, equity))

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
            max_drawdown=self._max_drawdown,
        )


def _summary_fields(summary: Summary) -> dict[str, Any]:
    return {field.encode_name: getattr(summary, field.name) for field in msgspec.structs.fields(summary)}


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


def _summary_text(summary: Summary) -> str:
    signals = ", ".join(f"{name} {count:,}" for name, count in summary.signals.items()) or "none"
    open_orders = summary.orders - summary.fills - summary.refused
    traded = f"{summary.fills:,} filled, {summary.refused:,} refused, {open_orders:,} open"
    sold = f"{summary.gains:,} sold with gain, {summary.losses:,} with loss"
    span = f", {summary.first_time} to {summary.last_time}"
    share = float(summary.profit / summary.initial_cash)
    rows = {
        "trades": f"{summary.trades:,}{span}" if summary.trades else "none",
        "price": f"{summary.first_price} to {summary.last_price}" if summary.trades else "none",
        "signals": signals,
        "orders": f"{summary.orders:,}: {traded}; {sold}",
        "profit": f"{_plain(summary.profit)} ({share:+.2%}), fees {_plain(summary.fees)}",
        "equity": f"{_plain(summary.equity)}, of it {_plain(summary.cash)} cash;"
        f" maximum drawdown {_plain(summary.max_drawdown)}",
    }
    lines = [f"{name:<8} {text}" for name, text in rows.items()]
    if summary.interrupted:
        lines.insert(0, "interrupted; the results so far:")
    return "\n" + "\n".join(lines)


def _time(time_us: int) -> str:
    return f"{format_time(time_us):<27}"


def _plain(number: Decimal) -> str:
    """Format an amount without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
