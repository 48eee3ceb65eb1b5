"""Stage `latency`: from the sending of a frame to its arrival at a websocket client of the API."""

import asyncio
import sys
from subprocess import PIPE
from typing import Any, Final

import msgspec

from bench.client import Ages, LatencyRequest
from bench.commits import wait_for_worker
from bench.cpu import CpuMeter
from bench.market import RATE, SEED, SYMBOLS
from bench.plant import BenchPlant
from bench.result import Latency, Result
from db.pool import open_pool
from tickplant.local.folder import free_port

AIM_P50_MS: Final = 2.0
AIM_P99_MS: Final = 10.0


async def measure_latency(plant: BenchPlant, seconds: float, warm_up_s: float) -> list[Result]:
    """Measure trades, and then prices, of all symbols at one client."""
    await plant.empty()
    port = free_port()
    market = ["--symbol-count", str(SYMBOLS), "--rate", str(RATE), "--seed", str(SEED)]
    async with (
        plant.sandbox(*market) as venue,
        plant.processes("api", "worker", venue=venue, TICKPLANT_API_PORT=str(port)),
        open_pool(plant.database_url, size=1, application="bench") as pool,
    ):
        await wait_for_worker(plant, pool)
        await plant.until(lambda: _accepts(port), "the API to listen")
        async with plant.processes("ingest", venue=venue):
            return [
                await _measure(port, kind, venue["symbols"], seconds, warm_up_s)
                for kind in ("trades", "price")
            ]


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _measure(port: int, kind: str, symbols: list[str], seconds: float, warm_up_s: float) -> Latency:
    channels = [f"{kind}:{symbol}" for symbol in symbols]
    meter = CpuMeter()
    answer = await _run_client(LatencyRequest(f"ws://127.0.0.1:{port}/ws", channels, warm_up_s, seconds))
    costs = meter.read(int(RATE * (seconds + warm_up_s)))
    ages, earlier = answer.at_client_us, answer.at_ingest_us
    return Latency(
        f"frame to websocket client, {kind} of {len(symbols)} symbols",
        answer.messages,
        p50_ms=_percentile_ms(ages, 50),
        p99_ms=_percentile_ms(ages, 99),
        most_ms=ages[-1] / 1000,
        aim_p50_ms=AIM_P50_MS,
        aim_p99_ms=AIM_P99_MS,
        per_s=len(ages) / seconds,
        notes=(
            f"until ingest had it: p50 {_percentile_ms(earlier, 50):.2f} ms,"
            f" p99 {_percentile_ms(earlier, 99):.2f} ms",
            costs,
        ),
    )


def _percentile_ms(ascending_us: list[int], percent: int) -> float:
    return ascending_us[len(ascending_us) * percent // 100] / 1000


async def _run_client(order: LatencyRequest) -> Ages:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.client", stdin=PIPE, stdout=PIPE
    )
    output: Any
    output, _ = await process.communicate(msgspec.json.encode(order))
    if process.returncode != 0:
        raise RuntimeError(f"the client ended with exit code {process.returncode}")
    return msgspec.json.decode(output, type=Ages)
