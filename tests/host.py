"""A host of a plant: processes that share only servers with other hosts, over a network that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forked import Command
from processes import Processes, kill

CHUNK_BYTES = 65_536


class Network:
    """Forwards connections of one host to servers, until it is cut: then bytes vanish, and nobody is told."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def reconnect(self) -> None:
        """Forward new connections; former ones are reset, as by servers that have forgotten them."""
        for writer in self._writers:
            writer.transport.abort()
        self.connected.set()

    @asynccontextmanager
    async def to(self, url: str) -> AsyncIterator[str]:
        """Yield the address by which the host reaches the server at an address."""
        server = urlsplit(url)
        assert server.hostname
        assert server.port

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.connected.wait()
            to_reader, to_writer = await asyncio.open_connection(server.hostname, server.port)
            self._writers |= {writer, to_writer}
            both = self._forward(reader, to_writer), self._forward(to_reader, writer)
            await asyncio.gather(*both, return_exceptions=True)
            self._writers -= {writer, to_writer}

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        try:
            yield url.replace(f"{server.hostname}:{server.port}", f"127.0.0.1:{port}")
        finally:
            listener.close()
            self.reconnect()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self.connected.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()


class Host:
    """The processes of one host."""

    def __init__(self, processes: Processes, network: Network) -> None:
        self.processes = processes
        self._network = network
        self._running: list[Command] = []

    async def start(self, *services: str) -> None:
        self._running += [await self.processes.start(service) for service in services]

    def owns(self, owner: str | None) -> bool:
        """Return whether a lease's owner is one of its processes."""
        return owner is not None and int(owner.split(":")[-2]) in {each.pid for each in self._running}

    async def kill(self) -> None:
        """Kill all processes at once, as when the power fails."""
        await asyncio.gather(*map(kill, self._running))

    async def isolate(self) -> None:
        """Cut it off: no packet reaches it or comes from it."""
        self._network.connected.clear()

    def reconnect(self) -> None:
        """Connect it again."""
        self._network.reconnect()


@asynccontextmanager
async def host_of(
    redis_url: str, database_url: str, sandbox: Mapping[str, Any], folder: Path, **settings: str
) -> AsyncIterator[Host]:
    """Yield a host without processes yet; all of them are killed at the end; its logs go to the folder."""
    network = Network()
    async with AsyncExitStack() as stack:
        environment = {
            "TICKPLANT_REDIS_URL": await stack.enter_async_context(network.to(redis_url)),
            "TICKPLANT_DATABASE_URL": await stack.enter_async_context(network.to(database_url)),
            **settings,
        }
        processes = await stack.enter_async_context(Processes(environment, folder))
        processes.use_sandbox(sandbox)
        yield Host(processes, network)
