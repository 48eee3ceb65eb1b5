"""Stage `symbols`: what a trade costs the worker by the number of symbols that trade."""

from typing import Final

from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.worker_run import UNIT, run_workers

_AIMS: Final = {1_000: 1.5, 5_000: 2.5}
"""The most that a trade may cost, as a multiple of the smallest number of symbols."""


async def measure_symbols(bench: Bench) -> list[Result]:
    """Measure one worker on full streams of more and more symbols."""
    results: list[Result] = []
    references: tuple[Reference, ...] = ()
    for symbols in bench.sizes.symbol_counts:
        run = await run_workers(bench, bench.sizes.worker_trades, symbols=symbols)
        case = f"{symbols:,} symbols"
        aims = [Aim(_AIMS[symbols], at_most=True, of=base.name) for base in references if symbols in _AIMS]
        results.append(Result("symbols", case, run.worker_us, UNIT, references, tuple(aims), run.cpu))
        references = references or (Reference(case, run.worker_us),)
    return results
