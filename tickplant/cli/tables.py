"""Results as tables or as JSON."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

_FOLDED: Final = 10
"""Columns of text are folded to this width at the narrowest."""


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, if it has rows: drawn in a terminal, tab-separated under a header line elsewhere."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if not texts:
        return
    if not sys.stdout.isatty():
        print(f"# {title}", "\t".join(columns), *("\t".join(text) for text in texts), "", sep="\n")
        return
    _draw(title, columns, texts)


def _draw(title: str, columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Draw a table to the terminal's width; the first column and numbers are never cut nor folded."""
    from rich.console import Console
    from rich.table import Table

    headers = [column.replace("_", " ").replace(" ", "\n") for column in columns]
    cells = list(zip(*texts, strict=True))
    numeric = [all(_is_number(cell) for cell in column) for column in cells]
    widths = [
        max(len(line) for text in (header, *column) for line in text.split("\n"))
        for header, column in zip(headers, cells, strict=True)
    ]
    console = Console()
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= console.width else 1
    rigid = [number or index == 0 for index, number in enumerate(numeric)]
    least = sum(width if fixed else min(width, _FOLDED) for width, fixed in zip(widths, rigid, strict=True))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for header, number, fixed in zip(headers, numeric, rigid, strict=True):
        table.add_column(header, justify="right" if number else "left", no_wrap=fixed, overflow="fold")
    for text in texts:
        table.add_row(*text)
    console.width = max(console.width, least + gap * len(widths))
    console.print(table)


def _is_number(text: str) -> bool:
    return not text.strip("0123456789.,+-")


def print_json(document: object) -> None:
    """Print a document as JSON, for programs and for people."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
