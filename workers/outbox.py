"""The delivery of an outbox: a loop that any number of processes can run at once.

Delivery is at least once: an attempt with an unknown outcome is repeated.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from prometheus_client import Counter as Metric

from db.outbox import OutboxRow, OutboxTable, settle_rows
from db.pool import OUTAGE, Pool, outage_reason
from tickplant.backoff import Backoff, bound_s
from tickplant.outage import OutageLog

_log = logging.getLogger(__name__)

_STOP_S: Final = 2.0


class FailedError(Exception):
    """An attempt has failed; the message is the reason, without secrets."""


class GoneError(FailedError):
    """The receiver no longer exists: no further attempts."""


class RetryPolicy(NamedTuple):
    """When attempts are made."""

    attempts: int
    """The most before a row is given up."""
    max_age_s: float
    """The age at which a row is given up."""
    first_wait_s: float
    """The longest wait after the first failed attempt; it doubles with each."""
    most_wait_s: float
    poll_s: float
    """The time between checks for rows to deliver."""
    most: int
    """Concurrent attempts."""
    most_per_receiver: int
    """The same to one receiver, so that one that hangs does not block the others."""


class Attempt(Protocol):
    """An attempt to deliver rows of one receiver."""

    @property
    def rows(self) -> Sequence[OutboxRow]:
        """At least one."""


_A = TypeVar("_A", bound=Attempt)


class OutboxTransport(Protocol[_A]):
    """Takes the rows of an outbox and sends them."""

    name: str
    """Of one row, in log lines."""
    outbox: OutboxTable
    metric: Metric
    """Counts the outcomes of rows."""

    async def take(self, pool: Pool, *, most: int, busy: Collection[str]) -> list[_A]:
        """Take rows that are due, but none of busy receivers."""

    async def send(self, attempt: _A) -> None:
        """Send an attempt's rows.

        Raises:
            FailedError: they were not accepted, as far as is known.
        """


class DeliveryLoop(Generic[_A]):
    """The attempts in progress."""

    def __init__(self, pool: Pool, transport: OutboxTransport[_A], policy: RetryPolicy) -> None:
        """Take what to deliver and how."""
        self._pool = pool
        self._transport = transport
        self._policy = policy
        self._receivers: dict[asyncio.Task[None], str] = {}
        self._outage = OutageLog(_log, f"{transport.name}s: the database is unavailable")

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; attempts in progress then get some time to end."""
        stopping = asyncio.create_task(stop.wait())
        backoff = Backoff(first_s=self._policy.poll_s, cap_s=5.0)
        try:
            while not stop.is_set():
                wait_s = self._policy.poll_s
                try:
                    if await self._start_due():
                        wait_s = 0.0
                    backoff.reset()
                except OUTAGE as error:
                    wait_s = backoff.next_s()
                    self._outage.note_failure(outage_reason(error))
                else:
                    self._outage.note_success()
                await self._until({stopping}, wait_s)
            if self._receivers:
                await asyncio.wait(self._receivers, timeout=_STOP_S)
        finally:
            stopping.cancel()
            for task in self._receivers:
                task.cancel()
            await asyncio.gather(*self._receivers, return_exceptions=True)

    async def _start_due(self) -> bool:
        """Start attempts that are due, up to the maximum; return whether there may be more."""
        room = self._policy.most - len(self._receivers)
        if room <= 0:
            return False
        counts = Counter(self._receivers.values())
        busy = [receiver for receiver, count in counts.items() if count >= self._policy.most_per_receiver]
        taken = await self._transport.take(self._pool, most=room, busy=busy)
        for attempt in taken:
            self._receivers[asyncio.create_task(self._attempt(attempt))] = attempt.rows[0].receiver
        return bool(taken)

    async def _until(self, others: set[asyncio.Task[bool]], wait_s: float) -> None:
        """Wait until an attempt has ended, for `wait_s` at most; raise the error of a failed one."""
        done, _ = await asyncio.wait(
            {*others, *self._receivers}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - others:
            del self._receivers[task]  # type: ignore[arg-type]
            task.result()

    async def _attempt(self, attempt: _A) -> None:
        """Make one attempt and store its outcome; if storing fails, the attempt later counts as lost."""
        try:
            error = await self._send(attempt)
            if error is None:
                await self._settle(attempt.rows, "delivered", None)
                return
            given_up: dict[str, list[OutboxRow]] = {}
            waiting: list[OutboxRow] = []
            for row in attempt.rows:
                if reason := self._why_given_up(row, error):
                    given_up.setdefault(reason, []).append(row)
                else:
                    waiting.append(row)
            for reason, rows in given_up.items():
                self._log_given_up(rows, reason)
                await self._settle(rows, "dead", reason)
            if waiting:
                await self._settle(waiting, "waiting", str(error), self._wait_s(waiting))
        except OUTAGE as outage:
            self._outage.note_failure(outage_reason(outage))

    async def _send(self, attempt: _A) -> FailedError | None:
        """Make the attempt; return the error if there was one."""
        # Only a process that failed leaves a row with all its attempts.
        if all(row.attempt > self._policy.attempts for row in attempt.rows):
            return FailedError("the last attempt's outcome is unknown")
        try:
            await self._transport.send(attempt)
        except FailedError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the attempt's boundary
            row = attempt.rows[0]
            _log.exception("%s %s to %s failed", self._transport.name, _name(row), row.receiver)
            return FailedError(type(error).__name__)
        return None

    async def _settle(
        self, rows: Sequence[OutboxRow], state: str, reason: str | None, wait_s: float = 0.0
    ) -> None:
        await settle_rows(self._pool, self._transport.outbox, rows, state, reason, wait_s)
        self._transport.metric.labels("failed" if state == "waiting" else state).inc(len(rows))

    def _why_given_up(self, row: OutboxRow, error: FailedError) -> str | None:
        """Return why a row is given up; None if it is tried again."""
        if isinstance(error, GoneError):
            return str(error)
        if row.attempt >= self._policy.attempts:
            return f"{error}; given up after {row.attempt} attempts"
        if row.age_s >= self._policy.max_age_s:
            return f"{error}; given up after {row.age_s:.0f} s"
        return None

    def _log_given_up(self, rows: Sequence[OutboxRow], reason: str) -> None:
        # The receiver's name alone: addresses often contain a key.
        first, others = rows[0], len(rows) - 1
        _log.warning(
            "%s %s%s to %s given up: %s",
            self._transport.name,
            _name(first),
            f" and {others} more" if others else "",
            first.receiver,
            reason,
        )

    def _wait_s(self, rows: Sequence[OutboxRow]) -> float:
        first_s, most_s = self._policy.first_wait_s, self._policy.most_wait_s
        bound = bound_s(max(row.attempt for row in rows) - 1, first_s=first_s, cap_s=most_s)
        return random.uniform(0, bound)  # noqa: S311 - spreads load, guards no secret


def _name(row: OutboxRow) -> str:
    return "-".join(map(str, row.key))
