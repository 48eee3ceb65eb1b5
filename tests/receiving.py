"""A receiver of webhooks: a real HTTP server that responds as the test configures it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple


class Received(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


Answer = Callable[[Received], str | None]
"""Gives the status line's end, perhaps with further headers; None hangs."""


def ok(_: Received) -> str | None:
    return "200 OK"


class Receiver:
    """What it got, and how it answers."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.answer: Answer = ok
        self.port = 0
        self._never = asyncio.Event()

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def keys(self) -> list[str]:
        """Idempotency keys, in order."""
        return [request.headers["idempotency-key"] for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(head[0].split()[1], headers, body)
            self.requests.append(request)
            answer = self.answer(request)
            if answer is None:
                await self._never.wait()
            writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def let_go(self) -> None:
        """End requests that hang."""
        self._never.set()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Receive on a free port of loopback."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.let_go()
        server.close()
        await server.wait_closed()
