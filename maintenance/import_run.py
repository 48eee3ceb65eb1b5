"""A run of an import: the files of one symbol one after the other, each looked at, checked and stored."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ingest.history.ranges import IdRange
from ingest.imports.source import FileError, TradeFile
from maintenance.imports import FileImport, FileScan, count_unstored, import_file, order_files, scan_file
from maintenance.symbol import SymbolMaintenance
from tickplant.errors import FatalError

_TRADE_BYTES: Final = 260
"""What a trade takes of the database's disk until it is in the columnstore, with index and WAL."""
_MOST_BETWEEN: Final = 50_000_000
"""Ids between a file and what is stored: REST takes hours for them."""
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
    def end_us(self) -> int:
        """The time before which it has all trades, likewise."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def known(self) -> KnownFile | None:
        """What an earlier run has stored of it into this plant, if that is known."""

    async def open(self, on_bytes: Callable[[int], None]) -> TradeFile:
        """Return the file, whole and readable.

        Args:
            on_bytes: receives how many bytes have been downloaded, if they have to be.

        Raises:
            FileError: it is damaged, or isn't what it should be.
            FatalError: it can't be had.
        """

    def remember(self, known: KnownFile) -> None:
        """Note what has been stored."""


class ImportObserver(Protocol):
    """Is told how an import progresses."""

    def downloading(self, file: WantedFile, done: int) -> None:
        """Note the bytes of a file that are there."""

    def checking(self, file: WantedFile, done: int) -> None:
        """Note the trades of a file that have been read and checked."""

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
        Whether everything of the files is stored, and what was stored before equals them.

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
        file = await wanted.open(partial(observer.downloading, wanted))
        try:
            result = await _import(target, wanted, file, observer, database_folder)
        finally:
            file.close()
        observer.finished(wanted, result)
        agrees &= not (result.differences or result.refused)
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
    scan = await scan_file(file, partial(observer.checking, wanted))
    await _require_near(target, file, scan)
    if database_folder is not None:
        trades = await count_unstored(target, scan.ids)
        require_database_space(database_folder, file.name, trades, "trades", _TRADE_BYTES)
    result = await import_file(target, file, scan, partial(observer.progress, wanted))
    if not (result.differences or result.refused) and result.compared + result.stored > 0:
        wanted.remember(KnownFile(scan.ids, result.missing))
    return result


async def _require_near(target: SymbolMaintenance, file: TradeFile, scan: FileScan) -> None:
    """Look how many ids lie between a file and what is stored.

    Raises:
        FatalError: so many that ingest would fetch them for hours, as a gap.
    """
    ledger = await target.read_ledger()
    if ledger is None:
        return
    first, last = scan.ids
    between = max(first - ledger.last_trade_id, ledger.first_trade_id - last) - 1
    if between > _MOST_BETWEEN:
        days = "later" if last < ledger.first_trade_id else "earlier"
        raise FatalError(
            f"{file.name}: {between:,} ids lie between its trades and the stored ones. They would be a gap,"
            f" which takes ingest hours to fetch: import {days} days first, those next to what is stored"
        )


def require_database_space(folder: Path, name: str, rows: int, what: str, row_bytes: int) -> None:
    """Look whether rows fit on the database's disk.

    Args:
        folder: on that disk.
        name: of what is imported.
        rows: how many are to be stored, at most.
        what: the rows are.
        row_bytes: what each takes.

    Raises:
        FatalError: they don't.
    """
    needed, free = rows * row_bytes + _FREE_BYTES, shutil.disk_usage(folder).free
    if rows and needed > free:
        raise FatalError(
            f"{name}: {rows:,} {what} take some {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB"
            f" are free in {folder}: free some space; the same command continues where it stopped"
        )
