"""Stage `roles`: what a trade costs the worker with all roles, and with many alerts, beside candles alone."""

from typing import Final

from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.worker_run import UNIT, run_workers

_AIM: Final = 1.5


async def measure_roles(bench: Bench) -> list[Result]:
    """Measure one worker process on the same full stream, with more and more to do."""
    alerts, trades = bench.sizes.alerts, bench.sizes.worker_trades
    candles = await run_workers(bench, trades, settings={"TICKPLANT_ROLES": "none"})
    base = Reference("candles alone", candles.worker_us)
    results = [Result("roles", base.name, base.value, UNIT, cpu=candles.cpu)]
    for name, count in (("all roles", 0), (f"all roles, {alerts:,} alerts", alerts)):
        run = await run_workers(bench, trades, alerts=count)
        aims = (Aim(_AIM, at_most=True, of=base.name),)
        results.append(Result("roles", name, run.worker_us, UNIT, (base,), aims, run.cpu))
    return results
