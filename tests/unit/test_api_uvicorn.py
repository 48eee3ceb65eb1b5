"""Internals of uvicorn that the API's subclasses use: they fail here, rather than in a connection."""

import asyncio
from typing import Any

from internals import changed_signatures, missing
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from api.http.strict_protocol import StrictProtocol
from api.http.timed_protocol import TimedProtocol
from api.live.direct_write import EXTENSION, DirectWriteProtocol, WebsocketWriter
from api.service import _Server

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class FakeTransport(asyncio.Transport):
    """A transport that remembers what is written."""

    def __init__(self) -> None:
        super().__init__({"socket": FakeSocket()})
        self.written = b""
        self.closing = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class FakeSocket:
    def setsockopt(self, *options: int) -> None:
        pass

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 80)

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 50_000)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept a websocket, and wait."""
    scope["state"]["seen"].append(scope)
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


def config() -> Config:
    loaded = Config(application, lifespan="off", log_config=None, ws_ping_interval=None)
    loaded.load()
    return loaded


async def test_uvicorn_has_what_subclasses_use_of_it() -> None:
    http = HttpToolsProtocol(config(), ServerState(), {})
    strict = StrictProtocol(config(), ServerState(), {})
    websocket = WebSocketsSansIOProtocol(config(), ServerState(), {})
    websocket.scope = None  # type: ignore[assignment] # set by the handshake: see below
    http.url = b""  # set by each request: see below
    assert sorted(missing(StrictProtocol, http)) == []
    assert sorted(missing(TimedProtocol, strict)) == []
    assert sorted(set(missing(DirectWriteProtocol, websocket)) - {"writer"}) == []
    assert sorted(set(missing(_Server, Server(config()))) - {"up"}) == []


async def test_a_name_that_is_gone_is_found() -> None:
    assert "on_response_complete" in set(missing(TimedProtocol, object()))
    assert {"pipeline", "flow", "on_headers_complete"} <= set(missing(StrictProtocol, object()))
    assert {"close_sent", "keepalive_timeout", "conn"} <= set(missing(DirectWriteProtocol, object()))


def test_overridden_methods_take_the_same_parameters() -> None:
    assert list(changed_signatures(StrictProtocol, HttpToolsProtocol)) == []
    assert list(changed_signatures(TimedProtocol, HttpToolsProtocol)) == []
    assert list(changed_signatures(DirectWriteProtocol, WebSocketsSansIOProtocol)) == []
    assert list(changed_signatures(_Server, Server)) == []


async def test_a_websocket_hands_its_writer_to_the_application_and_closes_at_once() -> None:
    seen: list[Any] = []
    protocol = DirectWriteProtocol(config(), ServerState(), {"seen": seen})
    transport = FakeTransport()
    protocol.connection_made(transport)
    protocol.data_received(HANDSHAKE)
    async with asyncio.timeout(5):
        while b"101 Switching Protocols" not in transport.written:  # noqa: ASYNC110 - set by no code of ours
            await asyncio.sleep(0)
    writer = seen[0]["extensions"][EXTENSION]
    assert isinstance(writer, WebsocketWriter)
    writer.write_frames(b"\x81\x01x")
    assert transport.written.endswith(b"\x81\x01x")
    protocol.pause_writing()
    assert not writer.writable
    assert not protocol.writable.is_set()
    protocol.resume_writing()
    assert writer.writable
    writer.close_now(4008, "slow")
    assert transport.written.endswith(b"\x88\x06\x0f\xa8slow")
    assert protocol.close_timer is not None
    protocol.connection_lost(None)
    assert not writer.writable
    for task in protocol.tasks:
        task.cancel()


async def test_an_http_connection_waits_for_the_head_then_the_body_of_a_request() -> None:
    protocol = TimedProtocol(config(), ServerState(), {"seen": []})
    transport = FakeTransport()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    awaited = [protocol._awaited]
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
    awaited.append(protocol._awaited)
    protocol.data_received(b"12345")
    awaited.append(protocol._awaited)
    assert awaited == ["head", "body", None]
    assert protocol.responding
    assert not protocol.cycle.response_started
    protocol.connection_lost(None)
    for task in protocol.tasks:
        task.cancel()
