"""Progress of a command, as a bar in a terminal or as lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

    from tickplant.cli.terminal import Terminal

OnProgress = Callable[[int, int], None]
"""Takes how much is done, and how much there is in all."""

_LINE_S: Final = 5.0
"""How often a line reports the progress."""


@contextmanager
def progress_bars(*, stderr: bool = True, hidden: bool = False) -> Iterator["Progress"]:
    """Show bars with an estimate of the time left; what is printed meanwhile appears above them.

    Args:
        stderr: whether they go to the standard error, rather than to the standard output.
        hidden: whether to show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=stderr)
    with Progress(
        *columns,
        console=console,
        redirect_stdout=sys.stdout.isatty(),  # otherwise it goes where it was redirected to
        disable=hidden or not console.is_terminal,
    ) as bars:
        yield bars


@contextmanager
def progress_bar_or_lines(what: str) -> Iterator[OnProgress]:
    """Show a bar on the standard error, or a line periodically where it is not a terminal."""
    if not sys.stderr.isatty():
        yield progress_lines(what, lambda line: print(line, file=sys.stderr, flush=True))
        return
    with progress_bars() as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def progress_in_terminal(what: str, terminal: "Terminal") -> Iterator[OnProgress]:
    """Show a bar below the lines of several processes, or a line periodically where there is no terminal."""
    if terminal.json or not sys.stdout.isatty():
        yield progress_lines(what, terminal.report)
        return
    with progress_bars(stderr=False) as bars:
        task = bars.add_task(what, total=None)
        terminal.progress = bars
        try:
            yield lambda done, total: bars.update(task, completed=done, total=total)
        finally:
            terminal.progress = None


def progress_lines(what: str, write: Callable[[str], None]) -> OnProgress:
    """Return a function that writes a line every few seconds, while there is progress."""
    started_s = written_s = time.monotonic()
    written = -1

    def show(done: int, total: int) -> None:
        nonlocal written_s, written
        now_s = time.monotonic()
        if now_s - written_s >= _LINE_S and done != written:
            written_s, written = now_s, done
            left_s = f", about {(now_s - started_s) * (total - done) / done:,.0f} s left" if done else ""
            write(f"{what}: {done:,} of {total:,}{left_s}")

    return show


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
