"""What stages have measured, and the medians of several runs."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

PLANT: Final = ("ingest", "worker", "api", "redis", "postgres", "mirror")
"""The kinds of processes that are part of a plant; the others are the benchmark's own."""


class Reference(Struct, frozen=True):
    """What a result is compared with."""

    name: str
    value: float
    """In the unit of the result."""


class Aim(Struct, frozen=True):
    """A bound on a result, or on its ratio to a reference."""

    bound: float
    at_most: bool
    """False: the bound is a minimum."""
    of: str = ""
    """The name of the reference; empty: the result itself."""

    def is_met_by(self, value: float) -> bool:
        """Return whether a result, or its ratio, keeps the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


class CpuCost(Struct, frozen=True):
    """The CPU time of a stage, by kind of process."""

    unit_us: Mapping[str, float]
    """Microseconds a trade, request or send by kind of process; in all, until it is divided."""
    cores_busy: float
    """Cores that the stage has kept busy, on average."""
    cores_other: float
    """Cores that everything else on the machine has kept busy meanwhile."""

    def per(self, units: float) -> "CpuCost":
        """Return the cost of one of so many units, at least one."""
        divided = {kind: cost / max(1.0, units) for kind, cost in self.unit_us.items()}
        return CpuCost(divided, self.cores_busy, self.cores_other)

    @property
    def plant_us(self) -> float:
        """The sum over the processes of the plant."""
        return sum(self.unit_us.get(kind, 0.0) for kind in PLANT)


class Result(Struct, frozen=True):
    """One number of one run."""

    stage: str
    case: str
    value: float
    unit: str
    references: tuple[Reference, ...] = ()
    aims: tuple[Aim, ...] = ()
    cpu: CpuCost | None = None
    cpu_of: str = "trade"
    """What `cpu` is divided by."""
    notes: tuple[str, ...] = ()


class Ratio(Struct, frozen=True):
    """A result as a multiple of a reference: the median of each run's ratio."""

    of: str
    reference: float
    ratio: float
    aim: Aim | None
    met: bool | None
    """None where there is no aim."""


class ResultSummary(Struct, frozen=True):
    """The same number over all runs."""

    stage: str
    case: str
    unit: str
    value: float
    """The median."""
    values: tuple[float, ...]
    """One a run, in the order of the runs."""
    aim: Aim | None
    met: bool | None
    ratios: tuple[Ratio, ...]
    cpu: CpuCost | None
    cpu_of: str
    notes: tuple[str, ...]
    """Of the last run."""


class Skip(Struct, frozen=True):
    """What was not measured."""

    what: str
    reason: str


def summarize(runs: Sequence[Sequence[Result]]) -> list[ResultSummary]:
    """Return the medians of all runs, in the order of the stages."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for results in runs:
        for result in results:
            grouped.setdefault((result.stage, result.case), []).append(result)
    return [_summarize(results) for results in grouped.values()]


def _summarize(results: Sequence[Result]) -> ResultSummary:
    last = results[-1]
    value = median(result.value for result in results)
    aim = next((aim for aim in last.aims if not aim.of), None)
    return ResultSummary(
        stage=last.stage,
        case=last.case,
        unit=last.unit,
        value=value,
        values=tuple(result.value for result in results),
        aim=aim,
        met=aim.is_met_by(value) if aim else None,
        ratios=tuple(_ratio(reference.name, results) for reference in last.references),
        cpu=_median_cost([result.cpu for result in results if result.cpu]),
        cpu_of=last.cpu_of,
        notes=last.notes,
    )


def _ratio(name: str, results: Sequence[Result]) -> Ratio:
    pairs = [
        (result.value, reference.value)
        for result in results
        for reference in result.references
        if reference.name == name and reference.value
    ]
    ratio = median(value / reference for value, reference in pairs) if pairs else 0.0
    aim = next((aim for aim in results[-1].aims if aim.of == name), None)
    return Ratio(
        of=name,
        reference=median(reference for _, reference in pairs) if pairs else 0.0,
        ratio=ratio,
        aim=aim,
        met=aim.is_met_by(ratio) if aim else None,
    )


def _median_cost(costs: Sequence[CpuCost]) -> CpuCost | None:
    if not costs:
        return None
    kinds = {kind: None for cost in costs for kind in cost.unit_us}
    return CpuCost(
        {kind: median(cost.unit_us.get(kind, 0.0) for cost in costs) for kind in kinds},
        median(cost.cores_busy for cost in costs),
        median(cost.cores_other for cost in costs),
    )
