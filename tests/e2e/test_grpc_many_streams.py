"""A thousand streams of one gRPC process: its memory is bounded, whether clients read or not."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from api_plant import BTC, PARTITIONS, candle, trade, update
from conftest import on_one_variant
from grpc_plant import new_channel, next_of
from processes import Processes
from working import until

from tickplant import wire
from tickplant.api.v1.market_data_pb2 import StreamCandlesRequest, StreamTradesRequest
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.local.folder import free_port
from tickplant.redis_client import open_redis
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveUpdate

pytestmark = [pytest.mark.slow, on_one_variant]

_log = logging.getLogger(__name__)

STREAMS = 1000
CONNECTIONS = 10
IDLE = 100
"""How many of them are not read."""
PER_S = 10
SECONDS = 20
MOST_BYTES = 600_000_000
MOST_GROWTH = 60_000_000

Publish = Callable[[LiveUpdate], Awaitable[object]]


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def cpu_s(pid: int) -> float:
    """The CPU time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_the_memory_of_a_thousand_streams_is_bounded(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_GRPC_PORT": str(free_port()),
    }
    stream = live_stream(partition_of(*BTC, PARTITIONS))

    async def publish(made: LiveUpdate) -> None:
        await redis.xadd(stream, {wire.UPDATE: wire.encode_update(made)}, maxlen=1000)

    async with (
        Processes(environment, tmp_path) as processes,
        AsyncExitStack() as stack,
        aclosing(open_redis(redis_url)) as redis,
    ):
        process = await processes.start("grpc")
        channels = [
            await stack.enter_async_context(new_channel(int(environment["TICKPLANT_GRPC_PORT"])))
            for _ in range(CONNECTIONS)
        ]
        counts = [0] * STREAMS
        last = [0] * STREAMS
        request = StreamCandlesRequest(symbols=[str(BTC)], skip_snapshot=True)
        streams = []
        for number in range(STREAMS):
            market: Any = MarketDataStub(channels[number % CONNECTIONS])
            streams.append(market.StreamCandles(request, wait_for_ready=True))
        for each in streams:
            await next_of(each)

        async def read(number: int) -> None:
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                while (response := await streams[number].read()) is not grpc.aio.EOF:
                    counts[number] += len(response.candles)
                    last[number] = response.candles[-1].trade_count if response.candles else last[number]

        readers = [asyncio.create_task(read(number)) for number in range(IDLE, STREAMS)]
        pid = process.pid
        before, used_s = resident_bytes(pid), cpu_s(pid)
        began_s, sent, used = time.monotonic(), 0, []
        while time.monotonic() < began_s + SECONDS:
            sent += 1
            await publish(update(candles=[candle(0, count=sent)]))
            if sent % PER_S == 0:
                used.append(resident_bytes(pid))
            await asyncio.sleep(max(0.0, began_s + sent / PER_S - time.monotonic()))

        async def all_have_it() -> bool:
            return set(last[IDLE:]) == {sent}

        await until(all_have_it, "every client that reads has the last state", timeout_s=60)
        _log.warning(
            "%d streams, %d updates in %d s: %d candles read, %.0f of each; %.1f s of CPU; memory %.0f MB,"
            " at most %.0f MB",
            *(STREAMS, sent, SECONDS, sum(counts), sum(counts) / (STREAMS - IDLE), cpu_s(pid) - used_s),
            *(before / 1e6, max(used) / 1e6),
        )
        assert max(used) < MOST_BYTES
        assert used[-1] - used[len(used) // 2] < MOST_GROWTH
        await cut_off_slow_streams(channels[0], publish, pid)
        for task in readers:
            task.cancel()
        await asyncio.wait(readers)
        for each in streams:
            each.cancel()
    assert "Traceback" not in processes.logs()


async def cut_off_slow_streams(channel: Any, publish: Publish, pid: int) -> None:
    """Streams of trades that are not read end, and leave no memory behind."""
    market: Any = MarketDataStub(channel)
    slow = [market.StreamTrades(StreamTradesRequest(skip_snapshot=True)) for _ in range(50)]
    for each in slow:
        await next_of(each)
    before = resident_bytes(pid)
    for number in range(200):
        made = [trade(number * 500 + index) for index in range(500)]
        await publish(update(*made, entry=f"{number + 1}-0"))
    ended = 0
    for each in slow:
        with suppress(grpc.aio.AioRpcError):
            while await next_of(each):
                pass
        ended += await each.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    after = resident_bytes(pid)
    _log.warning(
        "%d of 50 slow streams were cut off; memory %.0f MB, then %.0f MB", ended, before / 1e6, after / 1e6
    )
    assert after - before < 50 * 4_000_000
