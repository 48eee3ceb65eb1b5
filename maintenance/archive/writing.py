"""Archives days: writes their files, their manifest and the index, and records them in the database."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple, Protocol

from db.archive import (
    ArchivedDay,
    read_archived_days,
    read_due_days,
    record_day,
)
from db.archive_candles import recompute_candles
from db.archive_rows import copy_day, day_rows, day_start, read_day_facts, read_ids
from db.audit import DayAudit, audit_day
from db.pool import DatabaseConnection
from db.widths import ColumnWidth
from maintenance.archive.manifest import (
    FILES,
    AuditOfDay,
    DataFile,
    IndexEntry,
    Manifest,
    VenueComparison,
    data_name,
    manifest_name,
    sha256,
    symbol_folder,
)
from maintenance.archive.opening import require_recorded
from maintenance.archive.reading import Archive
from maintenance.archive.revisions import add_to_index, clean, supersede
from tickplant.arrow.parquet import ParquetWriter
from tickplant.arrow.schemas import CANDLE_DECIMALS, TRADE_DECIMALS, schema_of
from tickplant.errors import FatalError
from tickplant.market import SymbolId

_DECIMALS: Final = dict(zip(FILES, (TRADE_DECIMALS, CANDLE_DECIMALS), strict=True))

Compare = Callable[[SymbolId, date], Awaitable[VenueComparison | str]]
"""Compares a day with the venue's own candles; a text says why that can't be done."""


class ArchiveObserver(Protocol):
    """Receives what is done."""

    def due(self, symbol: SymbolId, days: int) -> None:
        """So many days of a symbol are due."""

    def archived(self, manifest: Manifest) -> None:
        """A day is in the archive."""

    def adopted(self, symbol: SymbolId, day: date) -> None:
        """A day was in the archive already, as another database or an interrupted run left it."""


class Archiver(NamedTuple):
    """Writes the days of a database into its archive."""

    connection: DatabaseConnection
    archive: Archive
    compare: Compare
    observer: ArchiveObserver

    async def archive_symbol(self, symbol: SymbolId, before: datetime) -> None:
        """Archive the days of a symbol that are due.

        Args:
            symbol: to archive.
            before: the first moment that isn't due, the start of a day.

        Raises:
            FatalError: the archive can't be written, is damaged, or lacks what was written.
        """
        index = await asyncio.to_thread(self.archive.read_index, symbol)
        recorded = await read_archived_days(self.connection, symbol)
        require_recorded(self.archive, index, recorded)
        await asyncio.to_thread(clean, self.archive, index)
        days = await read_due_days(self.connection, symbol, before)
        self.observer.due(symbol, len(days))
        for day in days:
            entry = index.days.get(str(day))
            known = entry is not None and _is_of(entry, recorded.get(day))
            if entry is not None and not known and await self._adopt(symbol, day, entry):
                continue
            manifest, entry, complete = await self._write_day(symbol, day, entry, known=known)
            index = await asyncio.to_thread(add_to_index, self.archive, index, day, entry)
            await self._record(manifest, entry, complete)
            if manifest.revision > 1:
                await asyncio.to_thread(supersede, self.archive, symbol, day, manifest.revision - 1)
            self.observer.archived(manifest)

    async def _adopt(self, symbol: SymbolId, day: date, entry: IndexEntry) -> bool:
        """Record a day that is in the archive as it is in the database; return False if it is not."""
        facts = await read_day_facts(self.connection, symbol, day)
        manifest = await asyncio.to_thread(self.archive.read_manifest, symbol, day, entry)
        if manifest.state != facts.state or (facts.complete and not manifest.complete):
            return False
        await self._record(manifest, entry, manifest.complete)
        self.observer.adopted(symbol, day)
        return True

    async def _record(self, manifest: Manifest, entry: IndexEntry, complete: bool | None) -> None:
        day = ArchivedDay(manifest.symbol_id, manifest.day, entry.revision, entry.manifest_sha256)
        await record_day(self.connection, day, state=manifest.state, complete=complete)

    async def _write_day(
        self, symbol: SymbolId, day: date, former: IndexEntry | None, *, known: bool
    ) -> tuple[Manifest, IndexEntry, bool | None]:
        """Write the files and the manifest of a day; return also whether its stored candle is complete.

        Args:
            symbol: of the day.
            day: to archive.
            former: the revision before.
            known: whether this database has archived that or taken it over.
        """
        comparison = await self.compare(symbol, day)
        facts = await read_day_facts(self.connection, symbol, day)
        # What the database doesn't have of the former revision is taken from its file.
        merges = former is not None and (facts.expired or not known)
        written = await self._write_revision(symbol, day, former, comparison, merges=merges)
        if written is None:
            written = await self._write_revision(symbol, day, former, comparison, merges=True)
            assert written is not None
        manifest, complete = written
        content = manifest.encode()
        name = f"{symbol_folder(symbol)}/{manifest_name(day, manifest.revision)}"
        await asyncio.to_thread(self.archive.store.write, name, content)
        return manifest, IndexEntry(revision=manifest.revision, manifest_sha256=sha256(content)), complete

    async def _write_revision(
        self,
        symbol: SymbolId,
        day: date,
        former: IndexEntry | None,
        comparison: VenueComparison | str,
        *,
        merges: bool,
    ) -> tuple[Manifest, bool | None] | None:
        """Write the files of a day; None if they would lack trades that were removed by age meanwhile."""
        lasting = earlier = None
        if former is not None and merges:
            earlier = await asyncio.to_thread(self.archive.read_manifest, symbol, day, former)
            lasting = self.archive.read_trades(earlier)
        revision = former.revision + 1 if former else 1
        async with day_rows(self.connection, lasting) as source:
            facts = stored = await read_day_facts(self.connection, symbol, day)
            if facts.expired and former is not None and not merges:
                return None
            ids = await read_ids(self.connection, symbol, day, source)
            removed = max(0, facts.candle_trades - ids.trades)
            if earlier is not None and facts.candle_trades < ids.trades:
                # Candles were removed by age, and late trades have made new ones of themselves alone.
                await recompute_candles(self.connection, symbol, day, source)
                facts = await read_day_facts(self.connection, symbol, day)
                removed = earlier.removed
            trades, candles = [
                await self._write_rows(symbol, day, revision, what, table)
                for what, table in zip(FILES, (source, "candles"), strict=True)
            ]
            audit = None
            if lasting is None and not removed:
                audit = await audit_day(self.connection, symbol, day_start(day))
        manifest = Manifest(
            archive_id=self.archive.root.archive_id,
            venue=symbol.venue,
            symbol=symbol.symbol,
            day=day,
            revision=revision,
            former_sha256=former.manifest_sha256 if former else None,
            source=facts.source or "live",
            numbered=facts.numbered,
            trades=trades,
            candles=candles,
            first_trade_id=ids.first_trade_id,
            last_trade_id=ids.last_trade_id,
            missing=ids.missing,
            void=ids.void,
            removed=removed,
            complete=facts.complete,
            minutes=facts.minutes,
            incomplete_minutes=facts.incomplete_minutes,
            state=stored.state,
            audit=_audit_of_day(audit) if audit else None,
            comparison=None if isinstance(comparison, str) else comparison,
            comparison_note=comparison if isinstance(comparison, str) else None,
            archived_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return manifest, stored.complete

    async def _write_rows(
        self, symbol: SymbolId, day: date, revision: int, what: str, table: str
    ) -> DataFile:
        """Write the trades or candles of a day."""
        name = data_name(what, day, revision)
        with self.archive.store.writing(f"{symbol_folder(symbol)}/{name}") as file, ExitStack() as stack:
            writer: ParquetWriter | None = None

            def start(widths: dict[str, ColumnWidth]) -> Callable[[bytes], Coroutine[Any, Any, None]]:
                nonlocal writer
                columns = {column: (width.whole, width.places) for column, width in widths.items()}
                writer = begun = stack.enter_context(ParquetWriter(file, schema_of(what, columns)))

                async def write(lines: bytes) -> None:
                    await asyncio.to_thread(begun.write, lines)

                return write

            count = await copy_day(self.connection, what, symbol, day, table, _DECIMALS[what], start)
            assert writer is not None  # it was begun, also for no rows
            await asyncio.to_thread(writer.close)
            if writer.rows != count:
                raise FatalError(f"{symbol} {day}: {count} {what} were read, but {writer.rows} written")
        return DataFile(name=name, rows=count, bytes=file.bytes, sha256=file.sha256)


def _is_of(entry: IndexEntry, recorded: ArchivedDay | None) -> bool:
    return recorded is not None and entry == IndexEntry(
        revision=recorded.revision, manifest_sha256=recorded.manifest_sha256
    )


def _audit_of_day(audit: DayAudit) -> AuditOfDay:
    return AuditOfDay(
        passed=audit.passed, differences=len(audit.differences), duplicates=len(audit.duplicates)
    )
