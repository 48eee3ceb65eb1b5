"""Stage `publish`: frames from a websocket into Redis, beside receiving, decoding and writing alone."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from bench.cpu import CpuMeter
from bench.frames import SYMBOLS, tape_arguments
from bench.plant import STREAMS, BenchPlant
from bench.results import Aim, Reference, Result
from bench.stage import Bench
from bench.stages.fold import DECODE
from ingest.connection import VenueConnection, open_connection
from ingest.venues.binance import BinanceAdapter
from tickplant import wire
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId
from tickplant.redis_client import RedisClient

WRITE: Final = "bare XADD of the same entries"
_AIM: Final = 0.6
"""The share of the slowest bare step."""
_PIPELINED: Final = 16


class Entry(NamedTuple):
    """A batch of trades in a stream."""

    stream: str
    time_ms: int
    """When Redis took it."""
    payload: bytes


async def measure_publish(bench: Bench) -> list[Result]:
    """Measure an ingest process beside its bare steps, and its work in memory."""
    plant, count = bench.plant, bench.sizes.trades
    await plant.empty()
    async with plant.sandbox(*tape_arguments(count)) as venue, plant.processes("ingest", venue=venue):
        await plant.until_published()
        meter = CpuMeter()
        entries = await _read_when_settled(plant, count)
        cpu = meter.read().per(count)
    times_ms = [entry.time_ms for entry in entries]
    rates = await bench.in_memory(SYMBOLS)
    references = (
        await _receive(plant, count),
        Reference(DECODE, rates.decode),
        await _write(plant.redis, entries, count),
    )
    slowest = min(references, key=lambda reference: reference.value)
    return [
        Result(
            "publish",
            "websocket to stream",
            1000 * count / max(1, max(times_ms) - min(times_ms)),
            "trades/s",
            references,
            (Aim(_AIM, at_most=False, of=slowest.name),),
            cpu,
            notes=(f"{count / len(entries):.0f} trades an entry",),
        ),
        *(
            Result(
                "publish",
                f"frame to entry in memory, {name}",
                rate,
                "trades/s",
                (Reference(DECODE, rates.decode),),
            )
            for name, rate in rates.encode.items()
        ),
    ]


async def _read_when_settled(plant: BenchPlant, count: int) -> list[Entry]:
    """Return all entries with trades, once all trades are there."""
    entries: list[Entry] = []
    length = 0

    async def is_settled() -> bool:
        nonlocal entries, length
        known, length = length, await plant.entries()
        if length == 0 or length != known:
            return False
        entries = [entry for stream in STREAMS for entry in await _read(plant.redis, stream)]
        return sum(len(decode_trades(entry.payload)) for entry in entries) >= count

    await plant.until(is_settled, f"{count:,} trades in Redis", poll_s=0.3)
    return entries


async def _read(redis: RedisClient, stream: str) -> list[Entry]:
    answer: Any = await redis.xrange(stream)
    return [
        Entry(stream, int(entry_id.partition(b"-")[0]), fields[wire.TRADES])
        for entry_id, fields in answer
        if wire.TRADES in fields
    ]


async def _receive(plant: BenchPlant, count: int) -> Reference:
    """Measure a client that receives as ingest does, and only counts."""
    async with plant.sandbox(*tape_arguments(count)) as venue:
        symbols = [SymbolId.parse(symbol).symbol for symbol in venue["symbols"]]
        url = BinanceAdapter().stream_url(venue["ws_url"], symbols)
        return Reference("bare websocket", count / await _take(url, count))


async def _take(url: str, count: int) -> float:
    """Return the seconds from the first message to the last."""
    async with open_connection(url, timeout_s=10) as connection:
        assert isinstance(connection, VenueConnection)
        taken = _count(await connection.take())
        started_s = time.perf_counter()
        while taken < count:
            taken += _count(await connection.take())
        return time.perf_counter() - started_s


def _count(reads: Sequence[Any]) -> int:
    return sum(len(read.frames) for read in reads)


async def _write(redis: RedisClient, entries: Sequence[Entry], count: int) -> Reference:
    """Write the same entries again, in the order in which Redis took them, and do nothing else."""
    await redis.flushall()
    in_order = sorted(entries, key=lambda entry: entry.time_ms)
    started_s = time.perf_counter()
    for start in range(0, len(in_order), _PIPELINED):
        pipeline = redis.pipeline(transaction=False)
        for entry in in_order[start : start + _PIPELINED]:
            pipeline.execute_command("XADD", entry.stream, "*", wire.TRADES, entry.payload)
        await pipeline.execute()
    return Reference(WRITE, count / (time.perf_counter() - started_s))
