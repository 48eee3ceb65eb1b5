"""Stage `fanout`: one update to many websocket clients of one API process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bench.children import running_module
from bench.cpu import CpuMeter
from bench.fanout_client import FanoutAges, FanoutRequest
from bench.plant import SETTINGS, BenchPlant
from bench.results import Aim, CpuCost, Reference, Result
from bench.sizes import Sizes
from bench.stage import Bench
from tickplant import wire
from tickplant.clock import now_us
from tickplant.local.folder import free_port
from tickplant.market import SymbolId, Trade
from tickplant.open_files import allow_open_files
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveUpdate

_SYMBOL: Final = SymbolId("binance", "BTCUSDT")
_SENDS_AIM: Final = 100_000
_P99_AIM: Final = 5.0
"""As a multiple of p50."""
_SPARE_FILES: Final = 200
_BARE: Final = "bare uvicorn"


async def measure_fanout(bench: Bench) -> list[Result]:
    """Measure prices of one symbol, published as a worker publishes them; and a bare server's."""
    sizes = bench.sizes
    allow_open_files(sizes.fanout_clients + _SPARE_FILES)
    await bench.plant.empty()
    ages, cpu = await _measure_api(bench)
    bare_ages, bare_cpu = await _measure_bare(bench)
    case = f"{sizes.fanout_clients:,} clients, {sizes.fanout_updates_per_s:g} updates/s"
    p50_ms = ages.p50_us / 1000
    return [
        Result(
            "fanout",
            f"{case}: a core of the API",
            _sends_per_core(cpu.unit_us.get("api", 0.0)),
            "sends/s",
            (Reference(_BARE, _sends_per_core(bare_cpu.unit_us.get("bare api", 0.0))),),
            aims=(Aim(_SENDS_AIM, at_most=False),),
            cpu=cpu,
            cpu_of="send",
            notes=(
                f"{ages.received:,} of {_updates(sizes) * sizes.fanout_clients:,} messages arrived;"
                " the others were conflated or late",
                f"{_BARE}: p50 {bare_ages.p50_us / 1000:.1f} ms, p99 {bare_ages.p99_us / 1000:.1f} ms",
            ),
        ),
        Result("fanout", f"{case}: p50", p50_ms, "ms"),
        Result(
            "fanout",
            f"{case}: p99",
            ages.p99_us / 1000,
            "ms",
            (Reference("p50", p50_ms),),
            (Aim(_P99_AIM, at_most=True, of="p50"),),
        ),
    ]


def _sends_per_core(send_us: float) -> float:
    return 1e6 / send_us if send_us else 0.0


def _updates(sizes: Sizes) -> int:
    """Return how many updates are published: the last ones arrive before the clients stop."""
    return max(1, int(sizes.fanout_updates_per_s * sizes.fanout_s * 0.9))


async def _measure_api(bench: Bench) -> tuple[FanoutAges, CpuCost]:
    plant, sizes = bench.plant, bench.sizes
    port = free_port()
    symbols = {"TICKPLANT_SYMBOLS": str(_SYMBOL), "TICKPLANT_API_PORT": str(port)}
    async with plant.processes("api", venue=None, **symbols):
        await plant.until_listening(port)
        return await _measure(
            FanoutRequest(port, f"/ws/price/{_SYMBOL}", sizes.fanout_clients, sizes.fanout_s),
            lambda: _publish(plant, sizes.fanout_updates_per_s, _updates(sizes)),
        )


async def _measure_bare(bench: Bench) -> tuple[FanoutAges, CpuCost]:
    sizes = bench.sizes
    port = free_port()
    arguments = (str(port), str(sizes.fanout_clients), str(sizes.fanout_updates_per_s))
    async with running_module("bench.bare_fanout", *arguments):
        await bench.plant.until_listening(port)
        return await _measure(
            FanoutRequest(port, "/", sizes.fanout_clients, sizes.fanout_s),
            lambda: asyncio.sleep(sizes.fanout_s * 0.9),
        )


async def _measure(
    request: FanoutRequest, publish: Callable[[], Awaitable[None]]
) -> tuple[FanoutAges, CpuCost]:
    """Return how old updates are upon arrival, and the CPU of a send, while updates are published."""
    async with running_module("bench.fanout_client", msgspec.json.encode(request).decode()) as client:
        meter = CpuMeter()
        await publish()
        ages = msgspec.json.decode(await client.output.read(), type=FanoutAges)
        cpu = meter.read()
    return ages, cpu.per(ages.received)


async def _publish(plant: BenchPlant, per_s: float, count: int) -> None:
    """Publish prices at a steady rate; ids are the time."""
    clock_s = asyncio.get_running_loop().time
    stream = live_stream(partition_of(*_SYMBOL, SETTINGS.partitions))
    started_s = clock_s()
    for number in range(count):
        await asyncio.sleep(max(0.0, started_s + number / per_s - clock_s()))
        time_us = now_us()
        trade = Trade(*_SYMBOL, time_us, "60007.06000000", "0.02209000", "buy", time_us, time_us)
        await plant.redis.xadd(stream, {wire.UPDATE: wire.encode_update(LiveUpdate(prices=(trade,)))})
    await asyncio.sleep(1 / per_s)
