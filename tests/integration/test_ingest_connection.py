"""Frames of a venue's socket, however the bytes of a connection are cut into reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.frames import Close, Frame, Opcode
from websockets.utils import accept_key

from ingest.connection import VenueConnection, open_connection

TEXTS = [b"a", b"b" * 125, b"c" * 126, b"d" * 70_000, b"", b"e" * 300, b"f"]
FRAMES = [
    *(Frame(Opcode.TEXT, text).serialize(mask=False) for text in TEXTS[:3]),
    Frame(Opcode.PING, b"?").serialize(mask=False),
    *(Frame(Opcode.TEXT, text).serialize(mask=False) for text in TEXTS[3:5]),
    Frame(Opcode.TEXT, TEXTS[5][:100], fin=False).serialize(mask=False),
    Frame(Opcode.CONT, TEXTS[5][100:]).serialize(mask=False),
    Frame(Opcode.TEXT, TEXTS[6]).serialize(mask=False),
]
SENT = b"".join(FRAMES)


def cuts() -> list[int]:
    """Return every place within a few bytes of where a frame, or its payload, starts."""
    starts, position = [0], 0
    for frame in FRAMES:
        position += len(frame)
        starts.append(position)
    near = {start + offset for start in starts for offset in range(-2, 12)}
    return sorted(place for place in near if 0 <= place <= len(SENT))


@asynccontextmanager
async def connected(with_handshake: bytes) -> AsyncIterator[VenueConnection]:
    """A connection to a server that sends some bytes in the same write as the end of its handshake."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = (
            line.split(": ")[1] for line in request.splitlines() if line.startswith("Sec-WebSocket-Key")
        )
        writers.append(writer)
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
            + with_handshake
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_connection(f"ws://127.0.0.1:{port}", timeout_s=10) as connection:
        assert isinstance(connection, VenueConnection)
        yield connection
        connection.transport.abort()
        for writer in writers:
            writer.close()


async def take(connection: VenueConnection, count: int) -> list[bytes]:
    taken: list[bytes] = []
    while len(taken) < count:
        taken += [frame for read in await asyncio.wait_for(connection.take(), 10) for frame in read.frames]
    return taken


async def test_frames_that_come_with_the_handshake_may_be_cut_anywhere() -> None:
    for cut in (place for place in cuts() if place < 1_000):
        async with connected(SENT[:cut]) as connection:
            connection.data_received(SENT[cut:])
            assert await take(connection, len(TEXTS)) == TEXTS, cut


async def test_frames_may_be_cut_anywhere() -> None:
    for cut in cuts():
        async with connected(b"") as connection:
            connection.data_received(SENT[:cut])
            connection.data_received(SENT[cut:])
            assert await take(connection, len(TEXTS)) == TEXTS, cut


async def test_a_frame_that_is_partly_sent_at_the_close_is_completed() -> None:
    text = Frame(Opcode.TEXT, b"last").serialize(mask=False)
    end = Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=False)
    for cut in range(1, len(text)):
        async with connected(b"") as connection:
            connection.data_received(text[:cut])
            closing = asyncio.create_task(connection.close())
            await asyncio.sleep(0)
            connection.data_received(text[cut:] + end)
            assert await take(connection, 1) == [b"last"], cut
            connection.transport.abort()
            await closing
            assert connection.close_code == 1000
