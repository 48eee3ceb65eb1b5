"""A run of an import: the files of one symbol one after the other, each looked at, checked and stored."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ingest.history.ranges import IdRange
from ingest.imports.source import FileError, TradeFile
from maintenance.imports import FileImport, count_unstored, import_file, order_files, scan_file
from maintenance.symbol import SymbolMaintenance
from tickplant.errors import FatalError

_TRADE_BYTES: Final = 260
"""What a trade takes of the database's disk until it is in the columnstore, with index and WAL."""
_FREE_BYTES: Final = 512 << 20
"""What has to stay free."""


class KnownFile(NamedTuple):
    """What an earlier run has found in a file that it has stored."""

    ids: IdRange
    missing: int
    """Ids between the first and the last that were not stored in the end."""


class WantedFile(Protocol):
    """A file that is to be imported."""

    @property
    def label(self) -> str:
        """Names it in messages."""

    @property
    def start_us(self) -> int:
        """The time before which it has no trade, in microseconds since the epoch."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def known(self) -> KnownFile | None:
        """What an earlier run has stored of it into this plant, if that is known."""

    async def open(self) -> TradeFile:
        """Return the file, whole and readable.

        Raises:
            FileError: it is damaged, or isn't what it should be.
            FatalError: it can't be had.
        """

    def remember(self, known: KnownFile) -> None:
        """Note what has been stored."""


class ImportObserver(Protocol):
    """Is told how an import progresses."""

    def progress(self, file: WantedFile, done: int, total: int) -> None:
        """Note the trades of a file that are done, and how many there are."""

    def finished(self, file: WantedFile, result: FileImport | None) -> None:
        """Note that a file is stored; the result is None if an earlier run has stored it."""


async def import_files(
    target: SymbolMaintenance,
    files: Sequence[WantedFile],
    observer: ImportObserver,
    *,
    database_folder: Path | None,
) -> bool:
    """Store the trades of one symbol's files.

    Args:
        target: the symbol.
        files: in any order.
        observer: is told the progress.
        database_folder: on the disk of the database, if that is this machine's; else its space isn't checked.

    Returns:
        Whether everything that was stored before equals the files.

    Raises:
        FileError: a file is damaged, or isn't what it should be; the files before it are stored.
        FatalError: a file can't be had, the disk is full, or no worker stores the trades.
    """
    await target.require_worker()
    ledger = await target.read_ledger()
    agrees = True
    for wanted in order_files(files, ledger.watermark_us if ledger else None):
        known = wanted.known
        if known is not None and await count_unstored(target, known.ids) <= known.missing:
            observer.finished(wanted, None)
            continue
        file = await wanted.open()
        try:
            result = await _import(target, wanted, file, observer, database_folder)
        finally:
            file.close()
        observer.finished(wanted, result)
        agrees &= not result.differences
    return agrees


async def _import(
    target: SymbolMaintenance,
    wanted: WantedFile,
    file: TradeFile,
    observer: ImportObserver,
    database_folder: Path | None,
) -> FileImport:
    if file.symbol != target.symbol:
        raise FileError(f"{file.name} has trades of {file.symbol}, not of {target.symbol}")
    scan = await scan_file(file)
    if database_folder is not None:
        _require_space(database_folder, file, await count_unstored(target, scan.ids))
    result = await import_file(target, file, scan, lambda done, total: observer.progress(wanted, done, total))
    if not result.differences and result.compared + result.stored > 0:
        wanted.remember(KnownFile(scan.ids, result.missing))
    return result


def _require_space(folder: Path, file: TradeFile, trades: int) -> None:
    """Look whether trades fit on the disk.

    Raises:
        FatalError: they don't.
    """
    needed, free = trades * _TRADE_BYTES + _FREE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise FatalError(
            f"{file.name}: {trades:,} trades take some {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB"
            f" are free in {folder}: free some space; the same command continues here"
        )
