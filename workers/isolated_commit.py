"""Stores entries one by one, or symbol by symbol, after a transaction with all of them was refused.

So the rows whose content the database refuses are found and become dead letters, and everything else is
stored. A part of an entry is committed under the id of the entry before it: if a worker dies in between, the
next owner reads the whole entry again, and the ledger recognises what is stored already.
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
from workers.partition_dead_letters import PartitionDeadLetters
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams
from workers.trimming import Entry

_log = logging.getLogger(__name__)

_READ_ENTRIES: Final = 64

Load = Callable[[], Awaitable[PartitionState]]
Write = Callable[[PartitionState, CommitBatch], Awaitable[None]]


class IsolatedCommit:
    """One owner's second attempt at entries whose transaction was refused."""

    def __init__(
        self,
        *,
        pool: Pool,
        streams: PartitionStreams,
        dead_letters: PartitionDeadLetters,
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
            dead_letters: likewise.
            isolation: records what is refused.
            load: restores the state from the database.
            write: commits a batch, and publishes its results.
            committed: returns the last committed entry.
            clock: a monotonic clock, in seconds.
        """
        self._pool = pool
        self._streams = streams
        self._dead_letters = dead_letters
        self._isolation = isolation
        self._load = load
        self._write = write
        self._committed = committed
        self._clock = clock

    async def store(self, last: str) -> PartitionState:
        """Store the entries after the committed one.

        Args:
            last: the last entry to store; all of them have been published.

        Returns:
            The state after the last entry.

        Raises:
            UnstorableError: what is refused belongs to no symbol.
        """
        state = await self._load()
        await self._streams.rewind(self._committed())
        while entry_order(self._committed()) < entry_order(last):
            read = await self._streams.publish_and_read(None, "", count=_READ_ENTRIES, block_ms=1)
            entries = [entry for entry in read if entry_order(entry[0]) <= entry_order(last)]
            if not entries:
                break
            state = await self._store(state, entries)
        await self._streams.rewind(self._committed())  # to publish the entries after the last one, too
        return state

    async def _store(self, state: PartitionState, entries: Sequence[Entry]) -> PartitionState:
        """Store entries in one transaction or, where it is refused, by halves."""
        excluded = []
        try:
            for entry_id, fields in entries:
                rest, isolated = self._isolation.filter(fields, self._clock())
                excluded += [(entry_id, reason, trades) for reason, trades in isolated]
                self._absorb(state, entry_id, rest)
            await self._write(state, state.take_batch())
        except UnstorableError:
            state = await self._load()
        else:
            for entry_id, reason, trades in excluded:
                await self._dead_letters.write_unstorable(entry_id, trades, reason)
            return state
        if len(entries) == 1:
            return await self._store_parts(state, entries[0])
        middle = len(entries) // 2
        state = await self._store(state, entries[:middle])
        return await self._store(state, entries[middle:])

    async def _store_parts(self, state: PartitionState, entry: Entry) -> PartitionState:
        """Store an entry symbol by symbol."""
        entry_id, fields = entry
        rest, isolated = self._isolation.filter(fields, self._clock())
        for reason, trades in isolated:
            await self._dead_letters.write_unstorable(entry_id, trades, reason)
        for part in split_entry(rest):
            state = await self._store_part(state, entry_id, part)
        self._absorb(state, entry_id, NO_TRADES)
        await self._write(state, state.take_batch())
        return state

    async def _store_part(self, state: PartitionState, entry_id: str, part: EntryPart) -> PartitionState:
        """Store one symbol's part of an entry; if that is refused, its trades that can be stored."""
        try:
            await self._commit_part(state, entry_id, part)
        except UnstorableError as error:
            reason = str(error)
        else:
            return state
        state = await self._load()
        found = await find_unstorable(self._pool, part.trades)
        rest = [trade for index, trade in enumerate(part.trades) if index not in found]
        if found and rest:
            (name,) = part.fields
            try:
                await self._commit_part(state, entry_id, part_of(part.symbol, name, rest))
            except UnstorableError as error:
                reason = str(error)
                state = await self._load()
            else:
                refused = [part.trades[index] for index in found]
                await self._note_refused(entry_id, part, refused, next(iter(found.values())))
                return state
        await self._note_refused(entry_id, part, part.trades, reason)
        return state

    async def _commit_part(self, state: PartitionState, entry_id: str, part: EntryPart) -> None:
        self._absorb(state, entry_id, part.fields)
        await self._write(state, state.take_batch()._replace(entry_id=self._committed()))

    async def _note_refused(
        self, entry_id: str, part: EntryPart, trades: Sequence[Trade], reason: str
    ) -> None:
        """Write refused trades as dead letters, and count the refusal against their symbol."""
        if part.symbol is not None:
            self._isolation.note_refused(part.symbol, trades, reason, self._clock())
        if trades:
            await self._dead_letters.write_unstorable(entry_id, trades, reason)
        else:
            await self._dead_letters.write_entry((entry_id, part.fields), f"not storable: {reason}")
        count = f"{len(trades)} trades" if trades else "an entry"
        _log.error(
            "%s: the database refuses %s: written as dead letters; everything else is stored: %s",
            part.symbol or "a change",
            count,
            reason,
            extra={"entry": entry_id},
        )

    def _absorb(self, state: PartitionState, entry_id: str, fields: Fields) -> None:
        with suppress(PoisonError):  # it became a dead letter the first time
            state.absorb(entry_id, fields, published=entry_id)
        apply_missing(state, entry_id, self._isolation)


def apply_missing(state: PartitionState, entry_id: str, isolation: Isolation) -> None:
    """Mark refused trades that the ledger now misses as unrecoverable, so that ingest doesn't request them.

    Args:
        state: absorbs the verdicts.
        entry_id: the entry it has just absorbed.
        isolation: has the refused ids.
    """
    for verdict in isolation.take_missing(state.missing_of):
        state.absorb(entry_id, {wire.VERDICT: wire.encode_verdict(verdict)}, published=entry_id)
