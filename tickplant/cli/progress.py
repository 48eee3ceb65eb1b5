"""Progress over rows, for a person who waits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def row_progress(*, hidden: bool = False) -> Iterator["Progress"]:
    """Show progress on the standard error, if a person sees it; what is printed appears above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # else it goes where it has been sent
        disable=hidden or not sys.stderr.isatty(),
    ) as progress:
        yield progress
