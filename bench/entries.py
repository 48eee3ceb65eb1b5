"""Stage `ingest`: frames from a websocket into Redis, beside receiving, decoding and writing alone."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from websockets.asyncio.client import connect

from bench.cpu import CpuMeter
from bench.fold import best_rate, decode_frames
from bench.market import make_frames, tape_arguments
from bench.plant import STREAMS, BenchPlant
from bench.result import MeasuredRate, Result, Throughput
from ingest.connection import VenueConnection, open_connection
from ingest.venues.binance import BinanceAdapter
from tickplant import wire
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId
from tickplant.redis_client import RedisClient

_PIPELINED: Final = 16


class Entry(NamedTuple):
    """A batch of trades in a stream."""

    stream: str
    time_ms: int
    """When Redis took it."""
    payload: bytes


async def measure_ingest(plant: BenchPlant, count: int) -> list[Result]:
    """Measure an ingest process beside its bare stages."""
    await plant.empty()
    async with plant.sandbox(*tape_arguments(count)) as venue:
        meter = CpuMeter()
        async with plant.processes("ingest", venue=venue):
            entries = await _read_when_settled(plant, count)
            costs = meter.read(count)
    times_ms = [entry.time_ms for entry in entries]
    frames = make_frames(count)
    bare = (
        await _receive(plant, count, "bare websocket, a message at a time", _take_messages),
        await _receive(plant, count, "bare websocket, batches as ingest takes them", _take_batches),
        MeasuredRate("bare decode (msgspec)", best_rate(count, lambda: decode_frames(frames)), "frames"),
        await _write(plant.redis, entries, count),
    )
    return [
        Throughput(
            "frames into Redis",
            MeasuredRate("websocket, ingest, XADD", 1000 * count / (max(times_ms) - min(times_ms)), "frames"),
            bare,
            notes=(f"{count / len(entries):.0f} trades an entry; {costs}",),
        )
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


async def _receive(
    plant: BenchPlant, count: int, name: str, take: Callable[[str, int], Awaitable[float]]
) -> MeasuredRate:
    """Measure a client that only counts."""
    async with plant.sandbox(*tape_arguments(count)) as venue:
        symbols = [SymbolId.parse(symbol).symbol for symbol in venue["symbols"]]
        return MeasuredRate(
            name, count / await take(BinanceAdapter().stream_url(venue["ws_url"], symbols), count), "frames"
        )


async def _take_messages(url: str, count: int) -> float:
    """Return the seconds from the first message to the last."""
    async with connect(url, compression=None, proxy=None) as connection:
        await connection.recv(decode=False)
        started_s = time.perf_counter()
        for _ in range(count - 1):
            await connection.recv(decode=False)
        return time.perf_counter() - started_s


async def _take_batches(url: str, count: int) -> float:
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


async def _write(redis: RedisClient, entries: Sequence[Entry], count: int) -> MeasuredRate:
    """Write the same entries again, in the order in which Redis took them, and do nothing else."""
    await redis.flushall()
    in_order = sorted(entries, key=lambda entry: entry.time_ms)
    started_s = time.perf_counter()
    for start in range(0, len(in_order), _PIPELINED):
        pipeline = redis.pipeline(transaction=False)
        for entry in in_order[start : start + _PIPELINED]:
            pipeline.execute_command("XADD", entry.stream, "*", wire.TRADES, entry.payload)
        await pipeline.execute()
    return MeasuredRate("bare XADD of the same entries", count / (time.perf_counter() - started_s))
