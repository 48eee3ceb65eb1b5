"""Medians over runs, ratios within a run, and how both are shown."""

from pathlib import Path

import msgspec
import pytest

from bench.report import Report, number
from bench.results import Aim, CpuCost, Reference, Result, Skip, summarize


def result(value: float, base: float, *, other: float = 0.0) -> Result:
    return Result(
        "commit",
        "1 worker",
        value,
        "trades/s",
        (Reference("bare COPY", base),),
        (Aim(0.7, at_most=False, of="bare COPY"),),
        CpuCost({"worker": value / 10, "postgres": 2.0, "bench": 50.0}, 1.5, other),
    )


def test_figures_are_medians_of_all_runs() -> None:
    (summary,) = summarize([[result(10, 100)], [result(30, 100)], [result(20, 100)]])
    assert summary.value == 20
    assert summary.values == (10, 30, 20)
    assert summary.cpu is not None
    assert summary.cpu.unit_us["worker"] == 2.0


def test_ratios_compare_figures_of_the_same_run() -> None:
    (summary,) = summarize([[result(80, 100)], [result(8, 10)], [result(90, 90)]])
    (ratio,) = summary.ratios
    assert ratio.ratio == 0.8
    assert ratio.met


def test_an_aim_for_a_reference_that_is_missing_is_not_judged() -> None:
    lone = msgspec.structs.replace(result(1, 1), references=())
    (summary,) = summarize([[lone]])
    assert (summary.met, summary.ratios) == (None, ())


def test_a_plants_cost_leaves_out_the_benchmarks_own_processes() -> None:
    assert CpuCost({"worker": 1.0, "redis": 2.0, "bench": 50.0, "sandbox": 9.0}, 1, 0).plant_us == 3.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (1.5, "1.50"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_report_names_what_was_skipped_and_how_busy_the_machine_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = summarize([[result(80, 100, other=0.6)]])
    report = Report(["2 cores"], 1, False, results, [Skip("Go aggregator", "Go is missing")])
    report.print()
    printed = capsys.readouterr().out
    assert "| at least 0.7 |" in printed
    assert "skipped: Go aggregator: Go is missing" in printed
    assert "not quiet" in printed
    report.write_json(tmp_path / "figures.json")
    written = msgspec.json.decode((tmp_path / "figures.json").read_bytes())
    assert written["results"][0]["ratios"][0]["ratio"] == 0.8
