"""`tickplant audit`: compares stored candles with stored trades, or with a venue's own candles."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.database_arguments import find_symbol, open_database
from tickplant.cli.progress import progress_bars
from tickplant.cli.tables import print_json, print_table
from tickplant.errors import UsageError
from tickplant.market import SymbolId
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings
from tickplant.times import format_second

if TYPE_CHECKING:
    from rich.progress import TaskID

    from db.audit import SymbolAudit
    from tickplant.klines import Comparison

HELP: Final = "compare stored candles with stored trades, or with a venue's own candles"

DESCRIPTION: Final = """\
Recompute the candles of all intervals from the stored trades and report every row that differs, is missing or
is extra, column by column; find duplicate trades; and check the ledger of trade ids against the ids stored.
It reads one snapshot of the database, so workers may run meanwhile.

Candles whose trades were removed by age (TICKPLANT_KEEP_TRADES_DAYS) are counted as not checkable, not as
wrong; with --archived they are compared with the archive's trades, except candles of a week.

With --klines, compare the candles of one minute of one symbol with a venue's own, digit by digit. The file is
CSV (plain, gzip or zip): open_time_ms,open,high,low,close,volume[,count], or Binance's own twelve columns.

The exit code is 0 if everything agrees and 1 if anything differs. `tickplant verify` repairs what the venue
still has, ids that are `not stored` included.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_DATABASE_URL (or the embedded server, started if need be)

examples:
  tickplant audit
  tickplant audit --symbol binance:BTCUSDT --json
  tickplant audit --archived
  tickplant audit --symbol binance:BTCUSDT --klines BTCUSDT-1m-2026-11-01.zip
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--symbol", metavar="VENUE:SYMBOL", help="only this symbol, such as binance:BTCUSDT; all unless given"
    )
    parser.add_argument(
        "--klines", type=Path, metavar="FILE", help="compare with the venue's own candles in this file"
    )
    parser.add_argument(
        "--archived",
        action="store_true",
        help="also audit the days whose trades only the archive (TICKPLANT_ARCHIVE_URL) has any more, by"
        " reading all of their files",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    if args.klines and not args.symbol:
        raise UsageError("--klines needs --symbol: the file does not name the symbol of its candles")
    settings = read_settings()
    if args.klines:
        comparison = interrupts.run(_compare(settings, args.symbol, args.klines))
        print_json(_comparison_document(comparison)) if args.json else print_comparison(comparison)
        return 1 if comparison.mismatches else 0
    if args.archived and settings.archive_url is None:
        raise UsageError("--archived needs TICKPLANT_ARCHIVE_URL")
    archive = settings.archive_url if args.archived else None
    audits = interrupts.run(_audit(settings, args.symbol, archive))
    print_json([_audit_document(audit) for audit in audits]) if args.json else _print_audits(audits)
    return 0 if all(audit.passed for audit in audits) else 1


async def _audit(settings: Settings, text: str | None, archive: str | None) -> list["SymbolAudit"]:
    from maintenance.audit import audit, audit_archived

    tasks: dict[SymbolId, TaskID] = {}
    with progress_bars() as bars:

        def on_progress(symbol: SymbolId, done: int, total: int) -> None:
            if symbol not in tasks:
                tasks[symbol] = bars.add_task(str(symbol))
            bars.update(tasks[symbol], completed=done, total=total)

        async with open_database(settings, application="tickplant audit") as connection:
            audits = await audit(
                connection, lambda stored: [find_symbol(text, stored)] if text else stored, on_progress
            )
            if archive is not None:
                await audit_archived(connection, archive, audits, on_progress)
            return audits


async def _compare(settings: Settings, text: str, path: Path) -> "Comparison":
    from maintenance.audit import compare_klines
    from tickplant.klines import read_klines

    async with open_database(settings, application="tickplant audit") as connection:
        return await compare_klines(connection, lambda stored: find_symbol(text, stored), read_klines(path))


def _print_audits(audits: Sequence["SymbolAudit"]) -> None:
    print_table(
        "Candles that differ from the stored trades",
        ("symbol", "interval", "open_time", "kind", "column", "stored", "recomputed"),
        [
            (
                audit.symbol,
                difference.interval,
                f"{difference.open_time:%Y-%m-%dT%H:%M:%SZ}",
                difference.kind,
                difference.column,
                difference.stored,
                difference.recomputed,
            )
            for audit in audits
            for difference in audit.differences
        ],
    )
    print_table(
        "Trade ids that differ from the ledger, or are duplicates",
        ("symbol", "kind", "first_trade_id", "last_trade_id"),
        [
            (audit.symbol, problem.kind, problem.first_trade_id, problem.last_trade_id)
            for audit in audits
            for problem in audit.ids
        ],
    )
    columns = ("symbol", "trades", "candles", "differs", "missing", "extra", "not_checkable", "ids", "result")
    print_table("Audit", columns, [_summary(audit) for audit in audits])
    if not audits:
        print("nothing is stored")


def _summary(audit: "SymbolAudit") -> tuple[object, ...]:
    counts = [
        len({(row.interval, row.open_time) for row in audit.differences if row.kind == kind})
        for kind in ("differs", "missing", "extra")
    ]
    result = "ok" if audit.passed else "DIFFERS"
    return audit.symbol, audit.trades, audit.candles, *counts, audit.not_checkable, len(audit.ids), result


def print_comparison(comparison: "Comparison") -> None:
    """Print how minutes compare with a venue's own: a table of each kind, and a line of totals."""
    print_table(
        "Minutes that differ from the venue's",
        ("open_time", "column", "venue", "ours", "note"),
        [
            (
                format_second(mismatch.open_time_us),
                mismatch.column,
                mismatch.venue,
                mismatch.ours,
                "" if mismatch.complete else "incomplete",
            )
            for mismatch in comparison.mismatches
        ],
    )
    for title, minutes in (
        ("Minutes that are not stored", comparison.uncovered),
        ("Stored minutes that are flagged incomplete", comparison.incomplete),
    ):
        print_table(title, ("open_time",), [(format_second(minute),) for minute in minutes])
    print(
        f"{comparison.matched} matched, {comparison.differing} differing,"
        f" {len(comparison.uncovered)} uncovered; {len(comparison.incomplete)} flagged incomplete"
    )


def _audit_document(audit: "SymbolAudit") -> dict[str, object]:
    import msgspec

    return {**msgspec.structs.asdict(audit), "symbol": str(audit.symbol), "passed": audit.passed}


def _comparison_document(comparison: "Comparison") -> dict[str, object]:
    mismatches = [
        {
            "open_time": format_second(mismatch.open_time_us),
            "column": mismatch.column,
            "venue": mismatch.venue,
            "ours": mismatch.ours,
            "complete": mismatch.complete,
        }
        for mismatch in comparison.mismatches
    ]
    return {
        "matched": comparison.matched,
        "differing": comparison.differing,
        "mismatches": mismatches,
        "uncovered": [format_second(minute) for minute in comparison.uncovered],
        "incomplete": [format_second(minute) for minute in comparison.incomplete],
    }
