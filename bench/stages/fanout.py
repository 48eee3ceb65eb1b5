"""Stage `fanout`: one update to many websocket clients of one API process."""

import asyncio
import resource
from typing import Final

import msgspec

from bench.children import running_module
from bench.cpu import CpuMeter
from bench.fanout_client import FanoutAges, FanoutRequest
from bench.plant import SETTINGS, BenchPlant
from bench.results import Aim, Reference, Result
from bench.stage import Bench
from tickplant import wire
from tickplant.clock import now_us
from tickplant.local.folder import free_port
from tickplant.market import SymbolId, Trade
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveUpdate

_SYMBOL: Final = SymbolId("binance", "BTCUSDT")
_SENDS_AIM: Final = 100_000
_P99_AIM: Final = 5.0
"""As a multiple of p50."""
_SPARE_FILES: Final = 200


async def measure_fanout(bench: Bench) -> list[Result]:
    """Measure prices of one symbol, published as a worker publishes them."""
    plant, sizes = bench.plant, bench.sizes
    await plant.empty()
    _allow_files(sizes.fanout_clients + _SPARE_FILES)
    port = free_port()
    symbols = {"TICKPLANT_SYMBOLS": str(_SYMBOL), "TICKPLANT_API_PORT": str(port)}
    async with plant.processes("api", venue=None, **symbols):
        await plant.until_listening(port)
        request = FanoutRequest(port, f"/ws/price/{_SYMBOL}", sizes.fanout_clients, sizes.fanout_s)
        async with running_module("bench.fanout_client", msgspec.json.encode(request).decode()) as client:
            meter = CpuMeter()
            updates = await _publish(plant, sizes.fanout_updates_per_s, sizes.fanout_s)
            cpu = meter.read()
            ages = msgspec.json.decode(await client.output.read(), type=FanoutAges)
    cpu = cpu.per(ages.received)
    sends_per_core = 1e6 / cpu.unit_us["api"] if cpu.unit_us.get("api") else 0.0
    case = f"{sizes.fanout_clients:,} clients, {sizes.fanout_updates_per_s:g} updates/s"
    p50_ms = ages.p50_us / 1000
    sent = updates * sizes.fanout_clients
    return [
        Result(
            "fanout",
            f"{case}: a core of the API",
            sends_per_core,
            "sends/s",
            aims=(Aim(_SENDS_AIM, at_most=False),),
            cpu=cpu,
            cpu_of="send",
            notes=(f"{ages.received:,} of {sent:,} messages arrived; the others were conflated or late",),
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


async def _publish(plant: BenchPlant, per_s: float, seconds: float) -> int:
    """Publish a price at a steady rate and return how many were published; ids are the time."""
    clock_s = asyncio.get_running_loop().time
    stream = live_stream(partition_of(*_SYMBOL, SETTINGS.partitions))
    count = max(1, int(per_s * seconds * 0.9))  # the last ones arrive before the clients stop
    started_s = clock_s()
    for number in range(count):
        await asyncio.sleep(max(0.0, started_s + number / per_s - clock_s()))
        time_us = now_us()
        trade = Trade(*_SYMBOL, time_us, "60007.06000000", "0.02209000", "buy", time_us, time_us)
        await plant.redis.xadd(stream, {wire.UPDATE: wire.encode_update(LiveUpdate(prices=(trade,)))})
    await asyncio.sleep(1 / per_s)
    return count


def _allow_files(count: int) -> None:
    """Let this process and its children open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
