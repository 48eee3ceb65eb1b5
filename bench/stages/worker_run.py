"""Workers on a full stream: how fast they commit, and what a trade costs; stages share equal measurements."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from bench.cpu import CpuMeter
from bench.frames import SYMBOLS, read_frames
from bench.prefill import parse_frames, publish
from bench.progress import wait_until_committed
from bench.results import CpuCost
from bench.stage import Bench
from bench.stages.stored_alerts import store_alerts
from tickplant.market import Trade

UNIT: Final = "us of the worker's CPU a trade"
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
_FIRST: Final = 5
"""The first trades are a fifth."""


class WorkerRun(NamedTuple):
    """What workers did with the trades after the first ones."""

    per_s: float
    """Trades committed a second."""
    cpu: CpuCost

    @property
    def worker_us(self) -> float:
        """The workers' own CPU a trade."""
        return self.cpu.unit_us.get("worker", 0.0)


async def run_workers(
    bench: Bench,
    count: int,
    *,
    workers: int = 1,
    symbols: int = SYMBOLS,
    alerts: int = 0,
    settings: Mapping[str, str] = _NO_SETTINGS,
) -> WorkerRun:
    """Measure workers, once a run for the same arguments.

    Starting processes, loading their state and meeting each symbol for the first time is no trade's cost:
    the first trades are committed before the others are written, several times as fast as they are read.
    """
    what = f"workers, {count}, {workers}, {symbols}, {alerts}, {sorted(settings.items())}"
    measure = partial(
        _measure, count=count, workers=workers, symbols=symbols, alerts=alerts, settings=settings
    )
    return await bench.once(what, measure)


async def _measure(
    bench: Bench, count: int, workers: int, symbols: int, alerts: int, settings: Mapping[str, str]
) -> WorkerRun:
    plant = bench.plant
    await plant.empty()
    trades = await _parse(bench, count, symbols)
    if alerts:
        await store_alerts(plant, trades, alerts)
    first = count // _FIRST
    publisher = plant.publisher()
    await publish(publisher, trades[:first])
    async with plant.processes(*["worker"] * workers, venue=None, **settings), plant.open_pool() as pool:
        await wait_until_committed(plant, pool, first)
        meter = CpuMeter()
        started_s = time.perf_counter()
        await publish(publisher, trades[first:])
        ended_s = await wait_until_committed(plant, pool, count)
        rest = count - first
        return WorkerRun(rest / (ended_s - started_s), meter.read().per(rest))


async def _parse(bench: Bench, count: int, symbols: int) -> list[Trade]:
    frames = read_frames(await bench.frames.get(count, symbols))
    trades: list[Trade] = []
    for start in range(0, count, 10_000):
        trades += parse_frames(frames[start : start + 10_000])
        await asyncio.sleep(0)  # for Ctrl-C
    return trades
