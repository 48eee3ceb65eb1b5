"""Stage `roles`: what a trade costs the worker with all roles, and with many alerts, beside candles alone."""

from typing import Final

from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.worker_cost import UNIT, worker_cost, worker_us

_AIM: Final = 1.5


async def measure_roles(bench: Bench) -> list[Result]:
    """Measure one worker process on the same full stream, with more and more to do."""
    alerts = bench.sizes.alerts
    candles = await worker_cost(bench, settings={"TICKPLANT_ROLES": "none"})
    base = Reference("candles alone", worker_us(candles))
    results = [Result("roles", base.name, base.value, UNIT, cpu=candles)]
    for name, count in (("all roles", 0), (f"all roles, {alerts:,} alerts", alerts)):
        cpu = await worker_cost(bench, alerts=count)
        aims = (Aim(_AIM, at_most=True, of=base.name),)
        results.append(Result("roles", name, worker_us(cpu), UNIT, (base,), aims, cpu))
    return results
