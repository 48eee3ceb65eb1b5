"""HTTP requests that are malformed, ambiguous, too long or sent ahead: what they are answered with."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from api.http import strict_protocol
from api.http.timed_protocol import TimedProtocol

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Server:
    """An application that answers with what it received, on a real socket."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()
        self.port = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.started.set()
        body = b""
        if scope["method"] == "POST" and scope["path"] != "/early":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        await self.release.wait()
        self.bodies.append(body)
        text = scope["path"].encode() + b" " + body
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def ask(self, *pieces: bytes, pause_s: float = 0) -> bytes:
        """Send pieces, and return what is answered until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(strict_protocol, "LINGER_S", 0.1)
    running = Server()
    config = Config(
        running.app, interface="asgi3", lifespan="off", log_config=None, ws=WebSocketsSansIOProtocol
    )
    config.load()
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: TimedProtocol(config, state, {}), "127.0.0.1", 0
    )
    running.port = listener.sockets[0].getsockname()[1]
    yield running
    running.release.set()
    listener.close()
    for task in state.tasks:
        task.cancel()


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


MALFORMED = {
    "no version": b"GET /a\r\n\r\n",
    "HTTP/0.9": b"GET /a HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/2": b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bare line feeds": b"GET /a HTTP/1.1\nHost: a\n\n",
    "a folded header": b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /a HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
    "a null byte": b"GET /a HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path beyond ASCII": "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a path without a slash": b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n ",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a long length": POST + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "a length and chunks": POST + CHUNKED + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /a HTTP/1.0\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "a websocket with a body": POST + b"Content-Length: 5\r\n" + HANDSHAKE + b"hello",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "a chunk of no length": POST + CHUNKED + b"\r\nx\r\nhello\r\n0\r\n\r\n",
    "a chunk that is too long": POST + CHUNKED + b"\r\n5\r\nhello!\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_", [pytest.param(MALFORMED[name], id=name) for name in MALFORMED])
async def test_malformed_and_ambiguous_requests_are_refused_and_never_carried_out(
    server: Server, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await server.ask(request_ + GET)
    assert statuses(answer) == [400]
    assert b"connection: close" in answer
    assert server.bodies == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "Invalid HTTP request received."
    ]


@pytest.mark.parametrize("request_", [pytest.param(MALFORMED[name], id=name) for name in MALFORMED])
async def test_requests_before_a_malformed_one_are_answered_first(server: Server, request_: bytes) -> None:
    server.release.clear()
    asking = asyncio.create_task(server.ask(GET + GET + request_ + GET))
    await server.started.wait()
    server.release.set()
    assert statuses(await asking) == [200, 200, 400]
    assert server.bodies == [b"", b""]


async def test_requests_that_are_sent_ahead_are_answered_in_order(server: Server) -> None:
    paths = [f"/{number}" for number in range(3_000)]
    sent = b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths)
    answer = await server.ask(sent + LAST)
    assert re.findall(r"/(\d+) ", answer.decode()) == [path[1:] for path in paths]
    assert [scope["path"] for scope in server.scopes] == [*paths, "/last"]


async def test_requests_that_are_sent_ahead_wait_as_bytes(server: Server) -> None:
    created: list[Any] = []

    class Counting(TimedProtocol):
        def on_headers_complete(self) -> None:
            created.append(self)
            super().on_headers_complete()

    config = Config(server.app, interface="asgi3", lifespan="off", log_config=None)
    config.load()
    listener = await asyncio.get_running_loop().create_server(
        lambda: Counting(config, ServerState(), {}), "127.0.0.1", 0
    )
    server.port = listener.sockets[0].getsockname()[1]
    server.release.clear()
    asking = asyncio.create_task(server.ask(GET * 10_000 + LAST))
    await server.started.wait()
    await asyncio.sleep(0.05)
    assert len(created) <= strict_protocol.PIECE_BYTES // len(GET) + 1
    server.release.set()
    assert statuses(await asking) == [200] * 10_001
    listener.close()


async def test_bodies_arrive_whole_however_they_are_cut(server: Server) -> None:
    body = bytes(range(256)) * 400
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (1_000, body[at : at + 1_000]) for at in range(0, 102_000, 1_000))
    sized = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = POST + CHUNKED + b"\r\n" + chunks + b"190\r\n" + body[-400:] + b"\r\n0\r\nHost: b\r\n\r\n"
    stream = sized + chunked + sized + LAST
    for length in (len(stream), 50_000, 4_099):
        server.bodies.clear()
        pieces = [stream[at : at + length] for at in range(0, len(stream), length)]
        assert statuses(await server.ask(*pieces)) == [200] * 4
        assert server.bodies == [body, body, body, b""]
    assert all(scope["headers"].count((b"host", b"b")) == 0 for scope in server.scopes)


async def test_a_request_that_is_cut_anywhere_is_read_alike(server: Server) -> None:
    sent = POST + b"Content-Length: 5\r\nX: y\r\n\r\nhello" + LAST
    for at in range(len(sent)):
        answer = await server.ask(sent[:at], sent[at:], pause_s=0.001)
        assert statuses(answer) == [200, 200], sent[:at]
    assert set(server.bodies) == {b"hello", b""}


@pytest.mark.parametrize("cut", [100_000, 1_000])
async def test_a_head_that_is_too_long_is_refused(server: Server, cut: int) -> None:
    accepted = b"X: %b\r\n" % (b"x" * (strict_protocol.HEAD_BYTES - 60))
    answer = await server.ask(GET[:-2] + accepted + b"\r\n" + LAST)
    assert statuses(answer) == [200, 200]
    sent = GET + GET[:-2] + b"X: %b" % (b"x" * 70_000)
    answer = await server.ask(*(sent[at : at + cut] for at in range(0, len(sent), cut)))
    assert statuses(answer) == [200, 431]
    answer = await server.ask(GET + GET[:-2] + b"".join(b"X: y\r\n" for _ in range(10_000)))
    assert statuses(answer) == [200, 431]


async def test_a_request_for_another_protocol_is_answered_and_so_is_the_next(
    server: Server,
) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    answer = await server.ask(GET[:-2] + upgrade + b"\r\n" + GET + LAST)
    assert statuses(answer) == [200, 200, 200]
    body = POST + upgrade + b"Content-Length: %d\r\n\r\n" % len(GET) + GET
    chunked = POST + CHUNKED + upgrade + b"\r\n2\r\nhi\r\n0\r\n\r\n"
    assert statuses(await server.ask(body + chunked + LAST)) == [200, 200, 200]
    assert server.bodies[-3:] == [GET, b"hi", b""]


async def test_a_websocket_does_not_begin_among_answers(server: Server) -> None:
    assert statuses(await server.ask(GET + GET[:-2] + HANDSHAKE)) == [200, 400]


async def test_a_body_that_comes_after_its_answer_is_not_a_request(server: Server) -> None:
    head = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET)
    answer = await server.ask(head, GET + LAST, pause_s=0.1)
    assert statuses(answer) == [200, 200]
    assert [scope["path"] for scope in server.scopes] == ["/early", "/last"]


async def test_a_whole_url_keeps_its_host(server: Server) -> None:
    for target in (b"http://b:1/p%20q?r=s", b"http://b", b"*"):
        head = b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert statuses(await server.ask(head)) == [200]
    assert [(scope["path"], scope["raw_path"], scope["query_string"]) for scope in server.scopes] == [
        ("http://b:1/p q", b"http://b:1/p%20q", b"r=s"),
        ("http://b", b"http://b", b""),
        ("*", b"*", b""),
    ]


async def test_what_follows_the_last_request_is_ignored(server: Server) -> None:
    assert statuses(await server.ask(LAST + GET)) == [200]
    assert len(server.scopes) == 1


async def test_a_client_is_told_to_continue(server: Server) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    answer = await server.ask(head, b"hi", pause_s=0.1)
    assert statuses(answer) == [100, 200]
    assert server.bodies == [b"hi"]
