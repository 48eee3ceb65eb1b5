"""Results as tables or as JSON."""

import sys
from collections.abc import Iterable, Sequence


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, if it has rows: drawn in a terminal, tab-separated under a header line elsewhere."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if not texts:
        return
    if not sys.stdout.isatty():
        print(f"# {title}", "\t".join(columns), *("\t".join(text) for text in texts), "", sep="\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for text in texts:
        table.add_row(*text)
    Console().print(table)


def print_json(document: object) -> None:
    """Print a document as JSON, for programs and for people."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
