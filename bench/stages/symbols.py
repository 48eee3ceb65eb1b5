"""Stage `symbols`: what a trade costs the worker by the number of symbols that trade."""

from typing import Final

from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.worker_cost import UNIT, worker_cost, worker_us

_AIMS: Final = {1_000: 1.5, 5_000: 2.5}
"""The most that a trade may cost, as a multiple of the smallest number of symbols."""


async def measure_symbols(bench: Bench) -> list[Result]:
    """Measure one worker on full streams of more and more symbols."""
    results: list[Result] = []
    references: tuple[Reference, ...] = ()
    for symbols in bench.sizes.symbol_counts:
        cpu = await worker_cost(bench, symbols=symbols)
        case = f"{symbols:,} symbols"
        aims = [Aim(_AIMS[symbols], at_most=True, of=base.name) for base in references if symbols in _AIMS]
        results.append(Result("symbols", case, worker_us(cpu), UNIT, references, tuple(aims), cpu))
        references = references or (Reference(case, worker_us(cpu)),)
    return results
