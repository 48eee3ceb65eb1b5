"""Stage `workers`: a full stream to committed rows, by one worker process and by more."""

from bench.results import Reference, Result
from bench.stage import Bench
from bench.stages.worker_run import run_workers


async def measure_worker_counts(bench: Bench) -> list[Result]:
    """Measure the same stream with each number of workers."""
    results: list[Result] = []
    references: tuple[Reference, ...] = ()
    for workers in bench.sizes.worker_counts:
        run = await run_workers(bench, bench.sizes.trades, workers=workers)
        case = f"{workers} worker{'s' if workers > 1 else ''}"
        results.append(Result("workers", case, run.per_s, "trades/s", references, cpu=run.cpu))
        references = references or (Reference(case, run.per_s),)
    return results
