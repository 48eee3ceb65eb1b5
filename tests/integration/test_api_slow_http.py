"""HTTP connections of clients that send or read slowly end after a while; others notice nothing."""

import asyncio
import logging
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from api_plant import Plant, running_plant, trade
from conftest import on_one_variant

pytestmark = on_one_variant

LIMIT_S = 0.3
HEAD = (
    b"POST /api/v1/alerts HTTP/1.1\r\nhost: localhost\r\n"
    b"content-type: application/json\r\ncontent-length: 60\r\n\r\n"
)


@pytest.fixture
async def plant(redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plant]:
    for name in ("HEAD_S", "BODY_S", "READ_S"):
        monkeypatch.setattr(f"api.http.timed_protocol.{name}", LIMIT_S)
    async with running_plant(redis_url, database_url) as running:
        yield running


@asynccontextmanager
async def connection(plant: Plant) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    host, port = plant.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    yield reader, writer
    writer.close()


async def dribble(reader: StreamReader, writer: StreamWriter, data: bytes) -> bytes:
    """Send bytes one by one, each within the limits, until the server closes; return its answer."""

    async def send() -> None:
        while True:
            for byte in data:
                writer.write(bytes([byte]))
                await asyncio.sleep(LIMIT_S / 20)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        sending.cancel()


async def test_a_head_that_dribbles_in_is_answered_with_408(plant: Plant) -> None:
    async with connection(plant) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        answer = await dribble(reader, writer, b"x-long: yes\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_dribbles_in_is_answered_with_408(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    async with connection(plant) as (reader, writer):
        writer.write(HEAD)
        answer = await dribble(reader, writer, b" ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert (await plant.get("/api/v1/alerts"))["alerts"] == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("first", [b"", b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_a_connection_without_a_request_is_closed(plant: Plant, first: bytes) -> None:
    async with connection(plant) as (reader, writer):
        writer.write(first)
        async with asyncio.timeout(20):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ") if first else not answer
    assert b" 408 " not in answer


async def test_a_second_request_that_dribbles_in_ends_as_the_first_would(plant: Plant) -> None:
    async with connection(plant) as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\nGET ")
        answer = await dribble(reader, writer, b"/")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


async def test_websockets_have_no_such_limits(plant: Plant) -> None:
    async with plant.socket() as websocket:
        async with connection(plant) as (reader, _):  # opened later, closed for its silence
            async with asyncio.timeout(20):
                await reader.read()
        await websocket.ask(op="ping", id=1)
        assert await websocket.receive_until("pong") == {"type": "pong", "id": 1}


async def test_a_client_that_never_reads_its_answers_is_cut_off(plant: Plant) -> None:
    await plant.store(*(trade(number) for number in range(1000)))
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    host, port = plant.address.removeprefix("http://").split(":")
    await loop.sock_connect(raw, (host, int(port)))
    request = b"GET /api/v1/trades/BTCUSDT?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n"

    async def ask_on() -> None:
        while True:
            await loop.sock_sendall(raw, request)
            await asyncio.sleep(LIMIT_S / 10)

    with pytest.raises(ConnectionError):  # once the server has hung up
        await asyncio.wait_for(ask_on(), timeout=60)
    raw.close()
