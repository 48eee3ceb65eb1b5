"""One owned partition: reads entries, publishes live changes at once, commits in batches, trims."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from db.candle_rows import read_open_candles
from db.commit import CommitBatch, commit
from db.future_watermarks import REASON, reset_future_watermarks
from db.leases import Lease, raise_epoch
from db.ledger import read_ledger
from db.pool import Pool
from db.provenance import claim_database_source
from tickplant import metrics
from tickplant.clock import now_us
from tickplant.errors import LaterEpochError, PoisonError, UnstorableError
from tickplant.redis_agreement import read_redis_source
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE
from tickplant.streams import entry_order
from tickplant.wire import LiveUpdate
from workers.commit_schedule import CommitPolicy, CommitSchedule
from workers.isolated_commit import IsolatedCommit, apply_missing
from workers.isolation import Fields, Isolation
from workers.loading import RoleSettings, load_admissions, load_roles
from workers.partition_dead_letters import PartitionDeadLetters
from workers.partition_metrics import PartitionMetrics
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams, PublishedPosition, later
from workers.rejections import RejectedTrade, Rejection, contradiction, rejection_of
from workers.result_publisher import ResultPublisher
from workers.strategies.runner import StrategyFailure
from workers.trimming import Entry

_log = logging.getLogger(__name__)


_READ_ENTRIES: Final = 32
"""Entries returned by one read; at 500 trades an entry this bounds the memory of a worker."""
_MAX_ABSORB_S: Final = 0.25
"""How long entries are absorbed without a pause; only a slow strategy takes longer."""
_LAG_INTERVAL_S: Final = 1.0

_KEPT: Final = "they are read again"
_NOT_KEPT: Final = (
    "they are read again as far as Redis has kept them (TICKPLANT_STREAM_KEEP_S); trades before are fetched"
    " from the venues' history by their ids"
)


class Partition:
    """The work of one owner on one partition, from taking it to releasing it."""

    def __init__(
        self,
        *,
        lease: Lease,
        partitions: int,
        pool: Pool,
        redis: RedisClient,
        policy: CommitPolicy,
        roles: RoleSettings,
        keep_s: float = 0,
    ) -> None:
        self._lease = lease
        self._partitions = partitions
        self._pool = pool
        self._redis = redis
        self._streams = PartitionStreams(redis, lease, keep_s=keep_s)
        self._dead_letters = PartitionDeadLetters(redis, lease)
        self._claimed = False
        self._roles = roles
        self._committed = lease.entry_id
        self._absorbed = self._resumed = self._published = lease.entry_id
        self._commit: asyncio.Task[None] | None = None
        self._isolation = Isolation()
        self._metrics = PartitionMetrics(lease, [strategy.name for strategy in roles.strategies])
        self._results = ResultPublisher(lease=lease, pool=pool, streams=self._streams, metrics=self._metrics)
        self._clock = time.monotonic
        self._schedule = CommitSchedule(policy, self._clock())
        self._entries_at_once = 1  # doubled while strategies are quick
        self._last_lag_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Process entries until `stop` is set; then commit everything read.

        After any error the state in memory is discarded: the next owner, perhaps this process, starts at the
        last committed entry.

        Raises:
            LeaseLostError: another owner has the partition.
        """
        former = await self._take()
        self._resumed = self._published = later(former.published, self._lease.entry_id)
        try:
            state = await self._load()
            published = entry_order(former.results) >= entry_order(self._lease.entry_id)
            await self._results.republish(state, results_published=published)
            while not await self._process(state, stop):
                state = await self._store_isolated()
        finally:
            if self._commit is not None:
                # Awaited, not cancelled: the fence decides whether it counts.
                await asyncio.gather(self._commit, return_exceptions=True)
            self._metrics.remove()

    async def _take(self) -> PublishedPosition:
        """Become the owner in Redis; note what the database has lost.

        Raises:
            LeaseLostError: another owner has the partition, or the lease has to be taken again.
        """
        lease = self._lease
        try:
            former = await self._streams.take()
        except LaterEpochError as error:
            if await raise_epoch(self._pool, lease, error.epoch):
                _log.warning(
                    "partition %d: Redis knows epoch %d, and the database only %d: it was restored from a"
                    " backup, or a promoted replica lacks the last commits; the lease is taken again",
                    *(lease.partition, error.epoch, lease.epoch),
                )
            raise
        if entry_order(former.committed) > entry_order(lease.entry_id):
            kept = await self._streams.holds(lease.entry_id)
            metrics.WORKER_LOST_COMMITS.inc()
            _log.warning(
                "partition %d: the database has lost the commits of the entries after %s up to %s (it was"
                " restored from a backup, or a promoted replica lacks them): %s",
                *(lease.partition, lease.entry_id, former.committed, _KEPT if kept else _NOT_KEPT),
                extra={"entry": lease.entry_id},
            )
        return former

    async def _process(self, state: PartitionState, stop: asyncio.Event) -> bool:
        """Process entries until `stop` is set; return False if the database refuses the content of rows."""
        try:
            while not stop.is_set():
                await self._step(state)
            await self._finish(state)
        except UnstorableError as error:
            _log.warning(
                "partition %d: the database refuses rows; storing the entries after %s one by one: %s",
                *(self._lease.partition, self._committed, error),
            )
            self._commit = None
            update = state.take_live(candles=False, longer_candles=False)
            if update is not None:
                await self._streams.publish(update, self._published_with_it())
            self._resumed = self._published_with_it()
            return False
        return True

    async def _store_isolated(self) -> PartitionState:
        """Store the entries of the refused batch one by one; return the state after that."""
        isolated = IsolatedCommit(
            pool=self._pool,
            streams=self._streams,
            dead_letters=self._dead_letters,
            isolation=self._isolation,
            load=self._load,
            write=self._write,
            committed=lambda: self._committed,
            clock=self._clock,
        )
        return await isolated.store(self._absorbed)

    async def _load(self) -> PartitionState:
        """Restore the state as of the last commit from the database."""
        self._isolation.reset()
        partition = self._lease.partition
        lease = self._lease._replace(entry_id=self._committed)
        removed = await reset_future_watermarks(self._pool, lease, now_us(), specs=self._roles.averages)
        await self._dead_letters.write_rejections(
            [rejection_of(self._committed, RejectedTrade(trade, "time", REASON)) for trade in removed]
        )
        ledger = await read_ledger(self._pool, partition)
        self._metrics.symbols.note_ledger(ledger)
        candles = await read_open_candles(self._pool, partition)
        roles = await load_roles(self._pool, partition, self._roles, ledger, candles)
        admissions = await load_admissions(self._pool, partition)
        return PartitionState(partition, self._partitions, ledger, candles, roles, admissions)

    async def _step(self, state: PartitionState) -> None:
        """Publish, read the next entries, absorb them, and start a commit if one is due."""
        block_ms = self._schedule.block_ms(state, self._clock(), committing=self._commit is not None)
        update, published = self._take_live(state), self._published_with_it()
        if update is None:
            self._published = published
        entries = await self._streams.publish_and_read(
            update, published, count=_READ_ENTRIES, block_ms=block_ms
        )
        self._metrics.note_read([entry_id for entry_id, _ in entries])
        if entries and not self._claimed:
            self._claimed = await self._claim_source()
        started_s = self._clock()
        if entries and not state.pending:
            self._schedule.note_first_pending(started_s)
        while entries:
            if self._clock() - started_s >= _MAX_ABSORB_S:
                await self._pause(state)
                started_s = self._clock()
            applied = await self._absorb_trades(state, entries)
            if not applied:
                await self._absorb(state, *entries[0])
            entries = entries[applied or 1 :]
        if self._commit is not None and self._commit.done():
            self._commit.result()
            self._commit = None
        committing = self._commit is not None
        if state.pending and self._schedule.commit_due(state, self._clock(), committing=committing):
            await self._start_commit(state)

    async def _absorb_trades(self, state: PartitionState, entries: Sequence[Entry]) -> int:
        """Absorb the entries of trades at the start of a read at once; return how many they are."""
        if self._isolation.is_active(self._clock()):
            return 0
        started_s = self._clock()
        applied = state.absorb_trades(entries[: self._entries_at_once], published=self._resumed)
        if applied:
            await self._reject(state.take_rejections())
            self._absorbed = entries[applied - 1][0]
            slow = self._clock() - started_s >= _MAX_ABSORB_S / 4
            at_once = self._entries_at_once
            self._entries_at_once = max(1, at_once // 2) if slow else min(2 * at_once, _READ_ENTRIES)
        return applied

    async def _absorb(self, state: PartitionState, entry_id: str, fields: Fields) -> None:
        """Absorb one entry; write what is not stored of it as dead letters."""
        fields = await self._without_isolated(entry_id, fields)
        try:
            state.absorb(entry_id, fields, published=self._resumed)
        except PoisonError as error:
            self._metrics.poison.inc()
            _log.warning("entry %s is now a dead letter: %s", entry_id, error, extra={"entry": entry_id})
            await self._dead_letters.write_entry((entry_id, fields), str(error))
        await self._reject(state.take_rejections())
        apply_missing(state, entry_id, self._isolation)
        self._absorbed = entry_id

    async def _claim_source(self) -> bool:
        """Claim the source of the trades in the database; return whether the source is known.

        Raises:
            MixedSourcesError: the database holds trades from another source.
        """
        try:
            source = await read_redis_source(self._redis)
        except OUTAGE:
            if not self._redis.sharded:
                raise
            source = None  # another server has it, which is away
        if source is not None:
            await claim_database_source(self._pool, source)
        return source is not None

    async def _reject(self, rejections: Sequence[Rejection]) -> None:
        """Write rejected trades as dead letters, unless a former owner has done so."""
        resumed = entry_order(self._resumed)
        new = [rejection for rejection in rejections if entry_order(rejection.entry_id) > resumed]
        if new:
            self._metrics.note_rejections(new)
            _log.warning("%d trades rejected, now dead letters; the first: %s", len(new), new[0].reason)
            await self._dead_letters.write_rejections(new)

    async def _without_isolated(self, entry_id: str, fields: Fields) -> Fields:
        """Write the trades of isolated symbols as dead letters; return the rest of an entry."""
        rest, isolated = self._isolation.filter(fields, self._clock())
        for reason, trades in isolated:
            await self._dead_letters.write_unstorable(entry_id, trades, reason)
        return rest

    async def _pause(self, state: PartitionState) -> None:
        """Publish and commit what has been absorbed before absorbing more.

        With a slow strategy, absorbing one read can take longer than a transaction may be idle, or a lease
        lasts: then nothing would ever be stored.
        """
        update = self._take_live(state)
        if update is not None:
            await self._streams.publish(update, self._published_with_it())
        await self._commit_all(state)
        self._schedule.note_first_pending(self._clock())

    def _published_with_it(self) -> str:
        """Return the last entry whose trades are published once what has been absorbed is.

        A former owner may have published more, which the next one must not publish a second time if this one
        ends before it has caught up.
        """
        return later(self._absorbed, self._resumed)

    def _take_live(self, state: PartitionState) -> LiveUpdate | None:
        now_s = self._clock()
        longer = self._schedule.longer_candles_due(now_s)
        candles = longer or self._schedule.candles_due(now_s)
        update = state.take_live(candles=candles, longer_candles=longer)
        if update is not None and candles:
            self._schedule.note_candles(now_s, longer=longer)
        self._metrics.note_update(update)
        return update

    async def _start_commit(self, state: PartitionState) -> None:
        if self._commit is not None:
            await self._commit
        self._commit = asyncio.create_task(self._write(state, state.take_batch()))
        for failure in state.take_failures():
            await self._report_failure(failure)

    async def _report_failure(self, failure: StrategyFailure) -> None:
        """Log a failed strategy, and write its traceback as a dead letter."""
        metrics.WORKER_STRATEGY_FAILURES.labels(failure.strategy).inc()
        _log.error(
            "strategy %s disabled for %s:%s: %s\n%s",
            *(failure.strategy, failure.venue, failure.symbol, failure.reason, failure.traceback),
            extra={"venue": failure.venue, "symbol": failure.symbol},
        )
        await self._dead_letters.write_failure(failure)

    async def _write(self, state: PartitionState, batch: CommitBatch) -> None:
        """Commit a batch, publish its results, and trim the stream."""
        with self._metrics.committing():
            committed = await commit(self._pool, self._lease, self._committed, batch)
        self._committed = batch.entry_id
        now_s = self._clock()
        self._schedule.note_commit(now_s)
        self._metrics.note_committed(batch, committed)
        await self._results.publish(state, batch, committed)
        await self._reject([contradiction(batch.entry_id, trade) for trade in committed.contradictions])
        await self._streams.trim(batch.entry_id, self._published)
        if now_s - self._last_lag_s >= _LAG_INTERVAL_S:
            self._last_lag_s = now_s
            self._metrics.note_unread(await self._streams.lag())

    async def _finish(self, state: PartitionState) -> None:
        update = state.take_live(candles=True, longer_candles=True)
        if update is not None:
            await self._streams.publish(update, self._published_with_it())
        await self._commit_all(state)

    async def _commit_all(self, state: PartitionState) -> None:
        """Commit everything absorbed, and wait for it."""
        if state.pending:
            await self._start_commit(state)
        if self._commit is not None:
            await self._commit
            self._commit = None
