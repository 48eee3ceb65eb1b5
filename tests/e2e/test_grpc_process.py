"""`tickplant grpc` as a process: it starts, is asked for its health, and ends streams in order."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from api_plant import PARTITIONS
from certificates import make_certificate
from conftest import on_one_variant
from grpc_plant import new_channel, next_of, refusal_of
from processes import Processes
from working import until

from api.http.tls import TlsFiles
from tickplant.api.v1.market_data_pb2 import GetTradesRequest, StreamTradesRequest
from tickplant.api.v1.market_data_pb2_grpc import MarketDataStub
from tickplant.local.folder import free_port

pytestmark = on_one_variant


@pytest.fixture
async def processes(redis_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Processes]:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_GRPC_PORT": str(free_port()),
        "TICKPLANT_METRICS_PORT": "0",
    }
    async with Processes(environment, tmp_path) as running:
        yield running


def port_of(processes: Processes) -> int:
    return int(processes._environment["TICKPLANT_GRPC_PORT"])


async def test_it_serves_until_sigterm_ends_its_streams(processes: Processes) -> None:
    process = await processes.start("grpc")
    port = port_of(processes)
    async with new_channel(port) as channel:
        market: Any = MarketDataStub(channel)
        stream = market.StreamTrades(StreamTradesRequest(skip_snapshot=True), wait_for_ready=True)
        assert (await next_of(stream)).cursor
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 500, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            await reader.read()
            writer.close()
        malformed = channel.unary_unary("/tickplant.api.v1.MarketData/GetTrades")(b"\xff")
        assert (await refusal_of(malformed)).code == grpc.StatusCode.INVALID_ARGUMENT

        async def healthy() -> bool:
            return await processes.run("grpc", "--check") == (0, f"127.0.0.1:{port} serves\n")

        await until(healthy, "health says that it serves")
        process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        ended = await refusal_of(stream)
        assert (ended.code, ended.info.reason) == (grpc.StatusCode.UNAVAILABLE, "RESTARTING")
    assert await process.wait() == 0
    assert time.monotonic() - began_s < 20
    logs = processes.logs()
    assert "Traceback" not in logs
    assert "grpc has stopped" in logs
    assert not re.search(r"^[EWI]\d{4} ", logs, re.MULTILINE), "the core of gRPC writes no lines of its own"
    code, said = await processes.run("grpc", "--check")
    assert code == 1
    assert "does not serve gRPC" in said


async def test_errors_of_the_settings_say_what_to_do(processes: Processes) -> None:
    async def refused(code: int) -> str:
        process = await processes.start("grpc")
        assert await asyncio.wait_for(process.wait(), 60) == code
        return processes.logs()

    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    processes.set(TICKPLANT_GRPC_PORT=str(taken))
    assert f"can't listen on 127.0.0.1:{taken}: the port is in use" in await refused(1)
    server.close()
    processes.set(TICKPLANT_GRPC_HOST="0.0.0.0")
    assert "TICKPLANT_GRPC_HOST: 0.0.0.0 can be reached from other machines" in await refused(2)
    processes.set(TICKPLANT_GRPC_HOST="127.0.0.1", TICKPLANT_API_TLS_CERT="/nonexistent.pem")
    assert "TICKPLANT_API_TLS_CERT" in await refused(2)


async def test_it_starts_without_servers_and_serves_when_they_are_there(
    processes: Processes, redis_url: str
) -> None:
    absent = free_port()
    processes.set(TICKPLANT_REDIS_URL=f"redis://127.0.0.1:{absent}/0")
    await processes.start("grpc")
    async with new_channel(port_of(processes)) as channel:
        market: Any = MarketDataStub(channel)
        request = StreamTradesRequest(symbols=["BTCUSDT"])
        refusal = await refusal_of(market.StreamTrades(request, wait_for_ready=True))
        assert refusal.code == grpc.StatusCode.UNAVAILABLE
        await market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))

        async def reported() -> bool:
            code, said = await processes.run("grpc", "--check")
            return code == 1 and "can't serve" in said

        await until(reported, "health reports the outage")
    assert "Traceback" not in processes.logs()


async def test_doctor_and_check_look_at_it_over_tls_too(processes: Processes, tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "plant.crt", tmp_path / "plant.key")
    make_certificate(files, "plant")
    assert "ok    grpc      not running at 127.0.0.1:" in (await processes.run("doctor"))[1]
    process = await processes.start("grpc")

    async def found(line: str) -> bool:
        return f"grpc      127.0.0.1:{port_of(processes)} {line}\n" in (await processes.run("doctor"))[1]

    await until(lambda: found("serves"), "doctor finds the server", timeout_s=60)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    processes.set(TICKPLANT_API_TLS_CERT=str(files.certificate), TICKPLANT_API_TLS_KEY=str(files.key))
    process = await processes.start("grpc")

    async def answers() -> bool:
        return (await processes.run("grpc", "--check")) == (0, f"127.0.0.1:{port_of(processes)} serves TLS\n")

    await until(answers, "it serves TLS", timeout_s=60)
    async with new_channel(port_of(processes), files) as channel:
        market: Any = MarketDataStub(channel)
        await market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
