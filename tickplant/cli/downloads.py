"""What imports from Binance's archive share: the cache of its files, the space for it, and absent files."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ingest.imports.binance_archive import ArchivedFile, BinanceArchive, Listing, usable
from ingest.venues.binance_files import TRADES, Period
from tickplant.cli.progress import progress_bar_or_lines
from tickplant.errors import FatalError, UsageError
from tickplant.market import SymbolId

_SHOWN: Final = 5
"""Absent files that are named."""


async def find_files(
    archive: BinanceArchive, symbol: SymbolId, periods: Sequence[Period], kind: str = TRADES
) -> Listing:
    """Look for files, and show the progress; arguments and errors as of `BinanceArchive.find`."""
    what = "" if kind == TRADES else f" {kind}"
    with progress_bar_or_lines(f"{symbol}{what}, files looked for") as show:
        return await archive.find(symbol.symbol, periods, kind, show)


def report_absent(what: str, listing: Listing) -> bool:
    """Print which files the archive lacks; return whether it has all."""
    if not listing.absent:
        return True
    more = [] if len(listing.absent) <= _SHOWN else ["…"]
    print(
        f"{what}: the archive has no file of {', '.join([*map(str, listing.absent[:_SHOWN]), *more])}",
        flush=True,
    )
    return False


def require_space(folder: Path, files: Sequence[ArchivedFile]) -> None:
    """Look whether the downloads fit on the disk of the cache.

    Raises:
        FatalError: they don't.
    """
    with usable(folder):
        needed, free = sum(file.size for file in files), shutil.disk_usage(folder).free
    if needed > free:
        raise FatalError(
            f"the files take {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are free in {folder}:"
            " choose another folder with --cache, or fewer days"
        )


def default_cache() -> Path:
    """Return the folder of downloads.

    Raises:
        UsageError: the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or ""
    try:
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "tickplant"
    except RuntimeError as error:  # no HOME, and a user unknown to the system
        raise UsageError(
            "this user has no home folder for downloads: choose a folder with --cache"
        ) from error
