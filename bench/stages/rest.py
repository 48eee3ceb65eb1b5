"""Stage `rest`: the CPU of a REST answer, beside a bare Litestar route that serves the same bytes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from bench.children import running_module
from bench.cpu import CpuMeter
from bench.http_load import HttpConnection, open_http
from bench.plant import BenchPlant
from bench.prefill import publish_frames
from bench.progress import wait_until_committed
from bench.results import Aim, CpuCost, Reference, Result
from bench.stage import Bench
from sandbox.generator import name_symbols
from tickplant.local.folder import free_port

_BARE: Final = "bare Litestar route"
_RATE: Final = 0.05
"""Trades a second by exchange time: a few in each minute, so that there are as many candles as are read."""
_UNIT: Final = "us of the server's CPU a request"
_WARM_UP: Final = 10
_SHARE: Final = 10
"""Of long answers, as many requests less."""


class _Case(NamedTuple):
    name: str
    path: str
    requests: int
    aim: float
    """The most CPU, as a multiple of the bare route's."""


async def measure_rest(bench: Bench) -> list[Result]:
    """Measure a price, candles and trades of one symbol."""
    plant, rows, requests = bench.plant, bench.sizes.rest_rows, bench.sizes.rest_requests
    (symbol,) = (f"binance:{name}" for name in name_symbols(1))
    long = max(1, requests // _SHARE)
    cases = (
        _Case("price", f"/api/v1/price/{symbol}", requests, 2),
        _Case(f"{rows:,} candles", f"/api/v1/ohlcv/{symbol}?interval=1m&limit={rows}", long, 3),
        _Case(f"{rows:,} trades", f"/api/v1/trades/{symbol}?limit={rows}", long, 4),
    )
    await plant.empty()
    count = 4 * rows
    await publish_frames(plant.publisher(), await bench.frames.get(count, 1, _RATE))
    port = free_port()
    async with plant.processes("api", venue=None, TICKPLANT_SYMBOLS=symbol, TICKPLANT_API_PORT=str(port)):
        async with plant.processes("worker", TICKPLANT_ROLES="none"), plant.open_pool() as pool:
            await wait_until_committed(plant, pool, count)
        await plant.until_listening(port)
        async with open_http(port) as http:
            bodies = [await http.get(case.path) for case in cases]
            costs = [await _measure(http, case.path, case.requests) for case in cases]
    bare = await _measure_bare(plant, bodies, [case.requests for case in cases])
    return [
        Result(
            "rest",
            case.name,
            cost.unit_us.get("api", 0.0),
            _UNIT,
            (Reference(_BARE, reference),),
            (Aim(case.aim, at_most=True, of=_BARE),),
            cost,
            "request",
            (f"{case.name}: {len(body):,} bytes",),
        )
        for case, body, cost, reference in zip(cases, bodies, costs, bare, strict=True)
    ]


async def _measure(http: HttpConnection, path: str, requests: int) -> CpuCost:
    for _ in range(_WARM_UP):
        await http.get(path)
    meter = CpuMeter()
    for _ in range(requests):
        await http.get(path)
    return meter.read().per(requests)


async def _measure_bare(plant: BenchPlant, bodies: list[bytes], requests: list[int]) -> list[float]:
    """Return the CPU of the bare server for each body, in microseconds a request."""
    port = free_port()
    with TemporaryDirectory(prefix="tickplant-bench-") as folder:
        files = [Path(folder) / str(number) for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            file.write_bytes(body)
        async with running_module("bench.bare_api", str(port), *map(str, files)):
            await plant.until_listening(port)
            async with open_http(port) as http:
                costs = [await _measure(http, f"/{number}", count) for number, count in enumerate(requests)]
    return [cost.unit_us.get("bare api", 0.0) for cost in costs]
