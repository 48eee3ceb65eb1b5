"""Stages `whole`, `startup` and `memory`: all processes side by side, as `tickplant up` runs them.

One run of the plant gives all three.
"""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from bench.cpu import CpuMeter, memory_mb
from bench.frames import SYMBOLS, tape_arguments
from bench.progress import wait_for_worker, wait_until_committed
from bench.results import PLANT, Aim, CpuCost, Result
from bench.stage import GO, Bench
from tickplant.local.folder import free_port

_RATE_AIM: Final = 200_000
_COST_AIM: Final = 2.5


class _WholeRun(NamedTuple):
    per_s: float
    """Trades committed a second, from the first entry in Redis to the last commit."""
    cpu: CpuCost
    startup_s: Mapping[str, float]
    """From the start of each process to its first work."""
    idle_mb: Mapping[str, float]
    """Memory of each kind of process before the first trade."""
    busy_mb: Mapping[str, float]
    """After the last one."""


async def measure_whole(bench: Bench) -> list[Result]:
    """Return the rate at full speed, and what a trade costs."""
    run = await bench.once("whole", _run)
    rate = Result(
        "whole",
        "websocket to committed rows",
        run.per_s,
        "trades/s",
        aims=(Aim(_RATE_AIM, at_most=False),),
        cpu=run.cpu,
        notes=("sandbox, ingest, Redis, worker, PostgreSQL and API share the machine",),
    )
    cost = Result(
        "whole",
        "CPU of the plant",
        run.cpu.plant_us,
        "us a trade",
        await bench.go_reference(SYMBOLS),
        (Aim(_COST_AIM, at_most=True, of=GO),),
    )
    return [rate, cost]


async def measure_startup(bench: Bench) -> list[Result]:
    """Return how long each process takes to its first work."""
    run = await bench.once("whole", _run)
    return [Result("startup", what, seconds, "s") for what, seconds in run.startup_s.items()]


async def measure_memory(bench: Bench) -> list[Result]:
    """Return what each kind of process holds; pages that processes share are divided among them."""
    run = await bench.once("whole", _run)
    if not run.busy_mb:
        bench.skip("memory", "known on Linux only")
    return [
        Result("memory", f"{kind}, {when}", used[kind], "MB")
        for when, used in (
            ("idle", run.idle_mb),
            (f"after {bench.sizes.trades:,} trades of {SYMBOLS} symbols", run.busy_mb),
        )
        for kind in PLANT
        if kind in used
    ]


async def _run(bench: Bench) -> _WholeRun:
    """Start one process after the other, and play a tape at full speed."""
    plant, count = bench.plant, bench.sizes.trades
    await plant.empty()
    port = free_port()
    startup_s: dict[str, float] = {}

    def note(what: str) -> None:
        startup_s[what] = time.perf_counter() - started_s

    async with plant.sandbox(*tape_arguments(count)) as venue, AsyncExitStack() as stack:
        pool = await stack.enter_async_context(plant.open_pool())
        started_s = time.perf_counter()
        await stack.enter_async_context(plant.processes("worker", venue=venue))
        await wait_for_worker(plant, pool)
        note("worker: all partitions taken")
        started_s = time.perf_counter()
        await stack.enter_async_context(plant.processes("api", venue=venue, TICKPLANT_API_PORT=str(port)))
        await plant.until_listening(port)
        note("api: listening")
        idle_mb = memory_mb()
        started_s = time.perf_counter()
        await stack.enter_async_context(plant.processes("ingest", venue=venue))
        await plant.until_published()
        note("ingest: first trade in Redis")
        meter = CpuMeter()
        started_s = time.perf_counter()
        per_s = count / (await wait_until_committed(plant, pool, count) - started_s)
        return _WholeRun(per_s, meter.read().per(count), startup_s, idle_mb, memory_mb())
