"""One owned partition: reads entries, publishes live changes at once, commits in batches, trims."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from db.alerts.firings import read_firings_of_entry
from db.bot.states import read_bot_states
from db.candle_rows import read_last_closed, read_open_candles
from db.commit import CommitBatch, CommitResult, commit
from db.future_watermarks import REASON, reset_future_watermarks
from db.gaps import read_open_gaps
from db.leases import Lease
from db.ledger import read_ledger
from db.pool import Pool
from db.provenance import claim_database_source
from db.signals import read_signals_of_entry
from tickplant import metrics
from tickplant.clock import now_us
from tickplant.errors import PoisonError, UnstorableError
from tickplant.redis_client import RedisClient, read_redis_source
from tickplant.streams import entry_order
from tickplant.wire import LiveUpdate
from workers.isolated_commit import IsolatedCommit, apply_missing
from workers.isolation import Fields, Isolation
from workers.loading import RoleSettings, load_admissions, load_roles
from workers.partition_metrics import PartitionMetrics
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams, later
from workers.rejections import RejectedTrade, Rejection, contradiction_reason, rejection_of
from workers.strategies.runner import StrategyFailure

_log = logging.getLogger(__name__)


class CommitPolicy(NamedTuple):
    """When a batch is committed: as soon as any of these holds."""

    interval_s: float
    """Time since the first trade of the batch."""
    trades: int
    """Trades in the batch."""
    idle_s: float = 5.0
    """Time since the last commit, where there are only clock entries to commit."""


_READ_ENTRIES: Final = 32
"""Entries taken in one read; at 500 trades an entry this bounds what a worker holds at once."""
_IDLE_READ_MS: Final = 250
"""How long a read waits where nothing is due; a stop waits as long at the most."""
_LONG_S: Final = 0.25
"""How long entries are absorbed without a pause; only a slow strategy takes longer."""
_LAG_INTERVAL_S: Final = 1.0
_CANDLES_INTERVAL_S: Final = 0.05
"""Open candles are published at most this often; trades and prices at once."""


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
    ) -> None:
        self._lease = lease
        self._partitions = partitions
        self._pool = pool
        self._redis = redis
        self._streams = PartitionStreams(redis, lease)
        self._claimed = False
        self._policy = policy
        self._roles = roles
        self._committed = lease.entry_id
        self._absorbed = self._resumed = lease.entry_id
        self._commit: asyncio.Task[None] | None = None
        self._isolation = Isolation()
        self._metrics = PartitionMetrics(lease, [strategy.name for strategy in roles.strategies])
        self._clock = asyncio.get_running_loop().time
        self._first_pending_s = 0.0
        self._last_commit_s = self._clock()
        self._last_candles_s = 0.0
        self._last_lag_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then everything read is committed.

        After any error the state in memory is void: the next owner, perhaps this process, starts at the last
        committed entry.

        Raises:
            LeaseLostError: another owner has the partition.
        """
        taken = await self._streams.take()
        self._resumed = later(taken.published, self._lease.entry_id)
        try:
            state = await self._load()
            await self._republish(state, results_published=taken.told == self._lease.entry_id)
            while not await self._work(state, stop):
                state = await self._store_isolated()
        finally:
            if self._commit is not None:
                # Left to end, not cancelled: the fence decides whether it counts.
                await asyncio.gather(self._commit, return_exceptions=True)
            self._metrics.remove()

    async def _work(self, state: PartitionState, stop: asyncio.Event) -> bool:
        """Work until `stop` is set; return False where rows were refused for what they hold."""
        try:
            while not stop.is_set():
                await self._step(state)
            await self._finish(state)
        except UnstorableError as error:
            _log.warning(
                "partition %d: rows are refused, so entries after %s are stored one by one: %s",
                *(self._lease.partition, self._committed, error),
            )
            self._commit = None
            update = state.take_live(candles=False)
            if update is not None:
                await self._streams.publish(update, self._absorbed)
            self._resumed = later(self._resumed, self._absorbed)
            return False
        return True

    async def _store_isolated(self) -> PartitionState:
        """Store again what was refused; return the state after that."""
        apart = IsolatedCommit(
            pool=self._pool,
            streams=self._streams,
            isolation=self._isolation,
            load=self._load,
            write=self._write,
            committed=lambda: self._committed,
            clock=self._clock,
        )
        return await apart.store(self._absorbed)

    async def _load(self) -> PartitionState:
        self._isolation.reset()
        partition = self._lease.partition
        lease = self._lease._replace(entry_id=self._committed)
        removed = await reset_future_watermarks(self._pool, lease, now_us(), specs=self._roles.averages)
        await self._streams.keep_rejections(
            [rejection_of(self._committed, RejectedTrade(it, "time", REASON)) for it in removed]
        )
        ledger = await read_ledger(self._pool, partition)
        self._metrics.symbols.note_ledger(ledger)
        candles = await read_open_candles(self._pool, partition)
        roles = await load_roles(self._pool, partition, self._roles, ledger, candles)
        admissions = await load_admissions(self._pool, partition)
        return PartitionState(partition, self._partitions, ledger, candles, roles, admissions)

    async def _republish(self, state: PartitionState, *, results_published: bool) -> None:
        """Publish again what the former owner may have committed without publishing it.

        Args:
            state: just loaded.
            results_published: whether it has published the results of its last commit.
        """
        partition, entry_id = self._lease.partition, self._lease.entry_id
        update = LiveUpdate(candles=tuple(await read_last_closed(self._pool, partition)))
        if not results_published:
            bots = await read_bot_states(self._pool, partition)
            update = replace(
                update,
                signals=tuple(await read_signals_of_entry(self._pool, partition, entry_id)),
                firings=tuple(await read_firings_of_entry(self._pool, partition, entry_id)),
                accounts=tuple(bot.account for bot in bots.accounts.values()),
            )
        if update != LiveUpdate():
            await self._streams.publish_results(update, entry_id)
        gaps = await read_open_gaps(self._pool, self._lease.partition)
        self._metrics.symbols.note_open_gaps(gaps)
        await self._streams.write_open_gaps(state.gaps_for_ingest(gaps))

    async def _step(self, state: PartitionState) -> None:
        block_ms = self._block_ms(state)
        entries = await self._streams.publish_and_read(
            self._take_live(state), self._absorbed, count=_READ_ENTRIES, block_ms=block_ms
        )
        self._metrics.note_read([entry_id for entry_id, _ in entries])
        if entries and not self._claimed:
            self._claimed = await self._claim_source()
        began_s = self._clock()
        if entries and not state.pending:
            self._first_pending_s = began_s
        for entry_id, fields in entries:
            if self._clock() - began_s >= _LONG_S:
                await self._pause(state)
                began_s = self._clock()
            fields = await self._without_unstorable(entry_id, fields)
            try:
                state.absorb(entry_id, fields, published=self._resumed)
            except PoisonError as error:
                self._metrics.poison.inc()
                _log.warning("entry %s kept as a dead letter: %s", entry_id, error, extra={"entry": entry_id})
                await self._streams.keep_dead_letter((entry_id, fields), str(error))
            await self._keep_rejections(state.take_rejections())
            apply_missing(state, entry_id, self._isolation)
            self._absorbed = entry_id
        if self._commit is not None and self._commit.done():
            self._commit.result()
            self._commit = None
        if state.pending and self._due(state):
            await self._start_commit(state)

    async def _claim_source(self) -> bool:
        """Note in the database where the trades come from that were read; return whether that is known.

        Raises:
            MixedSourcesError: the database holds trades from elsewhere.
        """
        source = await read_redis_source(self._redis)
        if source is not None:
            await claim_database_source(self._pool, source)
        return source is not None

    async def _keep_rejections(self, rejections: Sequence[Rejection]) -> None:
        """Keep rejected trades as dead letters, unless a former owner has done so."""
        resumed = entry_order(self._resumed)
        new = [it for it in rejections if entry_order(it.entry_id) > resumed]
        if new:
            self._metrics.note_rejections(new)
            _log.warning("%d trades rejected, kept as dead letters; the first: %s", len(new), new[0].reason)
            await self._streams.keep_rejections(new)

    async def _without_unstorable(self, entry_id: str, fields: Fields) -> Fields:
        """Keep the trades of isolated symbols as dead letters, and return the rest of an entry."""
        rest, aside = self._isolation.filter(fields, self._clock())
        for reason, trades in aside:
            await self._streams.keep_unstorable(entry_id, trades, reason)
        return rest

    async def _pause(self, state: PartitionState) -> None:
        """Publish and store what there is before more is absorbed.

        Where a strategy is slow, a read can take longer than a transaction may stand still, or a lease lasts:
        then nothing would ever be stored.
        """
        update = self._take_live(state)
        if update is not None:
            await self._streams.publish(update, self._absorbed)
        await self._commit_all(state)
        self._first_pending_s = self._clock()

    def _take_live(self, state: PartitionState) -> LiveUpdate | None:
        now_s = self._clock()
        candles = now_s - self._last_candles_s >= _CANDLES_INTERVAL_S
        update = state.take_live(candles=candles)
        if update is not None and candles:
            self._last_candles_s = now_s
        self._metrics.note_update(update)
        return update

    def _block_ms(self, state: PartitionState) -> int:
        """Return how long a read may wait: until the next commit or the next candles are due."""
        if self._commit is not None and (state.pending_trades or state.urgent):
            return 10
        now_s = self._clock()
        due_s = now_s + _IDLE_READ_MS / 1000
        if state.candles_changed:
            due_s = min(due_s, self._last_candles_s + _CANDLES_INTERVAL_S)
        if state.pending_trades or state.duplicates:
            due_s = min(due_s, self._first_pending_s + self._policy.interval_s)
        return max(1, int((due_s - now_s) * 1000))

    def _due(self, state: PartitionState) -> bool:
        if self._commit is not None:
            # One commit at a time; while it is under way the next batch grows, to twice its size at most.
            return state.pending_trades >= 2 * self._policy.trades
        if state.urgent or state.pending_trades >= self._policy.trades:
            return True
        if state.pending_trades or state.duplicates:
            return self._clock() - self._first_pending_s >= self._policy.interval_s
        return self._clock() - self._last_commit_s >= self._policy.idle_s

    async def _start_commit(self, state: PartitionState) -> None:
        if self._commit is not None:
            await self._commit
        self._commit = asyncio.create_task(self._write(state, state.take_batch()))
        for failure in state.take_failures():
            await self._report_failure(failure)

    async def _report_failure(self, failure: StrategyFailure) -> None:
        """Log a failed strategy, and keep its traceback as a dead letter."""
        metrics.WORKER_STRATEGY_FAILURES.labels(failure.strategy).inc()
        _log.error(
            "strategy %s stopped for %s:%s: %s\n%s",
            *(failure.strategy, failure.venue, failure.symbol, failure.reason, failure.traceback),
            extra={"venue": failure.venue, "symbol": failure.symbol},
        )
        await self._streams.keep_failure(failure)

    async def _write(self, state: PartitionState, batch: CommitBatch) -> None:
        with self._metrics.committing():
            committed = await commit(self._pool, self._lease, self._committed, batch)
        self._committed = batch.entry_id
        self._last_commit_s = self._clock()
        self._metrics.note_committed(batch, committed)
        await self._after_commit(state, committed, batch)

    async def _after_commit(self, state: PartitionState, committed: CommitResult, batch: CommitBatch) -> None:
        update = replace(batch.to_publish, candles=tuple(committed.candles), gaps=tuple(committed.gaps))
        if update != LiveUpdate():
            self._metrics.note_update(update)
            await self._streams.publish_results(update, batch.entry_id)
        if committed.open_gaps:
            await self._streams.write_open_gaps(state.gaps_for_ingest(committed.open_gaps))
        for outlier in batch.outliers:
            trade, confirmation = outlier.trade, "confirmed" if outlier.confirmed else "not confirmed yet"
            where = f"{trade.venue}:{trade.symbol} trade {trade.trade_id}"
            _log.warning("%s: price %s after %s, %s", where, trade.price, outlier.last_price, confirmation)
        reason = contradiction_reason(None)
        await self._keep_rejections(
            [
                rejection_of(batch.entry_id, RejectedTrade(trade, "contradiction", reason))
                for trade in committed.contradictions
            ]
        )
        await self._streams.trim(batch.entry_id)
        if self._last_commit_s - self._last_lag_s >= _LAG_INTERVAL_S:
            self._last_lag_s = self._last_commit_s
            self._metrics.note_unread(await self._streams.lag())

    async def _finish(self, state: PartitionState) -> None:
        update = state.take_live(candles=True)
        if update is not None:
            await self._streams.publish(update, self._absorbed)
        await self._commit_all(state)

    async def _commit_all(self, state: PartitionState) -> None:
        """Commit what has been absorbed, and wait until it is."""
        if state.pending:
            await self._start_commit(state)
        if self._commit is not None:
            await self._commit
            self._commit = None
