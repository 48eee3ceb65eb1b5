"""Mirrors one stream of one partition: reads entries, sends records, and commits what Kafka acknowledges."""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

from db.leases import Lease, advance
from db.pool import Pool
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.clock import now_us
from tickplant.errors import PoisonError
from tickplant.outage import OutageLog
from tickplant.streams import entry_order
from workers.mirror.kafka import KafkaProducer, RecordDelivery
from workers.mirror.records import Encoder, Extract
from workers.mirror.source import MirrorStream
from workers.mirror.topics import Topics
from workers.trimming import Entry

_log = logging.getLogger(__name__)

_READ_ENTRIES: Final = 32
_IDLE_READ_S: Final = 0.2
_POLL_S: Final = 0.02
_MOST_RECORDS: Final = 10_000
"""Records in flight; while there are more, nothing is read."""
_COMMIT_S: Final = 0.5
"""The minimum time between two commits."""
_DRAIN_S: Final = 5.0
"""How long the mirror continues after `stop` is set, at most."""


class RecordRefusedError(Exception):
    """Kafka has refused a record: everything after the committed entry is sent again."""


class MirrorPartition:
    """The work of one owner on one stream of a partition."""

    def __init__(
        self,
        *,
        lease: Lease,
        pool: Pool,
        source: MirrorStream,
        extract: Extract,
        encoder: Encoder,
        kafka: KafkaProducer,
        topics: Topics,
    ) -> None:
        """Take what is needed, which stays the caller's.

        Args:
            lease: under which to commit.
            pool: connections to the database.
            source: the stream.
            extract: returns what to mirror of an entry.
            encoder: encodes it as records.
            kafka: delivers them.
            topics: of the records.
        """
        self._lease = lease
        self._pool = pool
        self._source = source
        self._extract = extract
        self._encoder = encoder
        self._kafka = kafka
        self._topics = topics
        self._committed = self._confirmed = lease.entry_id
        self._in_flight: deque[RecordDelivery] = deque()
        self._records = 0
        self._clock = asyncio.get_running_loop().time
        self._last_commit_s = 0.0
        self._outage = OutageLog(
            _log, f"partition {lease.partition}, {lease.role}: Kafka refuses a record, retrying everything"
        )
        self._backoff = Backoff(first_s=0.5, cap_s=10.0)
        self._stopped_s: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Mirror until `stop` is set, and then the rest of the stream, for a few seconds at most.

        Raises:
            LeaseLostError: another owner has the partition.
        """
        while not stop.is_set():
            try:
                await self._mirror(stop)
            except RecordRefusedError as error:
                await self._commit()  # so that the records before it are not sent again
                self._outage.note_failure(f"after entry {self._committed}: {error}")
                self._topics.recheck()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._backoff.next_s())

    async def _mirror(self, stop: asyncio.Event) -> None:
        """Mirror from the committed entry until `stop` is set.

        Raises:
            RecordRefusedError: Kafka has refused a record.
        """
        self._in_flight.clear()
        self._records = 0
        self._confirmed = self._committed
        await self._source.seek(self._committed)
        if not await self._topics.ensure(stop):
            return
        done = False
        while not (done or self._is_over(stop)):
            entries = await self._read(stop)
            for entry in entries:
                await self._send(entry, stop)
                if self._is_over(stop):
                    break
            await self._confirm()
            done = stop.is_set() and not entries and not self._in_flight
        await self._commit()

    async def _read(self, stop: asyncio.Event) -> list[Entry]:
        """Return the next entries; none while too many records are in flight."""
        if self._records >= _MOST_RECORDS:
            await asyncio.sleep(_POLL_S)
            return []
        wait_s = _POLL_S if self._in_flight or stop.is_set() else _IDLE_READ_S
        return await self._source.read(count=_READ_ENTRIES, block_ms=int(wait_s * 1000))

    def _is_over(self, stop: asyncio.Event) -> bool:
        """Return whether `stop` was set too long ago to continue."""
        if stop.is_set() and self._stopped_s is None:
            self._stopped_s = self._clock()
        return self._stopped_s is not None and self._clock() - self._stopped_s > _DRAIN_S

    async def _send(self, entry: Entry, stop: asyncio.Event) -> None:
        entry_id, fields = entry
        try:
            records = self._encoder.encode(self._extract(fields))
        except PoisonError as error:
            self._skip(entry_id, str(error))
            records = []
        delivery = RecordDelivery(entry_id, records)
        self._in_flight.append(delivery)
        self._records += len(records)
        await self._kafka.send(delivery, lambda: self._is_over(stop))

    def _skip(self, entry_id: str, reason: str) -> None:
        metrics.WORKER_POISON.labels(self._lease.role).inc()
        _log.warning(
            "partition %d: part of entry %s is not mirrored: %s",
            self._lease.partition,
            entry_id,
            reason,
            extra={"entry": entry_id},
        )

    async def _confirm(self) -> None:
        """Remove acknowledged entries, in order, from those in flight; commit periodically."""
        while self._in_flight and not self._in_flight[0].pending:
            delivery = self._in_flight.popleft()
            self._records -= len(delivery.records)
            if delivery.poison is not None:
                self._skip(delivery.entry_id, delivery.poison.str())
            if delivery.error is not None:
                metrics.MIRROR_REFUSED.labels(self._lease.role).inc()
                raise RecordRefusedError(delivery.error.str())
            if delivery.records:
                self._kafka.confirmed(delivery.records)
                self._outage.note_success()
                self._backoff.reset()
            self._confirmed = delivery.entry_id
        behind_us = 0
        if self._in_flight:
            behind_us = now_us() - 1000 * entry_order(self._in_flight[0].entry_id)[0]
        metrics.MIRROR_LAG_S.labels(self._lease.role, self._lease.partition).set(max(0, behind_us) / 1e6)
        if self._clock() - self._last_commit_s >= _COMMIT_S:
            await self._commit()

    async def _commit(self) -> None:
        if self._confirmed == self._committed:
            return
        await advance(self._pool, self._lease, self._committed, self._confirmed)
        self._committed = self._confirmed
        self._last_commit_s = self._clock()
        await self._source.report_confirmed(self._committed)
