"""Stage `whole`: sandbox to committed rows, all processes side by side as `tickplant up` runs them."""

import time

from bench.commits import wait_for_worker
from bench.cpu import CpuMeter
from bench.market import tape_arguments
from bench.plant import BenchPlant
from bench.result import MeasuredRate, Result, Throughput
from db.pool import open_pool
from db.progress import count_trades
from tickplant.local.folder import free_port

AIM_PER_S = 200_000


async def measure_whole(plant: BenchPlant, count: int, bare: tuple[MeasuredRate, ...]) -> list[Result]:
    """Measure from the first entry in Redis to the last commit.

    Args:
        plant: the servers.
        count: how many trades.
        bare: what bounds it, as other stages have measured it.
    """
    await plant.empty()

    async def has_started() -> bool:
        return await plant.entries() > 0

    async def is_done() -> bool:
        return await count_trades(pool) >= count

    async with (
        plant.sandbox(*tape_arguments(count)) as venue,
        plant.processes("api", "worker", venue=venue, TICKPLANT_API_PORT=str(free_port())),
        open_pool(plant.database_url, size=1, application="bench") as pool,
    ):
        await wait_for_worker(plant, pool)
        meter = CpuMeter()
        async with plant.processes("ingest", venue=venue):
            await plant.until(has_started, "the first entry", poll_s=0.005)
            started_s = time.perf_counter()
            await plant.until(is_done, f"{count:,} trades committed")
            per_s = count / (time.perf_counter() - started_s)
            costs = meter.read(count)
    return [
        Throughput(
            "end to end, websocket to committed rows",
            MeasuredRate("sandbox, ingest, Redis, worker, PostgreSQL, API", per_s),
            bare,
            aim_per_s=AIM_PER_S,
            notes=(costs,),
        )
    ]
