"""The command line of the benchmark: parse, run the stages, print and write what they measured."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bench.frames import FrameFiles
from bench.machine import describe_machine
from bench.plant import forget_settings, open_plant, prepared_folder
from bench.report import Report
from bench.results import Result, summarize
from bench.sizes import FULL, QUICK, Sizes
from bench.stage import Bench
from bench.stages import STAGES
from tickplant import interrupts
from tickplant.errors import FatalError

_DESCRIPTION: Final = """\
Measure what a trade costs, stage by stage, beside what bounds each stage, in
one run on this machine. Servers run in a folder of their own, with settings
as shipped; processes and folder are removed at the end, also after Ctrl-C.

stages:
{stages}

Each figure is the median of all runs, with its smallest and largest value.
Ratios compare two figures of the same run: they travel between machines,
absolute figures don't. CPU time is counted by process, so other work on the
machine matters less, but it still warms caches and takes cores: the report
says how much there was. All stages take some 8 minutes a run.
"""

_EXAMPLES: Final = """\
examples, with make bench ARGS="..." in place of python -m bench:
  python -m bench --stage fold --stage commit --runs 5
  python -m bench --runs 3 --json figures.json
  python -m bench --stage peers --peers     installs cryptofeed into .bench
  python -m bench --quick                   only whether everything works
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code: 0 whatever was measured, 130 after Ctrl-C."""
    args = _parse(arguments)
    forget_settings()
    try:
        with prepared_folder() as folder:
            report = interrupts.run(_measure(args, folder))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except (FatalError, RuntimeError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.print()
    if args.json:
        report.write_json(args.json)
    return 0


def _parse(arguments: Sequence[str] | None) -> Namespace:
    stages = "\n".join(f"  {name:<9} {stage.summary}" for name, stage in STAGES.items())
    parser = ArgumentParser(
        "python -m bench",
        usage="python -m bench [--stage NAME]... [--runs N] [--json FILE] [options]",
        description=_DESCRIPTION.format(stages=stages),
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stage",
        choices=STAGES,
        action="append",
        metavar="NAME",
        help="run this stage only; may be repeated",
    )
    parser.add_argument("--runs", type=_positive, default=1, metavar="N", help="measure N times (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument(
        "--trades", type=_positive, metavar="N", help=f"trades of throughput stages ({FULL.trades:,})"
    )
    parser.add_argument(
        "--peers", action="store_true", help="install cryptofeed, into an environment of its own"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: the figures mean nothing")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


async def _measure(args: Namespace, folder: Path) -> Report:
    machine = describe_machine()
    for line in machine:
        print(line, flush=True)
    bench = Bench(_sizes(args), FrameFiles(folder), quick=args.quick, peers=args.peers)
    chosen = [name for name in STAGES if not args.stage or name in args.stage]
    if any(STAGES[name].needs_plant for name in chosen):
        async with open_plant(folder) as plant:
            bench.plant = plant
            machine.append(plant.servers)
            print(plant.servers, flush=True)
            runs = await _run(bench, chosen, args.runs)
    else:
        runs = await _run(bench, chosen, args.runs)
    return Report(machine, args.runs, args.quick, summarize(runs), list(bench.skipped.values()))


def _sizes(args: Namespace) -> Sizes:
    sizes = QUICK if args.quick else FULL
    return replace(sizes, trades=args.trades) if args.trades else sizes


async def _run(bench: Bench, stages: Sequence[str], runs: int) -> list[list[Result]]:
    measured = []
    for run in range(runs):
        bench.start_run()
        results: list[Result] = []
        for name in stages:
            of_runs = f", run {run + 1} of {runs}" if runs > 1 else ""
            print(f"{time.strftime('%H:%M:%S')} {name}{of_runs}", file=sys.stderr, flush=True)
            results += await STAGES[name].measure(bench)
        measured.append(results)
    return measured
