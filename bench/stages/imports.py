"""Stage `import`: a file of trades to committed rows, beside COPY of the same rows into the same table."""

import os
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.children import run_program
from bench.cpu import CpuMeter
from bench.frames import read_frames
from bench.plant import BenchPlant, prepared_folder
from bench.prefill import parse_frames, publish
from bench.progress import wait_until_committed
from bench.results import Aim, CpuCost, Result
from bench.stage import Bench
from bench.stages.commit import copy_in, copy_out
from tickplant.market import Trade

_AIM: Final = 0.6
_RATE: Final = 50.0
"""Trades a second by exchange time: those of a busy symbol."""
_STORED: Final = {"into an empty plant": 0, "before live trades": 1}
"""How many of the newest trades are stored before; then all others are older."""


async def measure_import(bench: Bench) -> list[Result]:
    """Measure `tickplant import`, from its start to its end, with one worker process."""
    plant, count = bench.plant, bench.sizes.import_trades
    frames = read_frames(await bench.frames.get(count, 1, _RATE))
    trades = [
        trade for start in range(0, count, 10_000) for trade in parse_frames(frames[start : start + 10_000])
    ]
    results: list[Result] = []
    with prepared_folder() as folder:
        path = _write_zip(folder, trades)
        rates = {case: await _measure(plant, path, trades, stored) for case, stored in _STORED.items()}
        text = await copy_in(plant, await copy_out(plant), "text", 1)
        for case, (per_s, cpu) in rates.items():
            aim = Aim(_AIM, at_most=False, of=text.name)
            results.append(Result("import", case, per_s, "trades/s", (text,), (aim,), cpu))
    return results


async def _measure(
    plant: BenchPlant, path: Path, trades: Sequence[Trade], stored: int
) -> tuple[float, CpuCost]:
    await plant.empty()
    await publish(plant.publisher(), trades[len(trades) - stored :])
    async with plant.processes("worker"), plant.open_pool() as pool:
        await wait_until_committed(plant, pool, stored)
        meter = CpuMeter()
        started_s = time.perf_counter()
        await run_program(
            [sys.executable, "-m", "tickplant", "import", "--files", path],
            environment={
                **os.environ,
                "TICKPLANT_REDIS_URL": plant.redis_url,
                "TICKPLANT_DATABASE_URL": plant.database_url,
            },
        )
        seconds = time.perf_counter() - started_s
        return (len(trades) - stored) / seconds, meter.read().per(len(trades) - stored)


def _write_zip(folder: Path, trades: Sequence[Trade]) -> Path:
    first = time.strftime("%Y-%m-%d", time.gmtime(trades[0].event_time_us / 1e6))
    name = f"{trades[0].symbol}-trades-{first}"
    rows = [
        f"{trade.trade_id},{trade.price},{trade.size},1.00000000,{trade.event_time_us},"
        f"{trade.side == 'sell'},True\n"
        for trade in trades
    ]
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "".join(rows))
    return folder / f"{name}.zip"
