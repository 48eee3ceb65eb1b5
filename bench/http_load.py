"""Requests one after the other over one kept connection: the client costs little and never queues."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tickplant.errors import FatalError


class HttpConnection:
    """A kept connection to a server on loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._reader = reader
        self._writer = writer
        self._host = f"127.0.0.1:{port}"

    async def get(self, path: str) -> bytes:
        """Return the body of a response.

        Raises:
            FatalError: the status is not 200.
        """
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = await self._reader.readexactly(length)
        if head.split(maxsplit=2)[1] != "200":
            raise FatalError(f"{path} was answered with {body.decode(errors='replace')}")
        return body


@contextlib.asynccontextmanager
async def open_http(port: int) -> AsyncIterator[HttpConnection]:
    """Open a connection and close it at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield HttpConnection(reader, writer, port)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
