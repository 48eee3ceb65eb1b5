"""A conformance report as Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from maintenance.conformance_report import CAUSES, ConformanceReport, SymbolReport

_MOST_DIFFERENCES: Final = 200
"""Of one symbol; the JSON has all."""

_COUNTS: Final[tuple[tuple[str, Callable[[SymbolReport], int]], ...]] = (
    ("minutes compared", lambda symbol: symbol.minutes.compared),
    ("… of which match", lambda symbol: symbol.minutes.matched),
    ("… of which differ", lambda symbol: symbol.minutes.differing),
    ("… of which are not stored", lambda symbol: symbol.minutes.not_stored),
    ("minutes without a candle of the venue", lambda symbol: symbol.minutes.not_given),
    ("minutes not closed yet", lambda symbol: symbol.minutes.not_closed),
    ("candles not marked as complete", lambda symbol: symbol.minutes.incomplete),
    ("candles with late trades", lambda symbol: symbol.minutes.late),
    ("trades", lambda symbol: symbol.trades),
    ("trades listed as missing", lambda symbol: symbol.missing_trades),
    ("trade ids that the venue has not used", lambda symbol: symbol.void_ids),
)


def to_markdown(report: ConformanceReport) -> str:
    """Return a report as a document in Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: ConformanceReport) -> Iterator[str]:
    yield "# Conformance of candles\n"
    yield (
        f"Candles of one minute, stored by tickplant {report.version} from {_source(report)}, compared with"
        " the venue's own, as numbers to the last digit.\n"
    )
    yield f"Compared as far as the venue gives it: {', '.join(report.columns)}.\n"
    yield f"**Result: {_result(report.symbols)}**\n"
    yield from _table(
        ["", *(symbol.symbol for symbol in report.symbols)],
        [
            ["from", *(symbol.first for symbol in report.symbols)],
            ["to", *(symbol.end for symbol in report.symbols)],
            *([name, *(f"{count(symbol):,}" for symbol in report.symbols)] for name, count in _COUNTS),
        ],
    )
    if report.agrees:
        return
    yield "\n## Causes of differences\n"
    yield from _table(
        ["cause", *(symbol.symbol for symbol in report.symbols), "meaning"],
        [
            [cause, *(f"{symbol.causes[cause]:,}" for symbol in report.symbols), meaning]
            for cause, meaning in CAUSES.items()
            if any(symbol.causes[cause] for symbol in report.symbols)
        ],
    )
    for symbol in report.symbols:
        yield from _differences(symbol)


def _differences(symbol: SymbolReport) -> Iterator[str]:
    if symbol.agrees:
        return
    yield f"\n## Differences of {symbol.symbol}\n"
    yield from _table(
        ["minute", "cause", "missing trades", "late trades", "column", "venue", "ours"],
        [
            [
                minute.open_time,
                minute.cause,
                f"{minute.missing_trades:,}",
                f"{minute.late_trades:,}",
                *columns,
            ]
            for minute in symbol.differences[:_MOST_DIFFERENCES]
            for columns in [[each.column, each.venue, each.ours] for each in minute.columns]
            or [["", "", "not stored" if minute.kind == "not stored" else ""]]
        ],
    )
    if len(symbol.differences) > _MOST_DIFFERENCES:
        yield f"\n{len(symbol.differences) - _MOST_DIFFERENCES:,} more minutes are in the JSON."


def _source(report: ConformanceReport) -> str:
    if report.source == "live":
        return "the venues' live streams"
    kind = {"replay": "replayed", "synthetic": "generated"}[report.source]
    return f"a local venue with {kind} trades"


def _result(symbols: Sequence[SymbolReport]) -> str:
    compared = sum(symbol.minutes.compared for symbol in symbols)
    matched = sum(symbol.minutes.matched for symbol in symbols)
    return f"{matched:,} of {compared:,} minutes match."


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(columns)
    yield _row(["---"] * len(columns))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
