"""Reads an archive: its symbols, their days, manifests, and trades."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from maintenance.archive.manifest import (
    INDEX,
    ROOT_FILE,
    SUPERSEDED,
    ArchiveRoot,
    DataFile,
    Index,
    IndexEntry,
    Manifest,
    decode,
    manifest_name,
    sha256,
    symbol_folder,
)
from maintenance.archive.store import Store
from tickplant.arrow.parquet import csv_blocks
from tickplant.errors import FatalError
from tickplant.market import SymbolId


class Archive(NamedTuple):
    """An archive that exists."""

    store: Store
    root: ArchiveRoot

    def symbols(self) -> list[SymbolId]:
        """Return the symbols that have an index, in order."""
        return symbols_of(self.store.names())

    def read_index(self, symbol: SymbolId) -> Index:
        """Return the index of a symbol, an empty one if there is none.

        Raises:
            FatalError: it is damaged, or another archive's.
        """
        name = f"{symbol_folder(symbol)}/{INDEX}"
        content = self.store.read(name)
        if content is None:
            return Index(archive_id=self.root.archive_id, venue=symbol.venue, symbol=symbol.symbol, days={})
        index = decode(content, Index, self.where(name))
        if (index.archive_id, index.venue, index.symbol) != (self.root.archive_id, *symbol):
            raise FatalError(f"{self.where(name)} is not this archive's index of {symbol}")
        return index

    def read_manifest(self, symbol: SymbolId, day: date | str, entry: IndexEntry) -> Manifest:
        """Return the manifest of a day.

        Raises:
            FatalError: there is none, or it has another hash than its entry in the index.
        """
        name = f"{symbol_folder(symbol)}/{manifest_name(day, entry.revision)}"
        content = self.store.read(name)
        if content is None:
            raise FatalError(f"{self.where(name)} is missing")
        if sha256(content) != entry.manifest_sha256:
            raise FatalError(f"{self.where(name)} was changed: it has not the hash that the index has")
        return decode(content, Manifest, self.where(name))

    async def read_trades(self, manifest: Manifest) -> AsyncIterator[bytes]:
        """Yield the trades of a day as CSV, as `db.archive.temporary_trades` takes it.

        Raises:
            FatalError: the file is missing or damaged.
        """
        name = f"{symbol_folder(manifest.symbol_id)}/{manifest.trades.name}"
        await asyncio.to_thread(self.require_unchanged, manifest.symbol_id, manifest.trades)
        try:
            with self.store.open(name) as file:
                blocks = csv_blocks(file)
                while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                    yield block
        except (OSError, pa.ArrowException) as error:
            raise FatalError(f"{self.where(name)} can't be read: {error}") from error

    def require_unchanged(self, symbol: SymbolId, file: DataFile) -> None:
        """Compare a file with its hash in the manifest.

        Raises:
            FatalError: it is missing, or was changed.
        """
        name = f"{symbol_folder(symbol)}/{file.name}"
        if self.store.size(name) is None:
            raise FatalError(f"{self.where(name)} is missing")
        if self.store.hash(name) != file.sha256:
            raise FatalError(f"{self.where(name)} was changed: it has not the hash that its manifest has")

    def where(self, name: str) -> str:
        """Return what messages call a file."""
        return f"archive {self.store.url}: {name}"


def symbols_of(names: Sequence[str]) -> list[SymbolId]:
    """Return the symbols that have an index, in order.

    Args:
        names: of all files of an archive.
    """
    folders = [name.split("/") for name in names if name.endswith("/" + INDEX) and name.count("/") == 2]
    return sorted(
        SymbolId(unquote(venue), unquote(symbol)) for venue, symbol, _ in folders if venue != SUPERSEDED
    )


def open_archive(url: str) -> Archive:
    """Open an archive.

    Raises:
        FatalError: there is none, it can't be read, or a newer version wrote it.
    """
    archive = find_archive(url)
    if archive is None:
        raise FatalError(
            f"there is no archive at {url}: it has no {ROOT_FILE}; `tickplant archive` makes one"
        )
    return archive


def find_archive(url: str) -> Archive | None:
    """Open an archive; None if there is none at the address.

    Raises:
        FatalError: it can't be read, or a newer version wrote it.
    """
    store = Store(url)
    root = read_root(store)
    return None if root is None else Archive(store, root)


def read_root(store: Store) -> ArchiveRoot | None:
    """Return an archive's `archive.json`; None if there is none.

    Raises:
        FatalError: it is damaged.
    """
    content = store.read(ROOT_FILE)
    return None if content is None else decode(content, ArchiveRoot, f"archive {store.url}: {ROOT_FILE}")
