"""Ownership of partitions: leases are taken, renewed and released."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol

from redis.exceptions import RedisError

from db.leases import Lease, heartbeat, release_lease, remove_worker, take_lease
from db.pool import OUTAGE as DATABASE_OUTAGE
from db.pool import Pool, outage_reason, refuse_former_primary
from tickplant import metrics
from tickplant.backoff import Backoff
from tickplant.errors import FormerPrimaryError, LeaseLostError
from tickplant.logs import add_fields
from tickplant.outage import OutageLog
from tickplant.probes import ServiceReadiness
from tickplant.redis_agreement import agree_on_partitions
from tickplant.redis_client import RedisClient
from tickplant.redis_errors import OUTAGE as REDIS_OUTAGE
from tickplant.redis_errors import is_transient, is_wrong_type
from tickplant.sharing import fair_shares
from tickplant.streams import START
from workers.blocked_partitions import BlockedPartitions

_log = logging.getLogger(__name__)

OUTAGE: Final = (*DATABASE_OUTAGE, *REDIS_OUTAGE)
_HEARTBEATS_PER_LEASE: Final = 10
_SIGN_OFF_S: Final = 5.0
"""The longest wait for the worker's removal while a server is unavailable."""


class PartitionWork(Protocol):
    """The work of a partition's owner."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, and commit."""


def name_owner() -> str:
    """Return a name for this process that no other process ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Runtime:
    """One worker process's ownership of partitions in one role."""

    def __init__(
        self,
        *,
        role: str,
        owner: str,
        partitions: int,
        lease_s: float,
        pool: Pool,
        redis: RedisClient,
        make: Callable[[Lease], PartitionWork],
        readiness: ServiceReadiness | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            role: the role to work in.
            owner: a name that no other worker has.
            partitions: how many there are.
            lease_s: how long a lease lasts unless renewed.
            pool: connections to the database.
            redis: an open client, which the caller closes; while a single server is unavailable, no lease
                is taken or renewed; while one of several is, that concerns its partitions only.
            make: builds the work on one partition.
            readiness: is told whether the servers are available.
        """
        self._role = role
        self._owner = owner
        self._partitions = partitions
        self._lease_s = lease_s
        self._pool = pool
        self._redis = redis
        self._blocked = BlockedPartitions(role, redis)
        self._make = make
        self._readiness = readiness or ServiceReadiness()
        self._readiness.note(role, "it is starting")
        self._alive: list[str] = []
        self._share: frozenset[int] = frozenset()
        self._working: dict[int, tuple[Lease, asyncio.Event, asyncio.Task[None]]] = {}
        self._backoff = Backoff(first_s=0.1, cap_s=5.0)
        self._agreed = False
        self._away: dict[int, tuple[float, Backoff]] = {}
        """Partitions whose servers are away, with when to try again."""
        metrics.WORKER_LEASES.labels(role).set_function(self._count_working)
        for what in ("taken", "lost", "given back"):
            metrics.WORKER_LEASE_CHANGES.labels(role, what)

    async def run(self, stop: asyncio.Event) -> None:
        """Own partitions until `stop` is set; then commit and release all leases."""
        add_fields(role=self._role)
        outage = OutageLog(_log, "a server is unavailable, retrying", "servers are available again")
        try:
            while not stop.is_set():
                wait_s = self._lease_s / _HEARTBEATS_PER_LEASE
                try:
                    await self.renew()
                    outage.note_success()
                    self._readiness.note(self._role, None)
                    self._backoff.reset()
                except OUTAGE as error:
                    outage.note_failure(outage_reason(error))
                    self._readiness.note(self._role, f"a server is unavailable: {outage_reason(error)}")
                    wait_s = self._backoff.next_s()
                await _wait(stop, wait_s)
        finally:
            self._readiness.note(self._role, "it is stopping")
            try:
                await self.leave(_SIGN_OFF_S if outage.active else None)
            except OUTAGE as error:
                _log.warning("could not release all leases: %s", outage_reason(error))

    async def leave(self, timeout_s: float | None = None) -> None:
        """Commit, release all leases, and sign off, the latter within `timeout_s` seconds."""
        await self._release(set(self._working))
        async with asyncio.timeout(timeout_s):
            await remove_worker(self._pool, self._role, self._owner)

    async def renew(self) -> None:
        """Renew leases, end work without one, and take or release partitions for a fair share."""
        if not (self._redis.sharded and self._agreed):  # the servers of partitions are away one by one
            await agree_on_partitions(self._redis, self._partitions)
            self._agreed = True
        alive, held = await heartbeat(self._pool, self._role, self._owner, self._lease_s)
        for partition, (lease, _, task) in list(self._working.items()):
            if task.done():
                await self._end_failed(partition)
            elif held.get(partition) != lease.epoch:
                task.cancel()
                await self._end_failed(
                    partition, cancelled="another worker has the lease, or the database is another server now"
                )
            else:
                self._away.pop(partition, None)
        if alive != self._alive:
            self._alive = alive
            self._share = frozenset(fair_shares(alive, range(self._partitions))[self._owner])
        now_s = time.monotonic()
        away = {number for number, (until_s, _) in self._away.items() if now_s < until_s}
        share = self._share - away - await self._blocked.check(self._share)
        await self._release(set(self._working) - share)
        for partition in set(held) - set(self._working) - share:  # of failed work; heartbeats would renew it
            await release_lease(self._pool, Lease(self._role, partition, self._owner, held[partition], START))
        for partition in sorted(share - set(self._working)):
            taken = await take_lease(self._pool, self._role, partition, self._owner, self._lease_s)
            if taken is not None:
                self._start(taken)

    def _count_working(self) -> int:
        """Return the number of partitions being processed; called by another thread."""
        return sum(not task.done() for _, _, task in list(self._working.values()))

    def _start(self, lease: Lease) -> None:
        _log.info(
            "partition %d taken (role %s), epoch %d, from entry %s",
            lease.partition,
            lease.role,
            lease.epoch,
            lease.entry_id,
            extra={"partition": lease.partition, "entry": lease.entry_id},
        )
        metrics.WORKER_LEASE_CHANGES.labels(self._role, "taken").inc()
        stop = asyncio.Event()
        task = asyncio.create_task(self._work(lease, stop))
        self._working[lease.partition] = (lease, stop, task)

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        add_fields(partition=lease.partition)
        await self._make(lease).run(stop)

    async def _end_failed(self, partition: int, *, cancelled: str = "its work was cancelled") -> None:
        """Remove a partition whose work has ended with an error, and log the error.

        Args:
            partition: which.
            cancelled: the reason to log if the work was cancelled.
        """
        lease, _, task = self._working.pop(partition)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            self._log_lost(partition, cancelled)
        except LeaseLostError as error:
            self._log_lost(partition, str(error))
            if isinstance(error, FormerPrimaryError):
                await refuse_former_primary(self._pool, lease.server, error.timeline)
        except OUTAGE as error:
            reason, extra = outage_reason(error), {"partition": partition}
            _log.warning("partition %d: a server is unavailable: %s", partition, reason, extra=extra)
            if self._redis.sharded:
                self._wait_for_server(partition)
        except RedisError as error:
            if is_wrong_type(error):
                await self._blocked.add(partition, error)
            elif is_transient(error):
                extra = {"partition": partition}
                _log.warning("partition %d: Redis refuses: %s", partition, error, extra=extra)
            else:
                raise

    def _wait_for_server(self, partition: int) -> None:
        """Take a partition whose server is away only after a while; others go on."""
        _, backoff = self._away.get(partition, (0.0, Backoff(first_s=0.2, cap_s=5.0)))
        self._away[partition] = (time.monotonic() + backoff.next_s(), backoff)

    def _log_lost(self, partition: int, reason: str) -> None:
        _log.warning("partition %d lost: %s", partition, reason, extra={"partition": partition})
        metrics.WORKER_LEASE_CHANGES.labels(self._role, "lost").inc()

    async def _release(self, partitions: set[int]) -> None:
        """Stop the work gracefully, and release the leases."""
        for partition in partitions:
            self._working[partition][1].set()
        for partition in partitions:
            lease, _, task = self._working[partition]
            await asyncio.wait([task])
            failed = task.cancelled() or task.exception() is not None
            if failed:
                await self._end_failed(partition)
                continue
            del self._working[partition]
            await release_lease(self._pool, lease)
            _log.info(
                "partition %d released (role %s)", partition, lease.role, extra={"partition": partition}
            )
            metrics.WORKER_LEASE_CHANGES.labels(self._role, "given back").inc()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
