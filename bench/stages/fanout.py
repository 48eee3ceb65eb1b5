"""Stage `fanout`: one update to many websocket clients of one API process, some of which read slowly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from api.live.gate import WebsocketLimits
from bench.api_state import ApiMemory, SlowClientCounts, api_memory_mb, read_slow_client_counts
from bench.children import running_module
from bench.cpu import CpuMeter
from bench.fanout_client import ONE_SLOW_IN, FanoutAges, FanoutRequest
from bench.plant import SETTINGS, BenchPlant
from bench.results import Aim, CpuCost, Reference, Result
from bench.sizes import Sizes
from bench.stage import Bench
from tickplant import wire
from tickplant.background import background
from tickplant.clock import now_us
from tickplant.local.folder import free_port
from tickplant.market import SymbolId, Trade
from tickplant.open_files import allow_open_files
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveEntry, LiveUpdate

_SYMBOL: Final = SymbolId("binance", "BTCUSDT")
_SENDS_AIM: Final = 100_000
_P99_AIM: Final = 5.0
"""As a multiple of p50."""
_SLOW_P99_AIM: Final = 1.5
"""As a multiple of p99 without slow clients."""
_FILLING_UPDATES: Final = 6
"""With trades, for slow clients alone: together more than the buffers of a connection hold."""
_FILLING_TRADES: Final = 1_000
_FILL_S: Final = 2.0
_SPARE_FILES: Final = 200
_BARE: Final = "bare uvicorn"


class _WithSlow(NamedTuple):
    """What was measured while every tenth client was slow."""

    ages: FanoutAges
    counts: SlowClientCounts
    memory: ApiMemory
    end_mb: float


async def measure_fanout(bench: Bench) -> list[Result]:
    """Measure prices of one symbol, published as a worker publishes them, without and with slow clients.

    A bare server is measured in between.
    """
    sizes = bench.sizes
    allow_open_files(sizes.fanout_clients + _SPARE_FILES)
    await bench.plant.empty()
    port = free_port()
    symbols = {"TICKPLANT_SYMBOLS": str(_SYMBOL), "TICKPLANT_API_PORT": str(port)}
    async with bench.plant.processes("api", venue=None, **symbols):
        await bench.plant.until_listening(port)
        ages, cpu = await _measure_api(bench, port)
        with_slow = await _measure_with_slow(bench, port)
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
        *_results_with_slow(case, sizes, ages, with_slow),
    ]


def _results_with_slow(case: str, sizes: Sizes, ages: FanoutAges, with_slow: _WithSlow) -> list[Result]:
    slow = -(-sizes.fanout_clients // ONE_SLOW_IN)
    counts, memory = with_slow.counts, with_slow.memory
    closed = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(counts.closed.items())) or "none"
    without = "p99 without slow clients"
    return [
        Result(
            "fanout",
            f"{case}, {slow} of them slow: p99 of the others",
            with_slow.ages.p99_us / 1000,
            "ms",
            (Reference(without, ages.p99_us / 1000),),
            (Aim(_SLOW_P99_AIM, at_most=True, of=without),),
            notes=(
                f"of {slow} slow clients the API closed: {closed}; updates replaced by newer ones:"
                f" {counts.conflations:,}",
                f"{with_slow.ages.received:,} of {_updates(sizes) * (sizes.fanout_clients - slow):,} messages"
                " arrived at the others",
                f"memory of the API: {memory.before_mb:.0f} MB before, {memory.peak_mb:.0f} MB at most,"
                f" {with_slow.end_mb:.0f} MB at the end",
            ),
        ),
        Result(
            "fanout",
            f"{case}, {slow} of them slow: memory of the API, a slow client",
            (memory.peak_mb - memory.before_mb) / slow,
            "MB",
            aims=(Aim(round(WebsocketLimits().queue_bytes / 1e6, 1), at_most=True),),
        ),
    ]


def _sends_per_core(send_us: float) -> float:
    return 1e6 / send_us if send_us else 0.0


def _updates(sizes: Sizes) -> int:
    """Return how many updates are published: the last ones arrive before the clients stop."""
    return max(1, int(sizes.fanout_updates_per_s * sizes.fanout_s * 0.9))


async def _measure_api(bench: Bench, port: int) -> tuple[FanoutAges, CpuCost]:
    sizes = bench.sizes
    return await _measure(
        FanoutRequest(port, f"/ws/price/{_SYMBOL}", sizes.fanout_clients, sizes.fanout_s),
        lambda: _publish(bench.plant, sizes),
    )


async def _measure_with_slow(bench: Bench, port: int) -> _WithSlow:
    """Measure while every tenth client is slow, and has more to read already than buffers hold."""
    sizes = bench.sizes
    path = f"/ws/price/{_SYMBOL}"
    request = FanoutRequest(port, path, sizes.fanout_clients, sizes.fanout_s + _FILL_S, f"trades:{_SYMBOL}")
    memory, before = ApiMemory(), await read_slow_client_counts(port)
    end_mb = 0.0

    async def publish() -> None:
        nonlocal end_mb
        async with background(memory.watch()):
            await _fill_buffers(bench.plant)
            await _publish(bench.plant, sizes)
        end_mb = api_memory_mb()

    ages, _ = await _measure(request, publish)
    counts = (await read_slow_client_counts(port)).since(before)
    return _WithSlow(ages, counts, memory, end_mb)


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


async def _fill_buffers(plant: BenchPlant) -> None:
    """Publish trades, which only slow clients are subscribed to."""
    for number in range(_FILLING_UPDATES):
        trades = [_trade(number * _FILLING_TRADES + index) for index in range(_FILLING_TRADES)]
        entry = LiveEntry(f"{number + 1}-0", Raw(wire.encode_trades(trades)))
        await _publish_update(plant, LiveUpdate((entry,)))
        await asyncio.sleep(_FILL_S / _FILLING_UPDATES)


async def _publish(plant: BenchPlant, sizes: Sizes) -> None:
    """Publish prices at a steady rate; ids are the time."""
    clock_s = asyncio.get_running_loop().time
    per_s, started_s = sizes.fanout_updates_per_s, clock_s()
    for number in range(_updates(sizes)):
        await asyncio.sleep(max(0.0, started_s + number / per_s - clock_s()))
        await _publish_update(plant, LiveUpdate(prices=(_trade(now_us()),)))
    await asyncio.sleep(1 / per_s)


async def _publish_update(plant: BenchPlant, update: LiveUpdate) -> None:
    stream = live_stream(partition_of(*_SYMBOL, SETTINGS.partitions))
    await plant.redis.xadd(stream, {wire.UPDATE: wire.encode_update(update)})


def _trade(trade_id: int) -> Trade:
    time_us = now_us()
    return Trade(*_SYMBOL, trade_id, "60007.06000000", "0.02209000", "buy", time_us, time_us)
