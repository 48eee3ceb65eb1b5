"""A replay's progress and what it came to, for a person to read."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from db.progress import Totals
from tickplant.cli.tape import Selection, join
from tickplant.cli.terminal import Terminal
from tickplant.market import SymbolId

_LINE_S: Final = 2.0
"""How often a line tells the progress where nobody sees a bar."""

Show = Callable[[int, int], None]
"""Takes the trades committed and the trades in all."""


class Row(Struct, frozen=True):
    """What is stored of one symbol beside what the captures hold of it."""

    symbol: SymbolId
    totals: Totals | None
    """All that is stored of it; None: nothing."""
    on_tape: int
    """Trades that the captures hold, each id once where there are ids."""
    stored: int
    """Of these, how many are stored."""

    def numbers(self) -> tuple[int | None, ...]:
        """Return the row of the table; None is unknown."""
        totals = self.totals
        ours = (totals.trades, totals.candles, totals.gaps, totals.missing) if totals else (0, 0, 0, 0)
        return *ours, self.on_tape, self.stored

    def fields(self) -> dict[str, object]:
        """Return the row's fields of a log line; None is unknown."""
        names = ("trades", "candles", "gaps", "missing_trades", "captured", "stored")
        return {"symbol": str(self.symbol), **dict(zip(names, self.numbers(), strict=True))}

    def difference(self) -> str:
        """Say what differs; nothing if nothing does."""
        off = self.on_tape - self.stored
        if off == 0:
            return ""
        what = f"{off:,} missing" if off > 0 else f"{-off:,} too many"
        return f"{self.symbol}: {self.stored:,} of {self.on_tape:,} trades stored, {what}"


class Outcome(Struct, frozen=True):
    """What a replay came to."""

    trades: int
    """Replayed and committed."""
    new: int
    """Of those, not stored before."""
    seconds: float
    """From the first sent to the last committed."""


@contextmanager
def progress(terminal: Terminal) -> Iterator[Show]:
    """Show a bar, or a line now and then where no person looks."""
    if terminal.json or not sys.stdout.isatty():
        yield _tell_at_times(terminal)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("trades committed"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("", total=None)
        terminal.progress = bar
        try:
            yield lambda stored, total: bar.update(task, completed=stored, total=total)
        finally:
            terminal.progress = None


def _tell_at_times(terminal: Terminal) -> Show:
    due_s = time.monotonic() + _LINE_S

    def show(stored: int, total: int) -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            terminal.tell(f"{stored:,} of {total:,} trades committed")
            due_s = time.monotonic() + _LINE_S

    return show


def print_summary(rows: Sequence[Row], outcome: Outcome, selection: Selection, terminal: Terminal) -> None:
    """Print what is stored of each symbol beside what the captures hold, and how fast the replay went.

    In JSON, each row is a line.
    """
    if terminal.json:
        for row in rows:
            terminal.tell(
                f"{row.symbol}: {row.stored:,} of {row.on_tape:,} captured trades stored", row.fields()
            )
    else:
        _print_table(rows)
    show = terminal.tell if terminal.json else print
    if selection.ignored:
        show(f"in the captures, but not in TICKPLANT_SYMBOLS: {join(selection.ignored)}")
    if selection.absent:
        show(f"in TICKPLANT_SYMBOLS, but not in the captures: {join(selection.absent)}")
    rate = f"{outcome.trades / outcome.seconds:,.0f} trades/s" if outcome.seconds else "at once"
    new = "all of them new" if outcome.new == outcome.trades else f"{outcome.new:,} of them new"
    done = f"{outcome.trades:,} trades replayed and committed in {outcome.seconds:.1f} s"
    show(f"{done}: {rate}, {new}")
    sys.stdout.flush()


def _print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Stored")
    table.add_column("Symbol", no_wrap=True, overflow="fold")
    for column in ("Trades", "Candles", "Gaps", "Missing trades", "Captured", "Of these stored"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(str(row.symbol), *map(_shown, row.numbers()))
    table.add_section()
    columns = zip(*(row.numbers() for row in rows), strict=True)
    table.add_row("all", *(_shown(sum(number or 0 for number in column)) for column in columns))
    Console().print(table)


def _shown(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
