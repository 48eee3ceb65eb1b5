"""What a stage has measured, and how it is shown."""

import sys
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

SHARE_AIM: Final = 0.6
"""How much of its slowest bare stage a stage should reach."""


class MeasuredRate(Struct, frozen=True):
    """How fast something went."""

    name: str
    per_s: float
    unit: str = "trades"


class Throughput(Struct, frozen=True):
    """A stage's rate beside the bare stages that bound it."""

    stage: str
    measured: MeasuredRate
    bare: tuple[MeasuredRate, ...]
    aim_per_s: float | None = None
    """None: a share of the slowest bare stage is the aim."""
    notes: tuple[str, ...] = ()

    @property
    def limit(self) -> MeasuredRate | None:
        """The slowest bare stage; None where none was measured in this run."""
        return min(self.bare, key=lambda rate: rate.per_s, default=None)

    @property
    def share(self) -> float:
        """The measured rate as a share of the limit; 0 without one."""
        return self.measured.per_s / self.limit.per_s if self.limit else 0

    @property
    def aim(self) -> str:
        """What was aimed at."""
        return f"{SHARE_AIM:.0%} of the limit" if self.aim_per_s is None else f"{self.aim_per_s:,.0f}/s"

    @property
    def met(self) -> bool:
        """Whether the aim is met."""
        if self.aim_per_s is None:
            return self.share >= SHARE_AIM
        return self.measured.per_s >= self.aim_per_s


class Latency(Struct, frozen=True):
    """Times from a frame's sending to its arrival at a client."""

    stage: str
    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    aim_p50_ms: float
    aim_p99_ms: float
    per_s: float
    """Trades received a second."""
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether both aims are met."""
        return self.p50_ms <= self.aim_p50_ms and self.p99_ms <= self.aim_p99_ms


class Cost(Struct, frozen=True):
    """What something costs."""

    name: str
    us: float
    """CPU a trade, of one kind of process."""
    per_s: float
    """Trades a second meanwhile."""
    note: str


class Costs(Struct, frozen=True):
    """What more costs beside less."""

    stage: str
    base: Cost
    others: tuple[Cost, ...]
    aim: float
    """The largest ratio aimed at."""

    @property
    def ratio(self) -> float:
        """The dearest as a multiple of the base."""
        return max(other.us for other in self.others) / self.base.us

    @property
    def met(self) -> bool:
        """Whether the aim is met."""
        return self.ratio <= self.aim


Result = Throughput | Latency | Costs

_COLUMNS: Final = ("stage", "measured", "slowest bare stage", "its rate", "ratio", "aim", "met")


def print_results(results: Sequence[Result]) -> None:
    """Print one table of the stages, and what each was measured beside."""
    rows = [_row(result) for result in results]
    if sys.stdout.isatty():
        _print_drawn(rows)
    else:
        _print_plain(rows)
    for result in results:
        print(f"\n{result.stage}:")
        for line in _details(result):
            print(f"  {line}")


def _details(result: Result) -> list[str]:
    if isinstance(result, Costs):
        costs = (result.base, *result.others)
        return [
            f"{cost.us:>6.2f} us, {cost.us / result.base.us:.2f} of the first, at {cost.per_s:,.0f}/s:"
            f" {cost.name} ({cost.note})"
            for cost in costs
        ]
    if isinstance(result, Latency):
        counted = f"{result.count:,} messages, {result.per_s:,.0f} trades/s; slowest {result.most_ms:.1f} ms"
        return [counted, *result.notes]
    rates = (result.measured, *result.bare)
    return [*(f"{rate.per_s:>11,.0f} {rate.unit + '/s':<9} {rate.name}" for rate in rates), *result.notes]


def _row(result: Result) -> tuple[str, ...]:
    met = "yes" if result.met else "no"
    if isinstance(result, Costs):
        dearest = max(result.others, key=lambda cost: cost.us)
        measured, base = f"{dearest.us:.2f} us, {dearest.name}", result.base
        ratio, aim = f"{result.ratio:.2f}", f"at most {result.aim:g}"
        return result.stage, measured, base.name, f"{base.us:.2f} us", ratio, aim, met
    if isinstance(result, Latency):
        measured = f"p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms"
        aim = f"p50 {result.aim_p50_ms:g} ms, p99 {result.aim_p99_ms:g} ms"
        return result.stage, measured, "", "", "", aim, met
    rate, limit = result.measured, result.limit
    return (
        result.stage,
        f"{rate.per_s:,.0f} {rate.unit}/s",
        limit.name if limit else "",
        f"{limit.per_s:,.0f}/s" if limit else "",
        f"{result.share:.2f}" if limit else "",
        result.aim,
        met,
    )


def _print_plain(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, tuple("-" * width for width in widths), *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_drawn(rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
