"""Whatever a client sends, however malformed, it is answered or closed, and is no error of the API's."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from typing import Final

import pytest
from api_plant import Plant, live, running_plant
from conftest import on_one_variant

pytestmark = on_one_variant

HOST: Final = b"Host: localhost\r\n"
UPGRADE: Final = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
KEY: Final = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HANDSHAKE: Final = b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + KEY + b"\r\n"


def frame(opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client, masked with zeros."""
    first = (0x80 if final else 0) | reserved | opcode
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    return head + bytes(4) + payload


FRAMES: Final = {
    "text that isn't UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "fragments that together aren't UTF-8": (frame(1, b"\xc3", final=False) + frame(0, b"\x28"), 1007),
    "text that ends within a character": (frame(1, b"a\xe2\x82"), 1007),
    "a reserved opcode": (frame(3, b"x"), 1002),
    "a reserved control opcode": (frame(11, b""), 1002),
    "a reserved bit": (frame(1, b"{}", reserved=0x40), 1002),
    "a continuation of nothing": (frame(0, b"x"), 1002),
    "a text in the middle of a text": (frame(1, b"x", final=False) + frame(1, b"y"), 1002),
    "a long ping": (frame(9, b"x" * 200), 1002),
    "a ping in fragments": (frame(9, b"x", final=False), 1002),
    "a frame without a mask": (b"\x81\x02{}", 1002),
    "a close code of one byte": (frame(8, b"x"), 1002),
    "a close code that doesn't exist": (frame(8, struct.pack("!H", 999)), 1002),
    "a close reason that isn't UTF-8": (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    "a message that is too long": (frame(1, b"x" * 65_537), 1009),
    "fragments that together are too long": (
        frame(1, b"x" * 60_000, final=False) + frame(0, b"x" * 60_000),
        1009,
    ),
    "2^63 bytes": (b"\x82\xff\x7f" + b"\xff" * 11, 1009),
}

REQUESTS: Final = {
    "TLS on a port without": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "nothing": b"",
    "empty lines": b"\r\n" * 50,
    "half a request": b"GET / HTTP/1.1\r\nHo",
    "half a body": b"POST /api/v1/alerts HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{",
    "random bytes": bytes(range(256)) * 8,
    "HTTP/1.0 for a websocket": b"GET /ws HTTP/1.0\r\n" + HOST + UPGRADE + KEY + b"\r\n",
    "no websocket key": b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + b"Sec-WebSocket-Version: 13\r\n\r\n",
    "two websocket keys": b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + KEY + KEY + b"\r\n",
    "a short websocket key": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"YQ=="),
    "a websocket key that isn't Base64": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff*"),
    "another websocket version": HANDSHAKE.replace(b"Version: 13", b"Version: 8"),
    "another method": HANDSHAKE.replace(b"GET", b"POST"),
    "a websocket where there is none": HANDSHAKE.replace(b"/ws", b"/api/v1/symbols"),
    "a websocket at no path": HANDSHAKE.replace(b"/ws", b"/nowhere/\xff%ff%00"),
    "many headers": HANDSHAKE[:-2] + b"".join(b"X-%d: 1\r\n" % number for number in range(500)) + b"\r\n",
    "a long header": HANDSHAKE[:-2] + b"X-Long: " + b"x" * 12_000 + b"\r\n\r\n",
    "a long path": HANDSHAKE.replace(b"/ws", b"/ws?a=" + b"x" * 12_000),
    "a path that isn't ASCII": HANDSHAKE.replace(b"/ws", "/ws?a=é".encode()),
    "a header that isn't ASCII": HANDSHAKE[:-2] + "X-Name: é€\xff\r\n\r\n".encode(),
    "invalid subprotocols": HANDSHAKE[:-2] + b"Sec-WebSocket-Protocol: ,, a b;\xff\r\n\r\n",
    "invalid extensions": HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; =\r\n\r\n",
    "an invalid origin": HANDSHAKE[:-2] + b"Origin: http://[::1\r\n\r\n",
    "an invalid host": HANDSHAKE.replace(b"localhost", b"[::1:x"),
    "a websocket at a whole URL": HANDSHAKE.replace(b"/ws", b"http://[::1/ws"),
    "frames before the answer": HANDSHAKE + frame(1, b'{"op":"ping"}') + frame(1, b"\xff"),
    "a close before the answer": HANDSHAKE + frame(8, b""),
    "an address that isn't UTF-8": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a symbol that isn't UTF-8": b"GET /api/v1/price/%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a query that isn't UTF-8": b"GET /api/v1/trades/BTCUSDT?after=%ff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a zero byte": b"GET /api/v1/price/BTC%00USDT HTTP/1.1\r\n" + HOST + b"\r\n",
    "an invalid chunk": b"POST /api/v1/alerts HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{record.getMessage()}\n{record.exc_text or ''}"
        for record in caplog.records
        if record.levelno >= logging.ERROR or record.exc_info
    ]


async def exchange(plant: Plant, data: bytes, *, reset: bool) -> bytes:
    """Send bytes and no more; return what comes back."""
    host, _, port = plant.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        if reset:
            await writer.drain()
            await asyncio.sleep(0)
            return b""
        writer.write_eof()
        async with asyncio.timeout(15):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_no_request_is_an_error_of_the_api(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    faults = []
    for name, data in REQUESTS.items():
        for reset in (False, True):
            answer = await exchange(plant, data, reset=reset)
            await plant.http.get("/health/live")
            if answer.startswith(b"HTTP/1.1 5") or errors(caplog):
                faults.append((name, reset, answer[:300], *errors(caplog)))
            caplog.clear()
    assert faults == []


async def test_a_handshake_with_too_many_headers_is_refused_at_once(plant: Plant) -> None:
    host, _, port = plant.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(REQUESTS["many headers"])
    async with asyncio.timeout(15):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_malformed_frame_closes_its_own_connection(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = plant.address.removeprefix("http://").partition(":")
    faults = []
    for name, (sent, code) in FRAMES.items():
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        async with asyncio.timeout(15):
            head = await reader.readexactly(2)
            payload = await reader.readexactly(head[1])
        if head[0] != 0x88 or int.from_bytes(payload[:2]) != code or errors(caplog):
            faults.append((name, head, payload, *errors(caplog)))
        writer.transport.abort()
        caplog.clear()
    assert faults == []
    async with asyncio.timeout(15):
        while len(plant.services.hub.clients):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
