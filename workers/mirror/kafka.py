"""The Kafka producer: delivers records, and logs outages of Kafka."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tickplant import metrics
from tickplant.errors import FatalError
from tickplant.outage import OutageLog
from workers.mirror.records import Record

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.01
_DOWN_S: Final = 1.0
"""Time without progress that is logged as an outage while no broker is connected."""
_SLOW_S: Final = 10.0
"""The same while one is."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "client.id": "tickplant-mirror",
    "compression.type": "zstd",
    "linger.ms": 20,
    # As Java's producers assign keys to partitions, so that topics can be joined with others.
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 131_072,
    "reconnect.backoff.max.ms": 5_000,
    "log_level": 2,  # the mirror logs outages itself
}
_FIXED: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    # No timeout: later records would overtake one that is dropped.
    "message.timeout.ms": 0,
}


_POISON: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG)
"""Errors that the same record would cause again."""


class RecordDelivery:
    """The delivery of one entry's records.

    Attributes:
        pending: number of records that Kafka has neither acknowledged nor refused.
        error: of a record that Kafka may accept later.
        poison: error of a record that Kafka will never accept.
    """

    __slots__ = ("entry_id", "error", "pending", "poison", "records")

    def __init__(self, entry_id: str, records: Sequence[Record]) -> None:
        self.entry_id = entry_id
        self.records = records
        self.pending = len(records)
        self.error: KafkaError | None = None
        self.poison: KafkaError | None = None

    def __call__(self, error: KafkaError | None, message: Message | None) -> None:
        """Handle the delivery report of one record; `error` is None if it is acknowledged."""
        self.pending -= 1
        if error is None:
            return
        if error.code() in _POISON:
            self.poison = error
        else:
            self.error = error


class KafkaProducer:
    """One producer for all partitions of a process."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        """Create a producer.

        Args:
            properties: librdkafka's, `bootstrap.servers` among them.

        Raises:
            FatalError: librdkafka refuses them.
        """
        self._properties = {**_DEFAULTS, **properties, **_FIXED, "error_cb": self._on_error}
        self._producer = self._open()
        self._retired: list[Producer] = []
        self._failed = False
        self._down = False
        self._reason = ""
        self._outage = OutageLog(_log, "Kafka accepts no records, retrying", "Kafka accepts records again")
        self._clock = asyncio.get_running_loop().time
        self._progress_s = self._clock()

    async def send(self, delivery: RecordDelivery, is_over: Callable[[], bool]) -> None:
        """Enqueue an entry's records, waiting while the producer's queue is full.

        Args:
            delivery: of the records.
            is_over: returns whether to stop waiting; records that are not enqueued stay pending.
        """
        headers: list[tuple[str, str | bytes | None]] = [("entry", delivery.entry_id.encode())]
        if not len(self._producer):
            self._progress_s = self._clock()
        for record in delivery.records:
            while not self._produce(record, headers, delivery):
                if is_over():
                    return
                await asyncio.sleep(_POLL_S)

    def _produce(self, record: Record, headers: Any, delivery: RecordDelivery) -> bool:
        try:
            self._producer.produce(
                record.topic, record.value, record.key, headers=headers, on_delivery=delivery
            )
        except BufferError:
            return False
        except KafkaException as error:
            delivery(error.args[0], None)
        return True

    def confirmed(self, records: Iterable[Record]) -> None:
        """Note that Kafka has acknowledged records."""
        for topic, count in Counter(record.topic for record in records).items():
            metrics.MIRROR_RECORDS.labels(topic).inc(count)
        self._progress_s = self._clock()
        self._down, self._reason = False, ""
        self._outage.note_success()

    async def poll(self) -> NoReturn:
        """Handle Kafka's acknowledgements and errors until cancelled."""
        while True:
            handled = sum(producer.poll(0) for producer in (self._producer, *self._retired))
            self._retired = [producer for producer in self._retired if len(producer)]
            waiting = len(self._producer)
            metrics.MIRROR_UNCONFIRMED.set(waiting)
            if self._failed:
                self._replace()
            elif waiting and self._clock() - self._progress_s > (_DOWN_S if self._down else _SLOW_S):
                self._outage.note_failure(self._reason or "it does not answer")
            await asyncio.sleep(0 if handled else _POLL_S)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True
        else:
            self._reason = error.str()
        if error.fatal():
            self._failed = True

    def _replace(self) -> None:
        """Replace a failed producer; its pending records are refused, and sent again."""
        _log.warning("the producer failed and is replaced: %s", self._reason)
        self._producer.purge()
        self._retired.append(self._producer)
        self._producer = self._open()
        self._failed = False

    def _open(self) -> Producer:
        try:
            return Producer(self._properties)
        except KafkaException as error:
            raise FatalError(f"TICKPLANT_KAFKA_PROPERTIES: {error.args[0].str()}") from error
