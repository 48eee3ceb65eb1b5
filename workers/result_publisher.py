"""Publishes what has been committed: results to consumers, and open gaps to ingest."""

import logging
from collections.abc import Iterable

from msgspec.structs import replace

from db.alerts.firings import read_firings_of_entry
from db.bot.states import read_bot_states
from db.candle_rows import read_last_closed
from db.commit import CommitBatch, CommitResult
from db.gaps import read_open_gaps
from db.leases import Lease
from db.outliers import Outlier
from db.pool import Pool
from db.signals import read_signals_of_entry
from tickplant.wire import LiveUpdate
from workers.partition_metrics import PartitionMetrics
from workers.partition_state import PartitionState
from workers.partition_streams import PartitionStreams

_log = logging.getLogger(__name__)


class ResultPublisher:
    """Publishes the results of one owner's commits."""

    def __init__(
        self, *, lease: Lease, pool: Pool, streams: PartitionStreams, metrics: PartitionMetrics
    ) -> None:
        """Take what is needed.

        Args:
            lease: of the partition, as it was taken.
            pool: connections to the database.
            streams: of the partition.
            metrics: note what is published.
        """
        self._lease = lease
        self._pool = pool
        self._streams = streams
        self._metrics = metrics

    async def republish(self, state: PartitionState, *, results_published: bool) -> None:
        """Publish again what the former owner may have committed without publishing it.

        Args:
            state: just loaded.
            results_published: whether the results of its last commit have been published.
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
        gaps = await read_open_gaps(self._pool, partition)
        self._metrics.symbols.note_open_gaps(gaps)
        await self._streams.write_open_gaps(state.gaps_for_ingest(gaps))

    async def publish(self, state: PartitionState, batch: CommitBatch, committed: CommitResult) -> None:
        """Publish the results of a batch that has been committed, and log its outliers."""
        update = replace(batch.to_publish, candles=tuple(committed.candles), gaps=tuple(committed.gaps))
        if update != LiveUpdate():
            self._metrics.note_update(update)
            await self._streams.publish_results(update, batch.entry_id)
        if committed.open_gaps:
            await self._streams.write_open_gaps(state.gaps_for_ingest(committed.open_gaps))
        _log_outliers(batch.outliers)


def _log_outliers(outliers: Iterable[Outlier]) -> None:
    for outlier in outliers:
        trade, confirmation = outlier.trade, "confirmed" if outlier.confirmed else "not confirmed yet"
        symbol = f"{trade.venue}:{trade.symbol} trade {trade.trade_id}"
        _log.warning("%s: price %s after %s, %s", symbol, trade.price, outlier.last_price, confirmation)
