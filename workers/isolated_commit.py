"""Stores what a transaction was refused for apart: entry by entry, and symbol by symbol where need be.

So rows that the database refuses for what they hold are found and kept as dead letters, and everything else
is stored. A part of an entry is committed under the entry before it: where a worker dies in between, the next
owner reads the whole entry again, and the ledger knows what is stored already.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from db.commit import CommitBatch
from db.pool import Pool
from db.refused_rows import find_unstorable
from tickplant import wire
from tickplant.errors import PoisonError, UnstorableError
from tickplant.market import Trade
from tickplant.streams import entry_order
from workers.isolation import NO_TRADES, EntryPart, Fields, Isolation, part_of, split_entry
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams
from workers.trimming import Entry

_log = logging.getLogger(__name__)

_READ_ENTRIES: Final = 64

Load = Callable[[], Awaitable[PartitionState]]
Write = Callable[[PartitionState, CommitBatch], Awaitable[None]]


class IsolatedCommit:
    """One owner's second try at entries of which a transaction was refused."""

    def __init__(
        self,
        *,
        pool: Pool,
        streams: PartitionStreams,
        isolation: Isolation,
        load: Load,
        write: Write,
        committed: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        """Take what is needed.

        Args:
            pool: connections to the database.
            streams: of the partition.
            isolation: learns what is refused.
            load: builds what is in memory from what is stored.
            write: commits a batch, and tells what follows from it.
            committed: returns the last committed entry.
            clock: a clock that never goes back, in seconds.
        """
        self._pool = pool
        self._streams = streams
        self._isolation = isolation
        self._load = load
        self._write = write
        self._committed = committed
        self._clock = clock

    async def store(self, last: str) -> PartitionState:
        """Store the entries after the committed one up to another.

        Args:
            last: the last one; all of them have been published.

        Returns:
            What is in memory then.

        Raises:
            UnstorableError: what is refused belongs to no symbol.
        """
        maker = await self._load()
        await self._streams.rewind(self._committed())
        while entry_order(self._committed()) < entry_order(last):
            read = await self._streams.publish_and_read(None, "", count=_READ_ENTRIES, block_ms=1)
            entries = [entry for entry in read if entry_order(entry[0]) <= entry_order(last)]
            if not entries:
                break
            maker = await self._store(maker, entries)
        await self._streams.rewind(self._committed())  # what lies after the last one is to be published, too
        return maker

    async def _store(self, maker: PartitionState, entries: Sequence[Entry]) -> PartitionState:
        """Store entries in one transaction or, where it is refused, by halves."""
        kept_out = []
        try:
            for entry_id, fields in entries:
                rest, aside = self._isolation.filter(fields, self._clock())
                kept_out += [(entry_id, *each) for each in aside]
                self._absorb(maker, entry_id, rest)
            await self._write(maker, maker.take_batch())
        except UnstorableError:
            maker = await self._load()
        else:
            for entry_id, reason, trades in kept_out:
                await self._streams.keep_unstorable(entry_id, trades, reason)
            return maker
        if len(entries) == 1:
            return await self._store_parts(maker, entries[0])
        middle = len(entries) // 2
        maker = await self._store(maker, entries[:middle])
        return await self._store(maker, entries[middle:])

    async def _store_parts(self, maker: PartitionState, entry: Entry) -> PartitionState:
        """Store an entry symbol by symbol, and move on."""
        entry_id, fields = entry
        rest, aside = self._isolation.filter(fields, self._clock())
        for reason, trades in aside:
            await self._streams.keep_unstorable(entry_id, trades, reason)
        for part in split_entry(rest):
            maker = await self._store_part(maker, entry_id, part)
        self._absorb(maker, entry_id, NO_TRADES)
        await self._write(maker, maker.take_batch())
        return maker

    async def _store_part(self, maker: PartitionState, entry_id: str, part: EntryPart) -> PartitionState:
        """Store what an entry says of a symbol or, where that is refused, what of it can be stored."""
        try:
            await self._commit_part(maker, entry_id, part)
        except UnstorableError as error:
            reason = str(error)
        else:
            return maker
        maker = await self._load()
        found = await find_unstorable(self._pool, part.trades)
        rest = [trade for place, trade in enumerate(part.trades) if place not in found]
        if found and rest:
            (name,) = part.fields
            try:
                await self._commit_part(maker, entry_id, part_of(part.symbol, name, rest))
            except UnstorableError as error:
                reason = str(error)
                maker = await self._load()
            else:
                refused = [part.trades[place] for place in found]
                await self._put_aside(entry_id, part, refused, next(iter(found.values())))
                return maker
        await self._put_aside(entry_id, part, part.trades, reason)
        return maker

    async def _commit_part(self, maker: PartitionState, entry_id: str, part: EntryPart) -> None:
        self._absorb(maker, entry_id, part.fields)
        await self._write(maker, maker.take_batch()._replace(entry_id=self._committed()))

    async def _put_aside(self, entry_id: str, part: EntryPart, trades: Sequence[Trade], reason: str) -> None:
        if part.symbol is not None:
            self._isolation.note_refused(part.symbol, trades, reason, self._clock())
        if trades:
            await self._streams.keep_unstorable(entry_id, trades, reason)
        else:
            await self._streams.keep_dead_letter((entry_id, part.fields), f"not storable: {reason}")
        whose = f"{part.symbol}: {len(trades)} trades" if trades else f"{part.symbol or 'a change'}: an entry"
        _log.error(
            "%s can't be stored; kept as dead letters, the rest goes on: %s",
            whose,
            reason,
            extra={"entry": entry_id},
        )

    def _absorb(self, maker: PartitionState, entry_id: str, fields: Fields) -> None:
        with suppress(PoisonError):  # it was put aside when it was absorbed first
            maker.absorb(entry_id, fields, published=entry_id)
        tell_missing(maker, entry_id, self._isolation)


def tell_missing(maker: PartitionState, entry_id: str, isolation: Isolation) -> None:
    """Say of refused trades that are known to be missing by now that nobody need ask for them.

    Args:
        maker: learns it.
        entry_id: the entry it has just absorbed.
        isolation: knows them.
    """
    for verdict in isolation.take_missing(maker.missing_of):
        maker.absorb(entry_id, {wire.VERDICT: wire.encode_verdict(verdict)}, published=entry_id)
