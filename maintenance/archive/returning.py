"""Takes days of an archive back into a plant, by the way of an import."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from db.archive_rows import day_start
from ingest.imports.source import TradeFile
from maintenance.archive.manifest import Manifest
from maintenance.archive.reading import Archive
from maintenance.archive.trade_file import ArchivedDayFile
from maintenance.import_run import KnownFile
from maintenance.symbol import SymbolMaintenance
from tickplant.intervals import DAY_US
from tickplant.market import SymbolId
from tickplant.times import to_us
from tickplant.wire import Verdict


class ReturningDay:
    """A day that is to be imported: a `WantedFile`."""

    known: Final = None

    def __init__(self, archive: Archive, manifest: Manifest) -> None:
        self.manifest: Final = manifest
        self.label: Final = str(manifest.day)
        self.start_us: Final = to_us(day_start(manifest.day))
        self.end_us: Final = self.start_us + DAY_US
        self.size: Final = manifest.trades.bytes
        self._archive = archive

    async def open(self, on_bytes: Callable[[int], None]) -> TradeFile:
        """Return the day's file, once its hash was compared with the manifest's."""
        return await asyncio.to_thread(ArchivedDayFile, self._archive, self.manifest)

    def remember(self, known: KnownFile) -> None:
        """Do nothing: the ledger is enough."""


def returning_days(
    archive: Archive, symbol: SymbolId, start: date | None, end: date | None
) -> list[ReturningDay]:
    """Return a symbol's days with trades in a span.

    Args:
        archive: to read from.
        symbol: of the days.
        start: first day; None for the first of the archive.
        end: exclusive; None for all.

    Raises:
        FatalError: a manifest is missing or damaged.
    """
    manifests = [
        archive.read_manifest(symbol, day, entry)
        for day, entry in archive.read_index(symbol).days.items()
        if (start is None or day >= str(start)) and (end is None or day < str(end))
    ]
    return [ReturningDay(archive, manifest) for manifest in manifests if manifest.trades.rows]


async def finish_return(target: SymbolMaintenance, days: Sequence[ReturningDay]) -> None:
    """Publish what is known of the days besides their trades: ids that the venue never used, and their end.

    Args:
        target: the symbol, into which the days have been imported.
        days: of it.

    Raises:
        FatalError: no worker stores the results.
    """
    for day in days:
        for low, high in day.manifest.void:
            await target.publisher.publish_verdict(Verdict(*target.symbol, low, high, "void"))
    await target.close_until(max(day.end_us for day in days))
