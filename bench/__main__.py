"""`python -m bench`: measure every stage beside its limit, and print one table."""

import asyncio
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.commits import measure_commit
from bench.entries import measure_ingest
from bench.fold import measure_fold
from bench.latency import measure_latency
from bench.machine import describe_machine
from bench.plant import BenchPlant, forget_settings, open_plant, prepared_folder
from bench.result import MeasuredRate, Result, Throughput, print_results
from bench.roles import measure_roles
from bench.whole import measure_whole

STAGES: Final = ("fold", "ingest", "commit", "roles", "whole", "latency")

_DESCRIPTION: Final = """\
Measure every stage beside its limit, all in one run on this machine, with the settings as shipped.

  fold     frames in memory to exact candles, on one core, beside decoding alone
  ingest   frames from a websocket into Redis, beside receiving, decoding and writing alone
  commit   a full stream to committed rows, beside COPY of the same rows alone
  roles    what a trade costs the worker with all roles, and with 100,000 alerts, beside candles alone
  whole    websocket to committed rows, all processes side by side
  latency  from a frame to a websocket client of the API, at 10,000 trades/s over 100 symbols

Servers run in a folder of their own, which is removed. Nothing else should run meanwhile.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 unless something breaks, whatever was measured."""
    args = _parse(arguments)
    for line in describe_machine():
        print(line, flush=True)
    forget_settings()
    with prepared_folder() as folder:
        results = asyncio.run(_measure(args, folder))
    print()
    print_results(results)
    return 0


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(
        "python -m bench", description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="see that it works; the numbers mean little")
    parser.add_argument("--trades", type=int, metavar="N", help="of each throughput stage (1,000,000)")
    args = parser.parse_args(arguments)
    args.trades = args.trades or (10_000 if args.quick else 1_000_000)
    args.roles_trades = max(args.trades, 25_000 if args.quick else 60_000)  # several commits
    args.alerts = 1_000 if args.quick else 100_000
    args.seconds = 0.5 if args.quick else 10.0
    args.warm_up_s = 0.5 if args.quick else 2.0
    args.stage = args.stage or STAGES
    return args


async def _measure(args: Namespace, folder: Path) -> list[Result]:
    results: list[Result] = []
    if "fold" in args.stage:
        _log_stage("fold")
        results += measure_fold(min(args.trades, 300_000))
    if set(args.stage) - {"fold"}:
        async with open_plant(folder) as plant:
            print(plant.servers, flush=True)
            await _measure_plant(args, plant, results)
    return results


async def _measure_plant(args: Namespace, plant: BenchPlant, results: list[Result]) -> None:
    if "ingest" in args.stage:
        _log_stage("ingest")
        results += await measure_ingest(plant, args.trades)
    if "commit" in args.stage:
        _log_stage("commit")
        results += await measure_commit(plant, args.trades)
    if "roles" in args.stage:
        _log_stage("roles")
        results += await measure_roles(plant, args.roles_trades, args.alerts)
    if "whole" in args.stage:
        _log_stage("whole")
        results += await measure_whole(plant, args.trades, _bare(results))
    if "latency" in args.stage:
        _log_stage("latency")
        results += await measure_latency(plant, args.seconds, args.warm_up_s)


def _bare(results: Sequence[Result]) -> tuple[MeasuredRate, ...]:
    """Return the slowest bare stage of each stage measured so far."""
    limits = [result.limit for result in results if isinstance(result, Throughput)]
    return tuple(limit for limit in limits if limit)


def _log_stage(stage: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {stage}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
