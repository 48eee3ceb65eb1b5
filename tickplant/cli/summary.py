"""The summary of a replay."""

import sys
from collections.abc import Sequence

from maintenance.replay import ReplayedSymbol, ReplayResult
from maintenance.tape import TapeSelection
from tickplant.cli.terminal import Terminal
from tickplant.market import SymbolId


def print_summary(result: ReplayResult, selection: TapeSelection, terminal: Terminal) -> None:
    """Print what is stored of each symbol beside what the captures hold, and how fast the replay was.

    In JSON, each symbol is a line.
    """
    if terminal.json:
        for row in result.symbols:
            terminal.report(
                f"{row.symbol}: {row.stored:,} of {row.on_tape:,} captured trades stored", _fields(row)
            )
    else:
        _print_table(result.symbols)
    show = terminal.report if terminal.json else print
    if selection.ignored:
        show(f"in the captures, but not in TICKPLANT_SYMBOLS: {list_symbols(selection.ignored)}")
    if selection.absent:
        show(f"in TICKPLANT_SYMBOLS, but not in the captures: {list_symbols(selection.absent)}")
    rate = f"{result.trades / result.seconds:,.0f} trades/s" if result.seconds else "at once"
    new = "all of them new" if result.new == result.trades else f"{result.new:,} of them new"
    show(f"{result.trades:,} trades replayed and committed in {result.seconds:.1f} s: {rate}, {new}")
    sys.stdout.flush()


def list_symbols(symbols: Sequence[SymbolId]) -> str:
    """Return symbols as a message lists them."""
    return ", ".join(map(str, symbols))


def _numbers(row: ReplayedSymbol) -> tuple[int | None, ...]:
    """Return the numbers of a row of the table; None is unknown."""
    totals = row.totals
    stored = (totals.trades, totals.candles, totals.gaps, totals.missing) if totals else (0, 0, 0, 0)
    return *stored, row.on_tape, row.stored


def _fields(row: ReplayedSymbol) -> dict[str, object]:
    """Return the fields of a log line; None is unknown."""
    names = ("trades", "candles", "gaps", "missing_trades", "captured", "stored")
    return {"symbol": str(row.symbol), **dict(zip(names, _numbers(row), strict=True))}


def _print_table(rows: Sequence[ReplayedSymbol]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Stored")
    table.add_column("Symbol", no_wrap=True, overflow="fold")
    for column in ("Trades", "Candles", "Gaps", "Missing trades", "Captured", "Of these stored"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(str(row.symbol), *map(_cell, _numbers(row)))
    table.add_section()
    columns = zip(*(_numbers(row) for row in rows), strict=True)
    table.add_row("all", *(_cell(sum(number or 0 for number in column)) for column in columns))
    Console().print(table)


def _cell(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
