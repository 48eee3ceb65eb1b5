"""Simulates many workers that share partitions, of which some die: python -m bench.leases --help.

The leases are those of the plant: `workers.runtime`, and the statements of `db.leases` on a real PostgreSQL.
Only the clock is handed in: a function `clock_timestamp()` in a schema that is searched first. So an hour
takes as long as its statements, and a seed gives the same figures again.
"""

import asyncio
import heapq
import random
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
from msgspec import Struct

from db.leases import Lease
from db.migrate import migrate
from tickplant import interrupts
from tickplant.local import PostgresServer, RedisServer
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import CANDLES_ROLE
from workers.runtime import Runtime

_SCHEMA: Final = """
drop schema if exists simulated cascade;
create schema simulated;
create sequence simulated.milliseconds;
create function simulated.clock_timestamp() returns timestamptz language sql volatile as $$
    select timestamptz '2026-01-01' + last_value * interval '1 millisecond' from simulated.milliseconds
$$;
"""
_SEARCH_PATH: Final = "set search_path = simulated, pg_catalog, public"
_SESSIONS: Final = 4
_HEARTBEATS_PER_LEASE: Final = 10


class Conditions(Struct, frozen=True):
    """What is simulated."""

    partitions: int = 1024
    workers: int = 200
    lease_s: float = 5.0
    seconds: float = 120.0
    """After all partitions have an owner."""
    deaths_per_minute: float = 10.0
    """Workers that are killed, at random; another one starts after `restart_s`."""
    stops_per_minute: float = 10.0
    """Workers that are stopped, as by a roll-out; another one starts at once."""
    restart_s: float = 10.0
    seed: int = 1


class Outcome(Struct):
    """What came of it; times are simulated seconds."""

    after_deaths_s: list[float] = []
    """How long partitions of killed workers had no owner."""
    after_stops_s: list[float] = []
    """How long partitions of stopped workers had no owner."""
    moved_s: list[float] = []
    """How long partitions had no owner that moved from one running worker to another."""
    least_held: int = 0
    """The fewest partitions of a worker at the end, when all have their share."""
    most_held: int = 0
    without_owner: float = 0.0
    """The share of all partitions' time that had no owner."""
    heartbeats: int = 0
    heartbeat_ms: float = 0.0
    """The real time of a heartbeat, with its round trips, on average."""


class _Worker:
    """A worker's runtime, and what it holds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: dict[int, asyncio.Event] = {}
        self.runtime: Runtime
        self.leaving = False


class _Work:
    """A partition that an owner has, until it is to stop."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._on_stop()


class _Simulation:
    """Events in order of time, one at a time."""

    def __init__(self, conditions: Conditions, pool: asyncpg.Pool, redis: RedisClient) -> None:
        self._conditions = conditions
        self._pool = pool
        self._redis = redis
        self._random = random.Random(conditions.seed)  # noqa: S311 - a simulation
        self._numbers = count()
        self._events: list[tuple[float, int, str, _Worker | None]] = []
        self._workers: dict[str, _Worker] = {}
        self._killed: list[_Worker] = []
        self._free: dict[int, tuple[float, list[float]]] = {}
        """Since when partitions have no owner, and where the time until their next is noted."""
        self._now_s = 0.0
        self._measured_from_s = float("inf")
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Run to the end."""
        conditions = self._conditions
        for _ in range(conditions.workers):
            self._start(self._random.uniform(0, self._period_s))
        await self._until(
            lambda: sum(len(worker.held) for worker in self._workers.values()) == conditions.partitions
        )
        await self._for(2 * conditions.lease_s)
        self._measured_from_s = self._now_s
        for kind, rate in (("kill", conditions.deaths_per_minute), ("stop", conditions.stops_per_minute)):
            self._plan(kind, rate)
        self.outcome = Outcome()
        await self._for(conditions.seconds)
        self._measured_from_s = float("inf")  # nobody dies any more
        await self._for(4 * conditions.lease_s + conditions.restart_s)
        assert not self._free, "partitions are left without an owner"
        held = [len(worker.held) for worker in self._workers.values()]
        self.outcome.least_held, self.outcome.most_held = min(held), max(held)
        gaps = [*self.outcome.after_deaths_s, *self.outcome.after_stops_s, *self.outcome.moved_s]
        self.outcome.without_owner = sum(gaps) / (conditions.partitions * conditions.seconds)
        self.outcome.heartbeat_ms /= max(1, self.outcome.heartbeats)
        for worker in (*self._workers.values(), *self._killed):
            await worker.runtime.leave()
        return self.outcome

    @property
    def _period_s(self) -> float:
        return self._conditions.lease_s / _HEARTBEATS_PER_LEASE

    def _plan(self, kind: str, per_minute: float) -> None:
        if per_minute > 0:
            self._at(self._now_s + self._random.expovariate(per_minute / 60), kind, None)

    def _at(self, time_s: float, kind: str, worker: _Worker | None) -> None:
        heapq.heappush(self._events, (time_s, next(self._numbers), kind, worker))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._step()

    async def _for(self, seconds: float) -> None:
        end_s = self._now_s + seconds
        await self._until(lambda: self._events[0][0] > end_s)
        self._now_s = end_s

    async def _step(self) -> None:
        self._now_s, _, kind, worker = heapq.heappop(self._events)
        await self._pool.execute("select setval('simulated.milliseconds', $1)", 1 + round(self._now_s * 1000))
        if kind == "start":
            self._start(0.0)
        elif worker is not None:
            await self._heartbeat(worker)
        elif self._now_s >= self._measured_from_s:
            victim = self._random.choice([one for one in self._workers.values() if not one.leaving])
            if kind == "kill":
                self._kill(victim)
                self._plan(kind, self._conditions.deaths_per_minute)
            else:
                await self._stop(victim)
                self._plan(kind, self._conditions.stops_per_minute)

    def _start(self, delay_s: float) -> None:
        worker = _Worker(f"worker-{next(self._numbers)}:{self._random.getrandbits(32):08x}")
        worker.runtime = Runtime(
            role=CANDLES_ROLE,
            owner=worker.name,
            partitions=self._conditions.partitions,
            lease_s=self._conditions.lease_s,
            pool=self._pool,
            redis=self._redis,
            make=lambda lease: self._take(worker, lease),
        )
        self._workers[worker.name] = worker
        self._at(self._now_s + delay_s, "heartbeat", worker)

    async def _heartbeat(self, worker: _Worker) -> None:
        if worker.name not in self._workers:
            return
        started_s = time.perf_counter()
        await worker.runtime.renew()
        self.outcome.heartbeat_ms += (time.perf_counter() - started_s) * 1000
        self.outcome.heartbeats += 1
        await asyncio.sleep(0)  # work that was taken begins
        self._at(self._now_s + self._period_s, "heartbeat", worker)

    def _take(self, worker: _Worker, lease: Lease) -> _Work:
        partition = lease.partition
        if partition in self._free:
            since_s, noted = self._free.pop(partition)
            noted.append(self._now_s - since_s)
        worker.held[partition] = asyncio.Event()
        return _Work(lambda: self._give(worker, partition))

    def _give(self, worker: _Worker, partition: int) -> None:
        if worker in self._killed:
            return
        del worker.held[partition]
        self._free[partition] = (
            self._now_s,
            self.outcome.after_stops_s if worker.leaving else self.outcome.moved_s,
        )

    def _kill(self, worker: _Worker) -> None:
        """Remove a worker that says nothing any more: its leases expire."""
        self._killed.append(self._workers.pop(worker.name))
        for partition in worker.held:
            self._free[partition] = self._now_s, self.outcome.after_deaths_s
        self._at(self._now_s + self._conditions.restart_s, "start", None)

    async def _stop(self, worker: _Worker) -> None:
        worker.leaving = True
        await worker.runtime.leave()
        del self._workers[worker.name]
        self._start(0.0)


async def simulate(conditions: Conditions, database_url: str, redis_url: str) -> Outcome:
    """Run a simulation on a database that is migrated for as many partitions, and on an empty Redis."""
    async with _simulated_pool(database_url) as pool:
        redis = open_redis(redis_url)
        try:
            return await _Simulation(conditions, pool, redis).run()
        finally:
            await redis.aclose()


@asynccontextmanager
async def _simulated_pool(url: str) -> AsyncIterator[asyncpg.Pool]:
    async def prepare(connection: asyncpg.Connection) -> None:
        await connection.execute(_SEARCH_PATH)

    connection = await asyncpg.connect(url)
    await connection.execute(_SCHEMA)
    await connection.close()
    async with asyncpg.create_pool(url, min_size=1, max_size=_SESSIONS, init=prepare, reset=_keep) as pool:
        yield pool


async def _keep(_: asyncpg.Connection) -> None:
    """Leave the session's search_path."""


def report(conditions: Conditions, outcome: Outcome) -> str:
    """Return the figures as lines of text."""
    deaths, stops = conditions.deaths_per_minute, conditions.stops_per_minute
    lines = [
        f"{conditions.partitions} partitions, {conditions.workers} workers, leases of"
        f" {conditions.lease_s:g} s, {conditions.seconds:g} s with {deaths:g} deaths and"
        f" {stops:g} stops a minute, seed {conditions.seed}",
        _spread("without owner after a death", outcome.after_deaths_s),
        _spread("without owner after a stop", outcome.after_stops_s),
        _spread("without owner while moved", outcome.moved_s),
        f"partitions of a worker at the end: {outcome.least_held} to {outcome.most_held}",
        f"time without owner, of all partitions': {outcome.without_owner:.3%}",
        f"a heartbeat took {outcome.heartbeat_ms:.1f} ms of real time, on average of {outcome.heartbeats:,}",
    ]
    return "\n".join(lines)


def _spread(what: str, seconds: Sequence[float]) -> str:
    if not seconds:
        return f"{what}: no partition"
    return (
        f"{what}: {len(seconds):,} partitions, median {median(seconds):.2f} s, longest {max(seconds):.2f} s"
    )


async def _main(conditions: Conditions) -> Outcome:
    with TemporaryDirectory(prefix="tickplant-leases-") as folder:
        redis, postgres = RedisServer(Path(folder) / "redis"), PostgresServer(Path(folder) / "postgres")
        try:
            await redis.start()
            await postgres.start()
            await migrate(postgres.url, partitions=conditions.partitions)
            return await simulate(conditions, postgres.url, redis.url)
        finally:
            await postgres.stop()
            await redis.stop()


def main() -> int:
    """Run the command and return its exit code."""
    defaults = Conditions()
    parser = ArgumentParser(
        prog="python -m bench.leases", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    for field in Conditions.__struct_fields__:
        value = getattr(defaults, field)
        parser.add_argument(
            f"--{field.replace('_', '-')}", type=type(value), default=value, help=f"({value:g})"
        )
    conditions = Conditions(**vars(parser.parse_args()))
    print(report(conditions, interrupts.run(_main(conditions))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
