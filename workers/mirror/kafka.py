"""The Kafka producer: records in flight, and log lines on Kafka's state."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tickplant import metrics
from tickplant.errors import FatalError
from workers.mirror.records import Record

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.01
_DOWN_S: Final = 1.0
_SLOW_S: Final = 10.0
"""Records that wait for so long, with no broker connected or with one, are worth a line in the log."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "client.id": "tickplant-mirror",
    "compression.type": "zstd",
    "linger.ms": 20,
    # The same partition of a key as Java's producers choose, so that topics can be joined with others.
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 131_072,
    "reconnect.backoff.max.ms": 5_000,
    "log_level": 2,  # the mirror logs once that Kafka is unavailable
}
_PROMISES: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    # For ever: a record that is given up would be overtaken by those after it.
    "message.timeout.ms": 0,
}


_POISON: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG)
"""Refusals of one record that would be repeated for ever."""


class RecordDelivery:
    """The records of one entry in flight.

    Attributes:
        left: records that Kafka has not answered for.
        error: why it refuses one that it may take later.
        poison: why it refuses one for good.
    """

    __slots__ = ("entry_id", "error", "left", "poison", "records")

    def __init__(self, entry_id: str, records: Sequence[Record]) -> None:
        self.entry_id = entry_id
        self.records = records
        self.left = len(records)
        self.error: KafkaError | None = None
        self.poison: KafkaError | None = None

    def __call__(self, error: KafkaError | None, message: Message | None) -> None:
        """Take Kafka's answer for one of the records: None, or why it refuses it."""
        self.left -= 1
        if error is None:
            return
        if error.code() in _POISON:
            self.poison = error
        else:
            self.error = error


class KafkaProducer:
    """One producer for all partitions of a process."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        """Take librdkafka's properties, `bootstrap.servers` among them.

        Raises:
            FatalError: librdkafka refuses them.
        """
        self._properties = {**_DEFAULTS, **properties, **_PROMISES, "error_cb": self._on_error}
        self._producer = self._open()
        self._retired: list[Producer] = []
        self._renew = False
        self._down = False
        self._reason = ""
        self._logged = False
        self._clock = asyncio.get_running_loop().time
        self._progress_s = self._clock()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Take Kafka's answers for as long as this lasts."""
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def send(self, delivery: RecordDelivery, is_over: Callable[[], bool]) -> None:
        """Hand an entry's records over, waiting while the producer's queue is full, unless all is over.

        What was not handed over then is never answered for, so the entry does not count.
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
        """Note that Kafka has records."""
        for topic, count in Counter(record.topic for record in records).items():
            metrics.MIRROR_RECORDS.labels(topic).inc(count)
        self._progress_s = self._clock()
        self._down, self._reason = False, ""
        if self._logged:
            self._logged = False
            _log.info("Kafka accepts records again")

    async def _poll(self) -> None:
        while True:
            answers = sum(producer.poll(0) for producer in (self._producer, *self._retired))
            self._retired = [producer for producer in self._retired if len(producer)]
            waiting = len(self._producer)
            metrics.MIRROR_UNCONFIRMED.set(waiting)
            if self._renew:
                self._replace()
            elif waiting and not self._logged:
                self._log_slow()
            await asyncio.sleep(0 if answers else _POLL_S)

    def _log_slow(self) -> None:
        if self._clock() - self._progress_s > (_DOWN_S if self._down else _SLOW_S):
            self._logged = True
            _log.warning("Kafka accepts no records, retrying: %s", self._reason or "it does not answer")

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True
        else:
            self._reason = error.str()
        if error.fatal():
            self._renew = True

    def _replace(self) -> None:
        """Replace a producer that failed; its records in flight are refused, and sent again."""
        _log.warning("the producer failed and is replaced: %s", self._reason)
        self._producer.purge()
        self._retired.append(self._producer)
        self._producer = self._open()
        self._renew = False

    def _open(self) -> Producer:
        try:
            return Producer(self._properties)
        except KafkaException as error:
            raise FatalError(f"TICKPLANT_KAFKA_PROPERTIES: {error.args[0].str()}") from error
