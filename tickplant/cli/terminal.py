"""The terminal output of `tickplant up`: lines marked with their process."""

import os
import sys
from collections.abc import Mapping
from signal import SIGTERM, raise_signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tickplant.logs import LogFormat, add_process, json_line

if TYPE_CHECKING:
    from rich.progress import Progress

_WIDTH: Final = 10
_COLOURS: Final = {"ingest": 36, "worker": 32, "api": 35, "sandbox": 33, "tickplant": 1}


class Terminal:
    """Standard output, shared by lines of several processes and a progress bar.

    In JSON each line is an object, with the process in its field `process`.

    When its reader is gone, the process gets SIGTERM.

    Attributes:
        progress: a bar on display that lines must appear above.
        json: whether lines are JSON.
    """

    def __init__(self, log_format: LogFormat = "text") -> None:
        self.progress: Progress | None = None
        self.json = log_format == "json"
        self._colours = sys.stdout.isatty()

    def show(self, name: str, line: str) -> None:
        """Show a line of one process."""
        try:
            self._print(add_process(line, name) if self.json else f"{self._mark(name)} {line}")
        except OSError:  # the terminal or the reader of the pipe is gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise_signal(SIGTERM)

    def _mark(self, name: str) -> str:
        mark = f"{name:<{_WIDTH}}|"
        return f"\x1b[{_COLOURS.get(name.partition(' ')[0], 34)}m{mark}\x1b[0m" if self._colours else mark

    def _print(self, text: str) -> None:
        if self.progress is None:
            print(text, flush=True)
        else:
            from rich.text import Text

            self.progress.console.print(Text.from_ansi(text), soft_wrap=True)

    def report(self, line: str, fields: Mapping[str, object] = MappingProxyType({})) -> None:
        """Show a line of tickplant's own; in JSON with these fields, too."""
        self.show("tickplant", json_line(line, logger=__name__, fields=fields) if self.json else line)
