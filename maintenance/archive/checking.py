"""Checks an archive: every file that its index names, every manifest, and whether anything else is there."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maintenance.archive.manifest import (
    INDEX,
    ROOT_FILE,
    SUPERSEDED,
    DataFile,
    IndexEntry,
    Manifest,
    decode,
    manifest_name,
    sha256,
    symbol_folder,
)
from maintenance.archive.reading import Archive, symbols_of
from tickplant.errors import FatalError
from tickplant.market import SymbolId

Recorded = Mapping[date, tuple[int, str]]
"""By day, the revision and the hash of its manifest, as a database has recorded them."""


class ArchiveProblem(NamedTuple):
    """Something that is wrong."""

    name: str
    """A file, or a symbol's folder; relative to the archive."""
    text: str


class Checker:
    """Checks an archive, symbol by symbol."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._names = archive.store.names()
        self._known = {ROOT_FILE}
        self.days = 0
        self.files = 0
        self.bytes = 0

    def symbols(self) -> list[SymbolId]:
        """Return the symbols of the archive."""
        return symbols_of(self._names)

    def check_symbol(
        self, symbol: SymbolId, recorded: Recorded | None, on_day: Callable[[int, int], None]
    ) -> Iterator[ArchiveProblem]:
        """Read everything of a symbol again, and yield what is wrong.

        Args:
            symbol: to check.
            recorded: its days by the database; None to check the archive alone.
            on_day: takes how many days are checked, and how many there are.
        """
        folder = symbol_folder(symbol)
        self._known.add(f"{folder}/{INDEX}")
        try:
            index = self._archive.read_index(symbol)
        except FatalError as error:
            yield ArchiveProblem(f"{folder}/{INDEX}", str(error))
            of_symbol = f"{folder}/", f"{SUPERSEDED}/{folder}/"
            self._known |= {name for name in self._names if name.startswith(of_symbol)}
            return
        if recorded is not None:
            yield from _compare_with_database(folder, index.days, recorded)
        manifests: list[Manifest] = []
        for number, (day, entry) in enumerate(index.days.items(), start=1):
            self._known |= _names_of(folder, day, entry.revision)
            manifest = yield from self._check_day(folder, symbol, day, entry)
            if manifest is not None:
                manifests.append(manifest)
                yield from self._check_former(folder, manifest)
            self.days += 1
            on_day(number, len(index.days))
        yield from _check_span(folder, manifests)

    def check_rest(self, symbols: Sequence[SymbolId]) -> Iterator[ArchiveProblem]:
        """Yield the files that belong to nothing, after all symbols were checked.

        Args:
            symbols: those that were checked; files of others are left out.
        """
        folders = {symbol_folder(symbol) for symbol in symbols}
        every = folders >= {symbol_folder(symbol) for symbol in self.symbols()}
        for name in self._names:
            folder = "/".join(name.removeprefix(f"{SUPERSEDED}/").split("/")[:2])
            if name not in self._known and (every or folder in folders):
                yield ArchiveProblem(name, "belongs to no manifest")

    def _check_day(
        self, folder: str, symbol: SymbolId, day: str, entry: IndexEntry
    ) -> Generator[ArchiveProblem, None, Manifest | None]:
        name = f"{folder}/{manifest_name(day, entry.revision)}"
        try:
            manifest = self._archive.read_manifest(symbol, day, entry)
        except FatalError as error:
            yield ArchiveProblem(name, str(error).removeprefix(f"{self._archive.where(name)} "))
            return None
        root = self._archive.root
        expected = root.archive_id, root.source, symbol, day, entry.revision
        if expected != (
            manifest.archive_id,
            manifest.source,
            manifest.symbol_id,
            str(manifest.day),
            manifest.revision,
        ):
            yield ArchiveProblem(name, "is not the manifest of this archive, symbol, day and revision")
        yield from self._check_files(folder, manifest)
        return manifest

    def _check_files(self, folder: str, manifest: Manifest) -> Iterator[ArchiveProblem]:
        for file in manifest.files:
            name = f"{folder}/{file.name}"
            self.files += 1
            self.bytes += file.bytes
            try:
                wrong = self._wrong_file(name, manifest, file)
            except FatalError as error:
                wrong = f"can't be read: {error}"
            if wrong is not None:
                yield ArchiveProblem(name, wrong)

    def _wrong_file(self, name: str, manifest: Manifest, file: DataFile) -> str | None:
        """Return how a file contradicts its manifest."""
        size = self._archive.store.size(name)
        if size is None:
            return "is missing"
        if size != file.bytes:
            return f"has {size:,} bytes instead of {file.bytes:,}"
        if self._archive.store.hash(name) != file.sha256:
            return "was changed: it has not the hash that its manifest has"
        return self._wrong_content(name, manifest, file.rows, trades=file is manifest.trades)

    def _wrong_content(self, name: str, manifest: Manifest, rows: int, *, trades: bool) -> str | None:
        """Return how the content of a file contradicts its manifest."""
        try:
            with self._archive.store.open(name) as stream:
                file = pq.ParquetFile(stream)
                if file.metadata.num_rows != rows:
                    return f"has {file.metadata.num_rows:,} rows instead of {rows:,}"
                if not trades or not rows:
                    return None
                low = high = None
                for batch in file.iter_batches(columns=["trade_id"]):
                    found = cast(dict[str, int], pc.min_max(batch.column(0)).as_py())
                    low = found["min"] if low is None else min(low, found["min"])
                    high = found["max"] if high is None else max(high, found["max"])
        except (OSError, pa.ArrowException) as error:
            return f"can't be read: {error}"
        if (low, high) != (manifest.first_trade_id, manifest.last_trade_id):
            expected = f"{manifest.first_trade_id} to {manifest.last_trade_id}"
            return f"has the ids {low} to {high}, its manifest {expected}"
        return None

    def _check_former(self, folder: str, manifest: Manifest) -> Iterator[ArchiveProblem]:
        """Check the former revisions of a day, which are below superseded/."""
        folder = f"{SUPERSEDED}/{folder}"
        while manifest.former_sha256 is not None:
            revision = manifest.revision - 1
            name = f"{folder}/{manifest_name(str(manifest.day), revision)}"
            self._known |= _names_of(folder, str(manifest.day), revision)
            try:
                content = self._archive.store.read(name)
                if content is None:
                    yield ArchiveProblem(name, "is missing")
                    return
                if sha256(content) != manifest.former_sha256:
                    yield ArchiveProblem(name, "was changed: it has not the hash that the next revision has")
                    return
                manifest = decode(content, Manifest, self._archive.where(name))
            except FatalError as error:
                yield ArchiveProblem(name, f"can't be read: {error}")
                return
            yield from self._check_files(folder, manifest)


def _names_of(folder: str, day: str, revision: int) -> set[str]:
    return {
        f"{folder}/{manifest_name(day, revision)}",
        *(f"{folder}/{what}/{day}.r{revision}.parquet" for what in ("trades", "candles")),
    }


def _compare_with_database(
    folder: str, days: Mapping[str, IndexEntry], recorded: Recorded
) -> Iterator[ArchiveProblem]:
    for day, (revision, manifest_sha256) in recorded.items():
        entry = days.get(str(day))
        if entry is None:
            yield ArchiveProblem(f"{folder}/{INDEX}", f"lacks {day}, which the database has recorded")
        elif (entry.revision, entry.manifest_sha256) != (revision, manifest_sha256):
            yield ArchiveProblem(
                f"{folder}/{INDEX}", f"has another manifest of {day} than the database has recorded"
            )


def _check_span(folder: str, manifests: Sequence[Manifest]) -> Iterator[ArchiveProblem]:
    """Yield the days between archived ones that have trades by the ids around them, and no file."""
    for before, after in pairwise(manifests):
        if not (before.numbered and after.numbered) or after.day - before.day == timedelta(days=1):
            continue
        if before.last_trade_id is None or after.first_trade_id is None:
            continue
        low, high = before.last_trade_id + 1, after.first_trade_id - 1
        known = sum(
            last - max(first, low) + 1 for first, last in (*before.missing, *before.void) if last >= low
        )
        if known < high - low + 1:
            first, last = before.day + timedelta(days=1), after.day - timedelta(days=1)
            days = str(first) if first == last else f"{first} to {last}"
            yield ArchiveProblem(folder, f"has no file of {days}, and none of the trades {low} to {high}")
