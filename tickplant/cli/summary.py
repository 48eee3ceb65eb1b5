"""A replay's progress and what it came to, for a person to read."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from db.progress import Totals
from tickplant.cli.terminal import Terminal

_LINE_S: Final = 2.0
"""How often a line tells the progress where nobody sees a bar."""

Show = Callable[[int, int], None]
"""Takes the trades committed and the trades in all."""


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
    if not sys.stdout.isatty():
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


def print_summary(totals: Sequence[Totals], outcome: Outcome) -> None:
    """Print what is stored of each symbol, and how fast the replay went."""
    from rich.console import Console
    from rich.table import Table

    table = Table("Symbol", title="Stored")
    for column in ("Trades", "Candles", "Gaps", "Missing trades"):
        table.add_column(column, justify="right")
    counts = [(row.trades, row.candles, row.gaps, row.missing) for row in totals]
    for row, numbers in zip(totals, counts, strict=True):
        table.add_row(str(row.symbol), *map("{:,}".format, numbers))
    table.add_section()
    table.add_row("all", *map("{:,}".format, map(sum, zip(*counts, strict=True))))
    Console().print(table)
    rate = f"{outcome.trades / outcome.seconds:,.0f} trades/s" if outcome.seconds else "at once"
    new = "all of them new" if outcome.new == outcome.trades else f"{outcome.new:,} of them new"
    done = f"{outcome.trades:,} trades replayed and committed in {outcome.seconds:.1f} s"
    print(f"{done}: {rate}, {new}", flush=True)
