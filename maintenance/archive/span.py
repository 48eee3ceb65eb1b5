"""The days of a symbol whose trades only the archive has any more, as a part of what is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from db.archive import read_archive, read_stored_since
from db.archive_rows import day_start, temporary_trades
from db.pool import DatabaseConnection
from maintenance.archive.manifest import Manifest
from tickplant.arrow import require_pyarrow
from tickplant.intervals import DAY_US
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

if TYPE_CHECKING:  # pyarrow is an extra
    from maintenance.archive.reading import Archive


class ArchivedSpan(NamedTuple):
    """Days that are read from the archive; trades of others, and late ones of these, are in the database."""

    archive: "Archive | None"
    """None: there is nothing to read from one."""
    days: Sequence[Manifest]
    """Ascending."""

    @property
    def trades(self) -> int:
        """How many there are in these days."""
        return sum(manifest.trades.rows for manifest in self.days)

    def within(self, start_us: int, end_us: int) -> "ArchivedSpan":
        """Return those of the days that have a part between two times."""
        days = [
            manifest
            for manifest in self.days
            if start_us < to_us(day_start(manifest.day)) + DAY_US and to_us(day_start(manifest.day)) < end_us
        ]
        return ArchivedSpan(self.archive, days)

    @asynccontextmanager
    async def in_place(self, connection: DatabaseConnection, manifest: Manifest) -> AsyncIterator[None]:
        """Let all statements of a session read a day's archived trades together with the stored ones.

        Args:
            connection: outside a transaction.
            manifest: of one of the days.

        Raises:
            FatalError: the day's file is missing or damaged.
        """
        assert self.archive is not None  # there is a day
        trades, day = self.archive.read_trades(manifest), (manifest.symbol_id, manifest.day)
        async with temporary_trades(connection, "trades", trades, stored=day):
            yield

    async def parts(
        self, connection: DatabaseConnection, start_us: int, end_us: int
    ) -> AsyncGenerator[tuple[int, int], None]:
        """Yield the parts of a span to read one after the other: each archived day, and what is between.

        Args:
            connection: outside a transaction; its statements on `trades` find those of the part.
            start_us: inclusive, microseconds since the epoch.
            end_us: exclusive.
        """
        for manifest in self.days:
            day_us = to_us(day_start(manifest.day))
            if start_us < day_us:
                yield start_us, day_us
            async with self.in_place(connection, manifest):
                yield max(start_us, day_us), min(end_us, day_us + DAY_US)
            start_us = max(start_us, day_us + DAY_US)
        if start_us < end_us:
            yield start_us, end_us


NO_SPAN = ArchivedSpan(None, ())


async def read_archived_span(
    connection: DatabaseConnection, url: str | None, symbol: SymbolId, start_us: int, end_us: int
) -> ArchivedSpan:
    """Return the days of a span whose trades the database doesn't have any more, and the archive has.

    Args:
        connection: to the database.
        url: of the archive; None if there is none.
        symbol: of the trades.
        start_us: inclusive, microseconds since the epoch.
        end_us: exclusive.

    Raises:
        FatalError: the archive is needed and can't be read.
    """
    since = await read_stored_since(connection, symbol)
    if url is None or (since is not None and start_us >= to_us(since)):
        return NO_SPAN
    require_pyarrow()
    from maintenance.archive.reading import find_archive, open_archive

    archive = await asyncio.to_thread(find_archive, url)
    if archive is None:
        if await read_archive(connection) is None:
            return NO_SPAN  # nothing was archived yet
        archive = await asyncio.to_thread(open_archive, url)  # says that it is not there
    index = await asyncio.to_thread(archive.read_index, symbol)
    before_us = min(end_us, to_us(since)) if since is not None else end_us
    first = to_datetime(start_us).date() if start_us > 0 else None
    last = (to_datetime(before_us) - timedelta(microseconds=1)).date()
    days = [
        await asyncio.to_thread(archive.read_manifest, symbol, day, entry)
        for day, entry in index.days.items()
        if (first is None or day >= str(first)) and day <= str(last)
    ]
    return ArchivedSpan(archive, days)
