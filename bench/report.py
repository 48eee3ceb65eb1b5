"""The tables of the benchmark, as aligned Markdown, and its JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bench.results import PLANT, Aim, Ratio, ResultSummary, Skip

QUIET_CORES: Final = 0.1
"""Above this, work of others has disturbed the measurement."""

_RESULTS: Final = ("what", "measured", "ratio", "of", "aim", "met")
_OTHERS: Final = ("sandbox", "client", "bench")


class Report(Struct, frozen=True):
    """Everything that was measured."""

    machine: Sequence[str]
    runs: int
    quick: bool
    results: Sequence[ResultSummary]
    skipped: Sequence[Skip]

    def write_json(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def print(self) -> None:
        """Print the tables."""
        for stage in dict.fromkeys(result.stage for result in self.results):
            results = [result for result in self.results if result.stage == stage]
            print(f"\n### {stage}\n")
            _print_table(_RESULTS, [row for result in results for row in _rows(result)], left=(0, 3))
            for note in dict.fromkeys(note for result in results for note in result.notes):
                print(f"\n- {note}", end="")
            if any(result.notes for result in results):
                print()
        self._print_cpu()
        for skip in self.skipped:
            print(f"\nskipped: {skip.what}: {skip.reason}", end="")
        if self.skipped:
            print()
        loads = [result.cpu.cores_other for result in self.results if result.cpu]
        if loads and max(loads) > QUIET_CORES:
            print(
                f"\nThe machine was not quiet: other work kept up to {max(loads):.2f} cores busy."
                " Absolute figures mean little; ratios mean more."
            )

    def _print_cpu(self) -> None:
        results = [result for result in self.results if result.cpu]
        if not results:
            return
        used: set[str] = {kind for result in results if result.cpu for kind in result.cpu.unit_us}
        kinds: list[str] = [kind for kind in (*PLANT, *_OTHERS) if kind in used]
        kinds += sorted(used - set(kinds))
        print("\n### CPU by process, in us a unit\n")
        head = ("stage", "unit", *kinds, "plant", "cores", "others'")
        _print_table(head, [_cpu_row(result, kinds) for result in results], left=(0, 1))


def _cpu_row(result: ResultSummary, kinds: Sequence[str]) -> tuple[str, ...]:
    assert result.cpu is not None
    costs = [result.cpu.unit_us.get(kind) for kind in kinds]
    shown = ["" if cost is None or cost < 0.005 else number(cost) for cost in costs]
    busy, other = f"{result.cpu.cores_busy:.2f}", f"{result.cpu.cores_other:.2f}"
    name = f"{result.stage}: {result.case}"
    return name, result.cpu_of, *shown, number(result.cpu.plant_us), busy, other


def _rows(result: ResultSummary) -> list[tuple[str, ...]]:
    """Return a line a reference; the first one has the result."""
    measured = f"{number(result.value)} {result.unit}"
    if len(result.values) > 1:
        measured += f" ({number(min(result.values))} to {number(max(result.values))})"
    rows: list[tuple[str, ...]] = [(result.case, measured, "", "", *_verdict(result.aim, result.met))]
    ratios = [_ratio_cells(ratio) for ratio in result.ratios]
    if ratios and result.aim is None:
        rows = [(result.case, measured, *ratios.pop(0))]
    return rows + [("", "", *cells) for cells in ratios]


def _ratio_cells(ratio: Ratio) -> tuple[str, str, str, str]:
    return f"{ratio.ratio:.2f}", f"{ratio.of} ({number(ratio.reference)})", *_verdict(ratio.aim, ratio.met)


def _verdict(aim: Aim | None, met: bool | None) -> tuple[str, str]:
    if aim is None:
        return "", ""
    return f"{'at most' if aim.at_most else 'at least'} {aim.bound:,g}", "yes" if met else "no"


def number(value: float) -> str:
    """Format a number with three significant digits or more."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> None:
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = [f"{'-' * (width - 1)}{'-' if index in left else ':'}" for index, width in enumerate(widths)]
    for cells in (head, rule, *rows):
        print(line(cells))
