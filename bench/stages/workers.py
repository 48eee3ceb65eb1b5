"""Stage `workers`: a full stream to committed rows, by one worker process and by more."""

from bench.results import Reference, Result
from bench.stage import Bench
from bench.stages.commit import measure_workers


async def measure_worker_counts(bench: Bench) -> list[Result]:
    """Measure the same stream with each number of workers."""
    results: list[Result] = []
    references: tuple[Reference, ...] = ()
    for workers in bench.sizes.worker_counts:
        per_s, cpu = await measure_workers(bench, workers)
        case = f"{workers} worker{'s' if workers > 1 else ''}"
        results.append(Result("workers", case, per_s, "trades/s", references, cpu=cpu))
        references = references or (Reference(case, per_s),)
    return results
