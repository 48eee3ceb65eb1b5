"""Archives days: writes their files, their manifest and the index, and records them in the database."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import uuid4

import pyarrow as pa

from db.archive import (
    ArchivedDay,
    ArchiveRow,
    read_archive,
    read_archived_days,
    read_due_days,
    record_day,
    write_archive,
)
from db.archive_rows import copy_day, day_rows, day_start, read_day_facts, read_ids
from db.audit import DayAudit, audit_day
from db.pool import DatabaseConnection
from db.widths import ColumnWidth
from maintenance.archive.manifest import (
    FILES,
    ROOT_FILE,
    SUPERSEDED,
    ArchiveRoot,
    AuditOfDay,
    DataFile,
    Index,
    IndexEntry,
    Manifest,
    VenueComparison,
    data_name,
    manifest_name,
    sha256,
    symbol_folder,
)
from maintenance.archive.reading import INDEX, Archive, read_root
from maintenance.archive.store import PART, Store
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


async def prepare_archive(connection: DatabaseConnection, url: str, *, source: str, renew: bool) -> Archive:
    """Open the archive of a database for writing, and make it if there is none yet.

    Args:
        connection: to the database.
        url: of the archive.
        source: of the plant's trades.
        renew: whether another archive than the former may be begun.

    Raises:
        FatalError: the archive at the address is another database's, or of another source; or the former one
            is not there.
    """
    store = Store(url)
    root = await asyncio.to_thread(read_root, store)
    known = await read_archive(connection)
    if known is not None and not renew and (root is None or root.archive_id != known.archive_id):
        found = "there is none" if root is None else "there is another one"
        raise FatalError(
            f"the days of this database are in the archive {known.archive_id}, last at {known.url},"
            f" but at {url} {found}: name its present address, or begin another with --new"
        )
    if root is None:
        root = ArchiveRoot(archive_id=str(uuid4()), source=source)
        await asyncio.to_thread(store.prepare)
        await asyncio.to_thread(store.write, ROOT_FILE, root.encode())
    elif root.source != source:
        raise FatalError(f"the archive at {url} has {root.source} trades, and the database {source} ones")
    await write_archive(connection, ArchiveRow(root.archive_id, url))
    return Archive(store, root)


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
            FatalError: the archive can't be written, or is damaged.
        """
        await asyncio.to_thread(self._clean, symbol)
        days = await read_due_days(self.connection, symbol, before)
        self.observer.due(symbol, len(days))
        if not days:
            return
        recorded = await read_archived_days(self.connection, symbol)
        index = await asyncio.to_thread(self.archive.read_index, symbol)
        for day in days:
            entry = index.days.get(str(day))
            if entry is not None and day not in recorded and await self._adopt(symbol, day, entry):
                continue
            manifest, entry = await self._write_day(symbol, day, entry, known=day in recorded)
            days_of = dict(sorted({**index.days, str(day): entry}.items()))
            index = Index(archive_id=index.archive_id, venue=symbol.venue, symbol=symbol.symbol, days=days_of)
            await asyncio.to_thread(self._write, f"{symbol_folder(symbol)}/{INDEX}", index.encode())
            await self._record(manifest, entry)
            if manifest.revision > 1:
                await asyncio.to_thread(self._supersede, symbol, day, manifest.revision - 1)
            self.observer.archived(manifest)

    async def _adopt(self, symbol: SymbolId, day: date, entry: IndexEntry) -> bool:
        """Record a day that is in the archive as it is in the database; return False if it is not."""
        facts = await read_day_facts(self.connection, symbol, day)
        manifest = await asyncio.to_thread(self.archive.read_manifest, symbol, day, entry)
        if manifest.state != facts.state or (facts.complete and not manifest.complete):
            return False
        await self._record(manifest, entry)
        self.observer.adopted(symbol, day)
        return True

    async def _record(self, manifest: Manifest, entry: IndexEntry) -> None:
        day = ArchivedDay(manifest.symbol_id, manifest.day, entry.revision, entry.manifest_sha256)
        await record_day(self.connection, day, state=manifest.state, complete=manifest.complete)

    async def _write_day(
        self, symbol: SymbolId, day: date, former: IndexEntry | None, *, known: bool
    ) -> tuple[Manifest, IndexEntry]:
        """Write the files and the manifest of a day.

        Args:
            symbol: of the day.
            day: to archive.
            former: the revision before.
            known: whether this database has archived or taken that over.
        """
        comparison = await self.compare(symbol, day)
        lasting = None
        if former is not None:
            facts = await read_day_facts(self.connection, symbol, day)
            if facts.expired or not known:  # the database doesn't have all that the archive has
                manifest = await asyncio.to_thread(self.archive.read_manifest, symbol, day, former)
                lasting = self.archive.read_trades(manifest)
        revision = former.revision + 1 if former else 1
        async with day_rows(self.connection, lasting) as source:
            facts = await read_day_facts(self.connection, symbol, day)
            ids = await read_ids(self.connection, symbol, day, source)
            trades, candles = [
                await self._write_rows(symbol, day, revision, what, table)
                for what, table in zip(FILES, (source, "candles"), strict=True)
            ]
            removed = max(0, facts.candle_trades - ids.trades)
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
            state=facts.state,
            audit=_audit_of_day(audit) if audit else None,
            comparison=None if isinstance(comparison, str) else comparison,
            comparison_note=comparison if isinstance(comparison, str) else None,
            archived_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        content = manifest.encode()
        await asyncio.to_thread(
            self._write, f"{symbol_folder(symbol)}/{manifest_name(day, revision)}", content
        )
        return manifest, IndexEntry(revision=revision, manifest_sha256=sha256(content))

    async def _write_rows(
        self, symbol: SymbolId, day: date, revision: int, what: str, table: str
    ) -> DataFile:
        """Write the trades or candles of a day."""
        name = data_name(what, day, revision)
        with self.archive.store.writing(f"{symbol_folder(symbol)}/{name}") as file:
            writer: ParquetWriter | None = None

            def start(widths: dict[str, ColumnWidth]) -> Callable[[bytes], Coroutine[Any, Any, None]]:
                nonlocal writer
                columns = {column: (width.whole, width.places) for column, width in widths.items()}
                writer = begun = ParquetWriter(pa.PythonFile(file, mode="w"), schema_of(what, columns))

                async def write(lines: bytes) -> None:
                    await asyncio.to_thread(begun.write, lines)

                return write

            count = await copy_day(self.connection, what, symbol, day, table, _DECIMALS[what], start)
            assert writer is not None  # it was begun, also for no rows
            await asyncio.to_thread(writer.close)
            if writer.rows != count:
                raise FatalError(f"{symbol} {day}: {count} {what} were read, but {writer.rows} written")
        return DataFile(name=name, rows=count, bytes=file.bytes, sha256=file.sha256)

    def _write(self, name: str, content: bytes) -> None:
        self.archive.store.write(name, content)

    def _supersede(self, symbol: SymbolId, day: date, revision: int) -> None:
        """Move the files of a former revision to where those that read a folder don't find them."""
        folder = symbol_folder(symbol)
        present = {*self.archive.store.names(folder)}
        for name in (*(data_name(what, day, revision) for what in FILES), manifest_name(day, revision)):
            if f"{folder}/{name}" in present:
                self.archive.store.move(f"{folder}/{name}", f"{SUPERSEDED}/{folder}/{name}")

    def _clean(self, symbol: SymbolId) -> None:
        """Delete temporary files, and move former revisions, that an interrupted run has left."""
        folder = symbol_folder(symbol)
        index = self.archive.read_index(symbol)
        for name in self.archive.store.names(folder):
            if name.endswith(PART):
                self.archive.store.delete(name)
            elif (
                (found := _REVISION.search(name))
                and (entry := index.days.get(found[1]))
                and int(found[2]) < entry.revision
            ):
                self.archive.store.move(name, f"{SUPERSEDED}/{name}")


_REVISION: Final = re.compile(r"/(\d{4}-\d\d-\d\d)\.r(\d+)\.[a-z]+$")
"""The day and the revision in a file's name."""


def _audit_of_day(audit: DayAudit) -> AuditOfDay:
    return AuditOfDay(
        passed=audit.passed, differences=len(audit.differences), duplicates=len(audit.duplicates)
    )
