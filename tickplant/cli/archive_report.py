"""What `tickplant archive list` and `tickplant archive verify` print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tickplant import interrupts
from tickplant.cli.database_arguments import find_symbol, open_database
from tickplant.cli.progress import progress_bar_or_lines
from tickplant.cli.tables import print_json, print_table
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.settings import Settings

if TYPE_CHECKING:
    from maintenance.archive.checking import ArchiveProblem, Recorded
    from maintenance.archive.manifest import Manifest
    from maintenance.archive.reading import Archive


def print_list(url: str, texts: Sequence[str], *, as_json: bool) -> int:
    """Print the archive's symbols, or the days of those given; return the exit code."""
    from maintenance.archive.reading import open_archive

    archive = open_archive(url)
    symbols = archive.symbols()
    if texts:
        chosen = [find_symbol(text, symbols, "the archive") for text in texts]
        days = [_day_of(manifest) for symbol in chosen for manifest in _manifests(archive, symbol)]
        print_json(days) if as_json else print_table(
            "Days in the archive", tuple(days[0]) if days else (), [[*day.values()] for day in days]
        )
        return 0
    rows = [_symbol_of(archive, symbol) for symbol in symbols]
    if as_json:
        print_json({"archive_id": archive.root.archive_id, "source": archive.root.source, "symbols": rows})
    elif rows:
        print_table(f"Archive {url}", tuple(rows[0]), [[*row.values()] for row in rows])
    else:
        print(f"the archive at {url} has no days yet")
    return 0


def _manifests(archive: "Archive", symbol: SymbolId) -> "list[Manifest]":
    index = archive.read_index(symbol)
    return [archive.read_manifest(symbol, day, entry) for day, entry in index.days.items()]


def _symbol_of(archive: "Archive", symbol: SymbolId) -> dict[str, Any]:
    manifests = _manifests(archive, symbol)
    return {
        "symbol": str(symbol),
        "days": len(manifests),
        "first": str(manifests[0].day) if manifests else None,
        "last": str(manifests[-1].day) if manifests else None,
        "incomplete_days": sum(manifest.complete is False for manifest in manifests),
        "revised_days": sum(manifest.revision > 1 for manifest in manifests),
        "trades": sum(manifest.trades.rows for manifest in manifests),
        "bytes": sum(file.bytes for manifest in manifests for file in manifest.files),
    }


def _day_of(manifest: "Manifest") -> dict[str, Any]:
    comparison = manifest.comparison
    return {
        "symbol": str(manifest.symbol_id),
        "day": str(manifest.day),
        "revision": manifest.revision,
        "trades": manifest.trades.rows,
        "missing": sum(high - low + 1 for low, high in manifest.missing),
        "void": sum(high - low + 1 for low, high in manifest.void),
        "complete": manifest.complete,
        "audit": None if manifest.audit is None else "passed" if manifest.audit.passed else "failed",
        "venue": comparison and f"{comparison.matched} matched, {comparison.differing} differing",
        "bytes": sum(file.bytes for file in manifest.files),
    }


def run_verify(settings: Settings, url: str, texts: Sequence[str], *, database: bool, as_json: bool) -> int:
    """Check the archive, print what is wrong, and return the exit code."""
    from maintenance.archive.checking import Checker
    from maintenance.archive.reading import open_archive

    archive = open_archive(url)
    recorded = interrupts.run(_read_recorded(settings, archive)) if database else None
    checker = Checker(archive)
    known = sorted({*checker.symbols(), *(recorded or ())})
    symbols = [find_symbol(text, known, "the archive") for text in texts] if texts else known
    findings: list[ArchiveProblem] = []
    for symbol in symbols:
        with progress_bar_or_lines(str(symbol)) as show:
            days = None if recorded is None else recorded.get(symbol, {})
            findings += checker.check_symbol(symbol, days, show)
    findings += checker.check_rest(symbols)
    if as_json:
        print_json(
            {
                "archive_id": archive.root.archive_id,
                "days": checker.days,
                "files": checker.files,
                "bytes": checker.bytes,
                "findings": [finding._asdict() for finding in findings],
            }
        )
    else:
        print_table("Wrong in the archive", ("name", "finding"), findings)
        print(
            f"{checker.days:,} days, {checker.files:,} files, {checker.bytes:,} bytes:"
            f" {f'{len(findings):,} findings' if findings else 'everything is as it was written'}"
        )
    return 1 if findings else 0


async def _read_recorded(settings: Settings, archive: "Archive") -> "dict[SymbolId, Recorded]":
    from db.archive import read_archive, read_archived_days, read_archived_symbols

    async with open_database(settings, application="tickplant archive") as connection:
        row = await read_archive(connection)
        if row is None or row.archive_id != archive.root.archive_id:
            raise FatalError(
                f"the database's days are not in the archive at {archive.store.url}:"
                + (" it has recorded none" if row is None else f" they were last at {row.url}")
            )
        return {
            symbol: {
                day: (entry.revision, entry.manifest_sha256)
                for day, entry in (await read_archived_days(connection, symbol)).items()
            }
            for symbol in await read_archived_symbols(connection)
        }
