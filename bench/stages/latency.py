"""Stage `latency`: from the sending of a frame to its arrival at a websocket client of the API."""

import asyncio
from typing import Final

import msgspec

from bench.children import running_module
from bench.cpu import CpuMeter
from bench.frames import SYMBOLS
from bench.latency_client import Ages, LatencyRequest
from bench.progress import wait_for_worker
from bench.results import Aim, CpuCost, Result
from bench.stage import GO, Bench
from tickplant.errors import FatalError
from tickplant.local.folder import free_port

_AIMED_RATE: Final = 10_000
_P50_MS: Final = 2.0
_P99_MS: Final = 10.0
_COST: Final = 6.0
"""CPU a trade, as a multiple of the Go aggregator's."""
_MEASURED: Final = 0.8
"""The share of the client's time in which CPU is measured: it ends before the client evaluates."""
_SPARE_S: Final = 6.0
"""The tape is so much longer than what is measured."""


async def measure_latency(bench: Bench) -> list[Result]:
    """Measure the trades of all symbols at one client, at each rate; and prices at the aimed one."""
    results: list[Result] = []
    for rate in bench.sizes.latency_rates:
        for kind in ("trades", "price") if rate == _AIMED_RATE else ("trades",):
            try:
                results += await _measure(bench, rate, kind)
            except FatalError as error:
                bench.skip(f"latency at {rate:,}/s, {kind}", str(error))
    return results


async def _measure(bench: Bench, rate: int, kind: str) -> list[Result]:
    plant, sizes = bench.plant, bench.sizes
    await plant.empty()
    port = free_port()
    count = int(rate * (sizes.warm_up_s + sizes.latency_s + _SPARE_S))
    async with (
        running_module("bench.feeder", str(SYMBOLS), str(rate), str(count)) as feeder,
        plant.processes("api", "worker", venue=feeder.ready, TICKPLANT_API_PORT=str(port)),
        plant.open_pool() as pool,
    ):
        await wait_for_worker(plant, pool)
        await plant.until_listening(port)
        channels = [f"{kind}:{symbol}" for symbol in feeder.ready["symbols"]]
        request = LatencyRequest(f"ws://127.0.0.1:{port}/ws", channels, sizes.warm_up_s, sizes.latency_s)
        argument = msgspec.json.encode(request).decode()
        async with (
            running_module("bench.latency_client", argument) as client,
            plant.processes("ingest", venue=feeder.ready),
        ):
            await plant.until_published()
            await asyncio.sleep(sizes.warm_up_s)
            meter = CpuMeter()
            await asyncio.sleep(_MEASURED * sizes.latency_s)
            cpu = meter.read()
            ages = msgspec.json.decode(await client.output.read(), type=Ages)
    # Where the plant can't keep up, it has handled fewer trades than were sent.
    per_s = len(ages.at_client_us) / ages.seconds if kind == "trades" else rate
    handled = cpu.per(per_s * _MEASURED * sizes.latency_s)
    return await _results(bench, f"{rate:,}/s, {kind}", rate, ages, handled)


async def _results(bench: Bench, case: str, rate: int, ages: Ages, cpu: CpuCost) -> list[Result]:
    if not ages.at_client_us:
        raise FatalError("the client received nothing")
    aimed = rate == _AIMED_RATE
    received = len(ages.at_client_us) / ages.seconds
    notes = [
        f"{case}: until ingest received it, p50 {_percentile_ms(ages.at_ingest_us, 50):.2f} ms,"
        f" p99 {_percentile_ms(ages.at_ingest_us, 99):.2f} ms; {ages.messages:,} messages,"
        f" {received:,.0f} trades/s, the slowest after {ages.at_client_us[-1] / 1000:.0f} ms"
    ]
    if case.endswith("trades") and received < 0.95 * rate:
        notes.append(f"{case}: the plant did not keep up with {rate:,} trades/s")
    p50 = Result(
        "latency",
        f"{case}: p50",
        _percentile_ms(ages.at_client_us, 50),
        "ms",
        aims=(Aim(_P50_MS, at_most=True),) if aimed else (),
        notes=tuple(notes),
    )
    p99 = Result(
        "latency",
        f"{case}: p99",
        _percentile_ms(ages.at_client_us, 99),
        "ms",
        aims=(Aim(_P99_MS, at_most=True),) if aimed else (),
    )
    cost = Result(
        "latency",
        f"{case}: CPU of the plant",
        cpu.plant_us,
        "us a trade",
        await bench.go_reference(SYMBOLS),
        (Aim(_COST, at_most=True, of=GO),) if aimed else (),
        cpu,
    )
    return [p50, p99, cost]


def _percentile_ms(ascending_us: list[int], percent: int) -> float:
    return ascending_us[len(ascending_us) * percent // 100] / 1000
