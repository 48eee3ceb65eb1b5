"""Adds days to a symbol's index, and moves former revisions to where readers of a folder don't find them."""

import re
from datetime import date
from typing import Final

from msgspec import structs

from maintenance.archive.manifest import (
    FILES,
    SUPERSEDED,
    Index,
    IndexEntry,
    data_name,
    manifest_name,
    symbol_folder,
)
from maintenance.archive.reading import Archive
from maintenance.archive.store import PART
from tickplant.errors import FatalError
from tickplant.market import SymbolId

_REVISION: Final = re.compile(r"/(\d{4}-\d\d-\d\d)\.r(\d+)\.[a-z]+$")
"""The day and the revision in a file's name."""


def add_to_index(archive: Archive, index: Index, day: date, entry: IndexEntry) -> Index:
    """Write an index with one more entry, and return it.

    Raises:
        FatalError: another process has written it meanwhile.
    """
    if archive.read_index(index.symbol_id) != index:
        raise FatalError(
            f"{archive.where(index.name)} was changed meanwhile: something else writes to this archive"
        )
    added = structs.replace(index, days=dict(sorted({**index.days, str(day): entry}.items())))
    archive.store.write(index.name, added.encode())
    return added


def supersede(archive: Archive, symbol: SymbolId, day: date, revision: int) -> None:
    """Move the files of a former revision to where those that read a folder don't find them."""
    folder = symbol_folder(symbol)
    present = {*archive.store.names(folder)}
    for name in (*(data_name(what, day, revision) for what in FILES), manifest_name(day, revision)):
        if f"{folder}/{name}" in present:
            archive.store.move(f"{folder}/{name}", f"{SUPERSEDED}/{folder}/{name}")


def clean(archive: Archive, index: Index) -> None:
    """Delete temporary files, and move former revisions, that an interrupted run has left."""
    for name in archive.store.names(symbol_folder(index.symbol_id)):
        if name.endswith(PART):
            archive.store.delete(name)
        elif (
            (found := _REVISION.search(name))
            and (entry := index.days.get(found[1]))
            and int(found[2]) < entry.revision
        ):
            archive.store.move(name, f"{SUPERSEDED}/{name}")
