"""Venues through an HTTP proxy: websockets and REST take it, and errors on the way name it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from ingest.connection import VenueConnection, open_connection
from ingest.venue_http import open_venue_http
from tickplant.proxies import Proxies


class TunnelProxy:
    """An HTTP proxy that finds every host on this machine."""

    def __init__(self, status: str) -> None:
        self._status = status
        self.asked: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxies]:
        """Serve; yields proxies that lead all here."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield Proxies({"all_proxy": f"http://me:secret@127.0.0.1:{port}"})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        writer.write(
            f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode() if self._status else b""
        )
        if self._status not in ("", "200 OK"):
            writer.close()
            return
        port = httpx.URL(target if "://" in target else f"http://{target}").port
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        if not self._status:
            far_writer.write(head)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(1 << 16):
            writer.write(block)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def venue_port() -> AsyncIterator[int]:
    """Yield the port of a venue that greets each websocket client."""

    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    async with serve(greet, "127.0.0.1", 0, compression=None) as server:
        yield server.sockets[0].getsockname()[1]


async def test_websockets_go_through_the_proxy(venue_port: int) -> None:
    url = f"ws://venue.example:{venue_port}"
    tunnel = TunnelProxy("200 OK")
    async with tunnel.running() as proxies:
        async with open_connection(url, timeout_s=10, proxy=proxies.of(url)) as connection:
            assert isinstance(connection, VenueConnection)
            (read,) = await connection.take()
            assert read.frames == [b"hello"]
        assert tunnel.asked == [f"CONNECT venue.example:{venue_port}"]


async def test_requests_go_through_the_proxy_and_those_to_this_machine_do_not(venue_port: int) -> None:
    url, local = f"http://venue.example:{venue_port}", f"http://127.0.0.1:{venue_port}"
    tunnel = TunnelProxy("")
    async with tunnel.running() as proxies, open_venue_http([url, local], proxies, timeout_s=10) as client:
        for address in (url, local):
            assert (await client.get(f"{address}/api")).status_code == 426  # a websocket it is not
    assert tunnel.asked == [f"GET {url}/api"]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_an_error_on_the_way_names_the_proxy_without_its_password(status: str) -> None:
    url, secure = "wss://venue.example", "https://venue.example"
    async with TunnelProxy(status).running() as proxies:
        with pytest.raises(ConnectionError) as raised:
            async with open_connection(url, timeout_s=10, proxy=proxies.of(url)):
                pass
        async with open_venue_http([secure], proxies, timeout_s=10) as client:
            with pytest.raises(httpx.TransportError) as refused:
                await client.get(secure)
    for text in (str(raised.value), str(refused.value)):
        assert text.startswith("through the proxy http://127.0.0.1:")
        assert "(all_proxy): " in text
        assert status[:3] in text
        assert "secret" not in text


async def test_a_proxy_that_does_not_answer_is_named() -> None:
    url = "ws://venue.example"
    proxies = Proxies({"http_proxy": "http://127.0.0.1:9"})
    with pytest.raises(ConnectionError, match=r"through the proxy http://127\.0\.0\.1:9 \(http_proxy\): "):
        async with open_connection(url, timeout_s=10, proxy=proxies.of(url)):
            pass
