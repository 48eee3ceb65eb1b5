"""Where `tickplant import` reads from: Binance's archive, files, or our own archive."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ingest.history.client import open_history_client
from ingest.imports.binance_archive import ArchivedFile, BinanceArchive, usable
from ingest.imports.binance_csv import BinanceCsv
from ingest.imports.source import TradeFile
from ingest.venues.binance_files import split_periods
from ingest.venues.binance_rest import NAME as BINANCE
from maintenance.captured_trades import CapturedTrades, read_captures
from maintenance.import_run import KnownFile, WantedFile, import_files
from maintenance.imports import AHEAD_TRADES
from maintenance.symbol import SymbolMaintenance, open_symbol, parse_symbol
from tickplant.arrow import require_pyarrow
from tickplant.cli.database_arguments import find_symbol
from tickplant.cli.downloads import default_cache, find_files, report_absent, require_space
from tickplant.cli.import_progress import import_progress
from tickplant.errors import UsageError
from tickplant.local.data_folder import folder_in_use
from tickplant.market import SymbolId
from tickplant.provenance import SOURCE_HEADER
from tickplant.proxies import Proxies
from tickplant.settings import Settings
from tickplant.times import to_datetime

_APPLICATION: Final = "tickplant import"
_NO_FILES: Final = {
    "kraken": "Kraken's files of trades have no trade ids, so that nothing would show which trades are"
    " missing, or stored already",
}
"""Why some venues' past can't be imported."""


class FileOnDisk:
    """A file of this machine: a `WantedFile`."""

    known = None

    def __init__(self, path: Path) -> None:
        file = BinanceCsv(path)
        file.close()
        self.symbol: Final = file.symbol
        self.label: Final = file.name
        self.start_us: Final = file.start_us
        self.end_us: Final = file.end_us
        self.size: Final = path.stat().st_size
        self._path = path

    async def open(self, on_bytes: Callable[[int], None]) -> TradeFile:
        """Return the file."""
        return BinanceCsv(self._path)

    def remember(self, known: KnownFile) -> None:
        """Do nothing: the ledger is enough."""


class Captures:
    """The trades of a symbol in captures: a `WantedFile`."""

    known = None

    def __init__(self, captured: CapturedTrades, size: int) -> None:
        self.symbol: Final = captured.symbol
        self.label: Final = captured.name
        self.start_us: Final = captured.start_us
        self.end_us: Final = captured.end_us
        self.size: Final = size
        self._captured = captured

    async def open(self, on_bytes: Callable[[int], None]) -> TradeFile:
        """Return the trades."""
        return self._captured

    def remember(self, known: KnownFile) -> None:
        """Do nothing: the ledger is enough."""


class FileOfArchive:
    """A file of the archive: a `WantedFile`."""

    def __init__(self, archive: BinanceArchive, file: ArchivedFile, plant: str) -> None:
        self._archive = archive
        self._file = file
        self._note = archive.path_of(file.name).with_suffix(f".{plant}.stored")
        self.label: Final = str(file.name.period)
        self.start_us: Final = file.start_us
        self.end_us: Final = file.name.period.end_us
        self.size: Final = file.size

    @property
    def known(self) -> KnownFile | None:
        """What an earlier run has stored of it."""
        try:
            first, last, missing = map(int, self._note.read_text(encoding="ascii").split())
        except (FileNotFoundError, ValueError):
            return None
        return KnownFile((first, last), missing)

    async def open(self, on_bytes: Callable[[int], None]) -> TradeFile:
        """Return the file, downloaded and verified."""
        return BinanceCsv(await self._archive.download(self._file, on_bytes))

    def remember(self, known: KnownFile) -> None:
        """Note what has been stored."""
        with usable(self._note.parent):
            self._note.write_text(f"{known.ids[0]} {known.ids[1]} {known.missing}\n", encoding="ascii")


async def import_named_files(settings: Settings, paths: Sequence[Path]) -> int:
    """Import files, symbol by symbol; return the exit code."""
    by_symbol: dict[SymbolId, list[WantedFile]] = {}
    for file in await asyncio.to_thread(_open_named, list(dict.fromkeys(path.absolute() for path in paths))):
        by_symbol.setdefault(file.symbol, []).append(file)
    agrees = True
    for symbol, files in by_symbol.items():
        async with open_symbol(
            settings, str(symbol), application=_APPLICATION, pace_trades=AHEAD_TRADES
        ) as target:
            await target.publisher.claim_source({})
            agrees &= await _import_symbol(settings, target, files)
            await target.close_until(max(file.end_us for file in files))
    return 0 if agrees else 1


def _open_named(paths: Sequence[Path]) -> list[FileOnDisk | Captures]:
    """Return the files of some paths: those of Binance's archive, and captures."""
    archived = [path for path in paths if path.suffix in (".csv", ".zip")]
    captures = [path for path in paths if path not in archived]
    found: list[FileOnDisk | Captures] = [FileOnDisk(path) for path in archived]
    if captures:
        size = sum(path.stat().st_size for path in captures if path.is_file())
        found += [Captures(captured, size) for captured in read_captures(captures)]
    return found


async def import_archive(
    settings: Settings, symbols: Sequence[str], start: date, end: date, *, cache: Path | None
) -> int:
    """Import a range of days from Binance's archive, symbol by symbol; return the exit code.

    Args:
        settings: addresses.
        symbols: `venue:SYMBOL` each.
        start: first day.
        end: exclusive.
        cache: the folder of downloads; None: the default.
    """
    for symbol in symbols:
        venue = symbol.partition(":")[0]
        if venue != BINANCE:
            reason = _NO_FILES.get(venue, f"{venue} publishes no files of its trades")
            raise UsageError(f"{symbol} can't be imported: {reason}; see `tickplant backfill`")
    folder = (cache or default_cache()).absolute()
    periods = split_periods(start, end, datetime.now(UTC).date())
    complete = True
    for symbol in symbols:
        async with (
            open_symbol(settings, symbol, application=_APPLICATION, pace_trades=AHEAD_TRADES) as target,
            open_history_client(target.publisher, [settings.binance_archive_url], Proxies()) as client,
        ):
            archive = BinanceArchive(settings.binance_archive_url, client, folder)
            listing = await find_files(archive, target.symbol, periods)
            complete &= report_absent(str(target.symbol), listing)
            files = [FileOfArchive(archive, file, _plant_of(settings)) for file in listing.files]
            if files:
                require_space(
                    folder, [entry for entry in listing.files if not archive.path_of(entry.name).exists()]
                )
                complete &= await _import_symbol(settings, target, files)
                await target.close_until(max(file.end_us for file in files))
    return 0 if complete else 1


async def _import_symbol(settings: Settings, target: SymbolMaintenance, files: Sequence[WantedFile]) -> bool:
    """Import the files of one symbol; return whether they agree with what was stored."""
    limit = await target.read_limit()
    if limit is not None and any(to_datetime(file.start_us) < limit for file in files):
        print(
            f"{target.symbol}: trades before {limit:%Y-%m-%dT%H:%M:%SZ} are removed by age once their"
            " candles are made (TICKPLANT_KEEP_TRADES_DAYS)"
        )
    sizes = sum(file.size for file in files)
    with import_progress(str(target.symbol), sizes, len(files)) as progress:
        agrees = await import_files(
            target,
            files,
            progress,
            database_folder=folder_in_use(settings) if settings.database_url is None else None,
        )
    refused = f", {progress.refused:,} refused" if progress.refused else ""
    print(
        f"{target.symbol}: {progress.stored:,} trades stored, {progress.missing:,} ids missing,"
        f" {progress.differing:,} differing{refused}"
    )
    return agrees


async def import_own_archive(
    settings: Settings, url: str, texts: Sequence[str], start: date | None, end: date | None
) -> int:
    """Take days of the archive of `tickplant archive` back, symbol by symbol; return the exit code.

    Args:
        settings: addresses.
        url: of the archive.
        texts: the symbols; all of the archive if there are none.
        start: first day; None for all.
        end: exclusive; None for all.
    """
    require_pyarrow()
    from maintenance.archive.reading import open_archive
    from maintenance.archive.returning import finish_return, returning_days

    # In threads: while a store doesn't answer, Ctrl-C has to be heard.
    archive = await asyncio.to_thread(open_archive, url)
    archived = await asyncio.to_thread(archive.symbols)
    named = [find_symbol(text, archived, "the archive") for text in texts]
    agrees, found = True, False
    for symbol in named:
        parse_symbol(settings, str(symbol))
    for symbol in named or archived:
        try:
            parse_symbol(settings, str(symbol))
        except UsageError as error:
            print(f"{symbol} is left out: {error}", flush=True)
            agrees = False
            continue
        days = await asyncio.to_thread(returning_days, archive, symbol, start, end)
        if not days:
            print(f"{symbol}: the archive has no days in that time", flush=True)
            agrees &= not named
            continue
        found = True
        async with open_symbol(
            settings, str(symbol), application=_APPLICATION, pace_trades=AHEAD_TRADES
        ) as target:
            await target.publisher.claim_source({SOURCE_HEADER: archive.root.source})
            agrees &= await _import_symbol(settings, target, days)
            await finish_return(target, days)
    return 0 if agrees and found else 1


def _plant_of(settings: Settings) -> str:
    """Return a name for the database, without its user and password."""
    address = urlsplit(settings.database_url or str(folder_in_use(settings)))
    place = f"{address.netloc.rpartition('@')[2]}{address.path}?{address.query}"
    return hashlib.sha256(place.encode()).hexdigest()[:8]
