"""Opens the archive of a database for writing, and looks whether it is as that has recorded it."""

import asyncio
from collections.abc import Mapping
from datetime import date
from uuid import uuid4

from db.archive import ArchivedDay, ArchiveRow, read_archive, write_archive
from db.pool import DatabaseConnection
from maintenance.archive.manifest import ROOT_FILE, ArchiveRoot, Index
from maintenance.archive.reading import Archive, read_root
from maintenance.archive.store import Store
from tickplant.errors import FatalError


async def prepare_archive(connection: DatabaseConnection, url: str, *, source: str, renew: bool) -> Archive:
    """Open the archive of a database for writing, and make it if there is none yet.

    Args:
        connection: to the database.
        url: of the archive.
        source: of the plant's trades.
        renew: whether another archive may be begun, or one that another database has begun be continued.

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
    begun = await asyncio.to_thread(Archive(store, root).symbols) if root and known is None else []
    if begun and not renew:
        raise FatalError(
            f"another database has begun the archive at {url}: name another address, since two that write to"
            " it lose each other's days. If this database replaces that one, go on with it by --new"
        )
    if root is None:
        root = ArchiveRoot(archive_id=str(uuid4()), source=source)
        await asyncio.to_thread(store.prepare)
        await asyncio.to_thread(store.write, ROOT_FILE, root.encode())
    elif root.source != source:
        raise FatalError(f"the archive at {url} has {root.source} trades, and the database {source} ones")
    await write_archive(connection, ArchiveRow(root.archive_id, url))
    return Archive(store, root)


def require_recorded(archive: Archive, index: Index, recorded: Mapping[date, ArchivedDay]) -> None:
    """Compare an index with what the database has recorded of it; an interrupted run may have got further.

    Raises:
        FatalError: the index lacks a day, or has an older or another revision of one.
    """
    for day, known in recorded.items():
        entry = index.days.get(str(day))
        if entry is None:
            found = f"lacks {day}, which"
        elif entry.revision < known.revision:
            found = f"has an older revision of {day} than"
        elif entry.revision == known.revision and entry.manifest_sha256 != known.manifest_sha256:
            found = f"has another manifest of {day} than"
        else:
            continue
        raise FatalError(
            f"{archive.where(index.name)} {found} the database has recorded: put back what was lost, from a"
            " copy of the archive, or begin another one at a new address with --new"
        )
