"""A TCP proxy that cuts connections after a random number of bytes, also within a frame or a handshake."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class CuttingProxy:
    """Forwards connections to a server, and cuts each, until it has cut enough."""

    def __init__(self, upstream: str, *, cuts: int, most_bytes: int, seed: int) -> None:
        address = urlsplit(upstream)
        assert address.hostname
        assert address.port
        self._upstream = address.hostname, address.port
        self._random = random.Random(seed)
        self._most_bytes = most_bytes
        self._writers: set[asyncio.StreamWriter] = set()
        self.wanted = cuts
        self.cuts = 0
        self.forwarded_bytes = 0
        self.passing = asyncio.Event()
        self.passing.set()
        self.address = ""

    def cut_all(self) -> None:
        """Cut all connections, and forward no new ones until `passing` is set."""
        self.passing.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.passing.wait()
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        self._writers |= {writer, server_writer}
        budget = self._random.randint(1, self._most_bytes) if self.cuts < self.wanted else None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, server_writer, None))
                group.create_task(self._forward(server_reader, writer, budget))
        except* OSError:
            pass
        finally:
            for each in (writer, server_writer):
                each.transport.abort()
                self._writers.discard(each)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            part = data if budget is None else data[:budget]
            writer.write(part)
            await writer.drain()
            self.forwarded_bytes += len(part)
            if budget is not None:
                budget -= len(part)
                if not budget:
                    self.cuts += 1
                    break
        raise ConnectionResetError  # ends the other direction


@asynccontextmanager
async def cutting(
    upstream: str, *, cuts: int = 0, most_bytes: int = 6000, seed: int = 1
) -> AsyncIterator[CuttingProxy]:
    """Run a proxy before the server at an address."""
    proxy = CuttingProxy(upstream, cuts=cuts, most_bytes=most_bytes, seed=seed)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_all()
        proxy.passing.set()
