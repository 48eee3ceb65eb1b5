"""`tickplant archive`: keeps each day as Parquet files in a folder or an object store, and checks them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tickplant import interrupts
from tickplant.cli.database_arguments import find_symbol, open_database
from tickplant.cli.durations import parse_duration_s
from tickplant.errors import FatalError, UsageError
from tickplant.market import SymbolId
from tickplant.settings import Settings
from tickplant.settings_reader import read_settings

if TYPE_CHECKING:
    from db.pool import DatabaseConnection
    from maintenance.archive.manifest import Manifest

HELP: Final = "keep each day as Parquet files in a folder or an object store, and check them"

DESCRIPTION: Final = """\
`archive [SYMBOL ...]` writes each day of each symbol, or of the symbols given, that ended
TICKPLANT_ARCHIVE_AFTER_DAYS or more days ago: one Parquet file with its trades, one with its candles, and a
manifest in JSON: ids, missing and void ones, completeness, the SHA-256 of each file, the result of the audit
of the day, and of the comparison with the venue's own candles, where these can be had. Files are never
changed. A trade that comes later makes a new revision of its day; the files of the former one are moved below
superseded/. A run that is ended in any way leaves nothing that looks whole; the next one continues. With
--every it runs until it is stopped; `tickplant up` does that if TICKPLANT_ARCHIVE_URL is set.

With TICKPLANT_ARCHIVE_URL set, trades and candles are removed by age only once their day is in the archive;
`tickplant migrate`, or a start of `tickplant up`, applies a changed setting.

`archive list` shows what is in an archive. `archive verify` reads all of it again, and reports every file
that is missing, was changed, or belongs to no manifest; with --database it also compares the archive with
what the database has recorded of it.

The exit code is 0 if all is well, 1 if a day can't be archived, an audit of an archived day found
differences, or `verify` found anything, and 2 for wrong arguments and settings.
"""

EXAMPLES: Final = """\
settings: TICKPLANT_ARCHIVE_URL, TICKPLANT_ARCHIVE_AFTER_DAYS, TICKPLANT_DATABASE_URL (or the embedded
  server); to compare with the venue's candles also TICKPLANT_REDIS_URL and TICKPLANT_<VENUE>_REST_URL; of an
  object store its usual variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL

examples:
  tickplant archive --to /mnt/archive
  TICKPLANT_ARCHIVE_URL=s3://market/archive tickplant archive binance:BTCUSDT
  tickplant archive list
  tickplant archive verify --to /mnt/archive
"""

_ACTIONS: Final = ("list", "verify")

_USAGE: Final = """\
%(prog)s [SYMBOL ...] [--to URL] [--every TIME] [--new]
                         [--no-venue] [--data DIR]
       %(prog)s list [SYMBOL ...] [--to URL] [--json] [--data DIR]
       %(prog)s verify [SYMBOL ...] [--to URL] [--database] [--json]
                         [--data DIR]"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = _USAGE
    parser.add_argument(
        "words", nargs="*", metavar="SYMBOL", help="such as binance:BTCUSDT; all unless given"
    )
    parser.add_argument(
        "--to",
        metavar="URL",
        help="the archive: a folder, file://, s3:// or gs://; TICKPLANT_ARCHIVE_URL unless given",
    )
    parser.add_argument(
        "--every",
        type=parse_duration_s,
        metavar="TIME",
        help="run until stopped, once in a time such as 1h or 30m",
    )
    parser.add_argument(
        "--new",
        action="store_true",
        help="begin another archive than the one that the database's days are in, or go on with that of"
        " another database, which this one replaces",
    )
    parser.add_argument("--no-venue", action="store_true", help="do not compare with the venue's own candles")
    parser.add_argument(
        "--database",
        action="store_true",
        help="verify: compare with the database's record of the archive, too",
    )
    parser.add_argument("--json", action="store_true", help="list and verify: print one JSON document")


def run(args: Namespace) -> int:
    """Run the command and return its exit code."""
    from tickplant.arrow import require_pyarrow

    action = args.words[0] if args.words and args.words[0] in _ACTIONS else None
    symbols = args.words[1:] if action else args.words
    if action and (args.every or args.new or args.no_venue):
        raise UsageError(f"--every, --new and --no-venue are for archiving, not for `archive {action}`")
    if args.database and action != "verify":
        raise UsageError("--database is for `archive verify`")
    if args.json and not action:
        raise UsageError("--json is for `archive list` and `archive verify`")
    settings = read_settings()
    url = archive_url(settings, args.to)
    require_pyarrow()
    if action == "list":
        from tickplant.cli.archive_report import print_list

        return print_list(url, symbols, as_json=args.json)
    if action == "verify":
        from tickplant.cli.archive_report import run_verify

        return run_verify(settings, url, symbols, database=args.database, as_json=args.json)
    if args.every is not None:
        from tickplant.cli.archive_service import run_periodically

        return run_periodically(
            lambda say: archive_due(settings, url, symbols, args, say), settings, every_s=args.every
        )
    return interrupts.run(archive_due(settings, url, symbols, args, print))


def archive_url(settings: Settings, given: str | None) -> str:
    """Return the address of the archive: the argument's or the setting's.

    Raises:
        UsageError: there is neither, or it can't be one.
    """
    from tickplant.setting_parsers import parse_archive

    if given:
        try:
            return parse_archive(given)
        except ValueError as error:
            raise UsageError(f"--to {error}") from None
    if settings.archive_url is None:
        raise UsageError("no archive: name it with --to, or set TICKPLANT_ARCHIVE_URL")
    return settings.archive_url


async def archive_due(
    settings: Settings, url: str, texts: Sequence[str], args: Namespace, say: Callable[[str], None]
) -> int:
    """Archive what is due once; return the exit code."""
    from db.archive import only_archiver, read_archive_limit
    from db.provenance import read_database_source
    from db.symbols import read_stored_symbols
    from maintenance.archive.comparing import VenueComparer
    from maintenance.archive.opening import prepare_archive
    from maintenance.archive.writing import Archiver

    async with (
        open_database(settings, application="tickplant archive") as connection,
        only_archiver(connection) as alone,
        VenueComparer(settings) as comparer,
    ):
        if not alone:
            raise FatalError("another `tickplant archive` is at work on this database")
        stored = [row.id for row in await read_stored_symbols(connection)]
        symbols = [find_symbol(text, stored) for text in texts] or stored
        source = await read_database_source(connection)
        before = await read_archive_limit(connection, settings.archive_after_days)
        if before is None or source is None:
            say("no day is due: the database has no trades yet")
            return 0
        observer = _Observer(say)
        archive = await prepare_archive(connection, url, source=source, renew=args.new)
        compare = _no_comparison if args.no_venue else comparer.compare
        archiver = Archiver(connection, archive, compare, observer)
        for symbol in symbols:
            await archiver.archive_symbol(symbol, before)
        say(
            observer.summary() or await _nothing_due(connection, symbols, before, settings.archive_after_days)
        )
    return 1 if observer.failed else 0


async def _no_comparison(symbol: SymbolId, day: date) -> str:
    return "not asked for (--no-venue)"


async def _nothing_due(
    connection: "DatabaseConnection", symbols: Sequence[SymbolId], before: datetime, after_days: int
) -> str:
    """Return what to say when no day was written: that all are there, or when the first will be due."""
    from db.archive import read_archived_days, read_first_day

    for symbol in symbols:
        if await read_archived_days(connection, symbol):
            return f"every day before {before:%Y-%m-%d} is in the archive"
    first = max(before, await read_first_day(connection, symbols) or before) + timedelta(days=1 + after_days)
    return (
        f"no day is due yet: a day is archived {after_days} day{'' if after_days == 1 else 's'} after its end"
        f" (TICKPLANT_ARCHIVE_AFTER_DAYS); the first will be due at {first:%Y-%m-%dT%H:%M:%SZ},"
        " by the newest trade"
    )


class _Observer:
    """Reports each archived day: `maintenance.archive.writing.ArchiveObserver`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        from tickplant import metrics  # here, since it takes time

        self._say = say
        self._count = metrics.ARCHIVE_WRITES.inc
        self._left = 0
        self.archived_days = self.adopted_days = self.failed = 0

    def due(self, symbol: SymbolId, days: int) -> None:
        self._left = days
        if days:
            self._say(f"{symbol}: {days:,} {'day is' if days == 1 else 'days are'} due")

    def archived(self, manifest: "Manifest") -> None:
        self._left -= 1
        self.archived_days += 1
        self._count()
        self._say(
            f"{manifest.symbol_id} {manifest.day} r{manifest.revision}: {manifest.trades.rows:,} trades,"
            f" {sum(file.bytes for file in manifest.files):,} bytes{_quality(manifest)};"
            f" {self._left:,} to go"
        )
        if manifest.audit is not None and not manifest.audit.passed:
            self.failed += 1
            self._say(
                f"{manifest.symbol_id} {manifest.day}: {manifest.audit.differences:,} values of candles"
                f" differ from the trades, {manifest.audit.duplicates:,} trades are stored twice:"
                " see `tickplant audit`"
            )

    def adopted(self, symbol: SymbolId, day: date) -> None:
        self._left -= 1
        self.adopted_days += 1
        self._say(f"{symbol} {day}: in the archive already; {self._left:,} to go")

    def summary(self) -> str:
        """Return what was done; empty if nothing was."""
        if not self.archived_days + self.adopted_days:
            return ""
        text = f"{self.archived_days:,} day{'' if self.archived_days == 1 else 's'} archived"
        if self.adopted_days:
            text += f", {self.adopted_days:,} were there already"
        return text + (f"; the audit of {self.failed:,} found differences" if self.failed else "")


def _quality(manifest: "Manifest") -> str:
    parts = []
    if manifest.complete is False:
        parts.append("not complete")
    if manifest.removed:
        parts.append(f"{manifest.removed:,} trades had been removed by age")
    if manifest.comparison is not None and manifest.comparison.differing:
        parts.append(f"{manifest.comparison.differing:,} minutes differ from the venue's")
    return "".join(f", {part}" for part in parts)
