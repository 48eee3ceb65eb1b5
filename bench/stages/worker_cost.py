"""What a trade costs one worker process on a full stream; stages share equal measurements."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from bench.cpu import CpuMeter
from bench.frames import SYMBOLS
from bench.prefill import publish_frames
from bench.progress import wait_for_first_commit, wait_until_committed
from bench.results import CpuCost
from bench.stage import Bench
from bench.stages.stored_alerts import store_alerts
from db.progress import count_trades

UNIT: Final = "us of the worker's CPU a trade"
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})


async def worker_cost(
    bench: Bench, *, symbols: int = SYMBOLS, alerts: int = 0, settings: Mapping[str, str] = _NO_SETTINGS
) -> CpuCost:
    """Return the cost of a trade, once a run for the same arguments."""
    measure = partial(_measure, symbols=symbols, alerts=alerts, settings=settings)
    return await bench.once(f"worker, {symbols}, {alerts}, {sorted(settings.items())}", measure)


def worker_us(cpu: CpuCost) -> float:
    """Return the worker's part of a cost."""
    return cpu.unit_us.get("worker", 0.0)


async def _measure(bench: Bench, symbols: int, alerts: int, settings: Mapping[str, str]) -> CpuCost:
    plant, count = bench.plant, bench.sizes.worker_trades
    await plant.empty()
    frames = await bench.frames.get(count, symbols)
    if alerts:
        await store_alerts(plant, frames, alerts)
    await publish_frames(plant.publisher(), frames)
    async with plant.processes("worker", venue=None, **settings), plant.open_pool() as pool:
        # From the first commit on: starting a process, and loading its initial state, is no trade's cost.
        await wait_for_first_commit(plant, pool)
        meter = CpuMeter()
        left = count - await count_trades(pool)
        await wait_until_committed(plant, pool, count)
        return meter.read(max(1, left))
