"""Many websocket clients of the API in one process, which cost little: raw sockets and one poll.

`python -m bench.fanout_client REQUEST` takes a `FanoutRequest` as JSON, prints a line when all clients are
connected, and `FanoutAges` when the time is over.

Every tenth client may be slow: half of these never read, the others read much less than they are sent.
"""

import selectors
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from tickplant.clock import now_us
from tickplant.errors import FatalError

_UPGRADE: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_UPDATE: Final = b'"type":"price"'
_ID: Final = b'"trade_id":'
_PING: Final = b"\x89\x04"
"""The header of a ping, whose payload has four bytes; the text of messages ends with a brace."""
_PONG: Final = bytes((0x8A, 0x84, 0, 0, 0, 0))
_READ_BYTES: Final = 1 << 16
_TIMEOUT_S: Final = 30.0

ONE_SLOW_IN: Final = 10
_SLOW_BUFFER_BYTES: Final = 4 * 1024
"""The receive buffer of a slow client: the kernel takes in little for it."""
_SLOW_READ_BYTES: Final = 4 * 1024
"""How much slow clients read at a time, if they read."""
_SLOW_READ_PAUSE_S: Final = 0.1


class FanoutRequest(Struct, frozen=True):
    """What to receive."""

    port: int
    path: str
    clients: int
    seconds: float
    """How long, from when all clients are connected."""
    slow_channel: str = ""
    """What slow clients subscribe to besides the path's channel; empty: there are none."""


class FanoutAges(Struct, frozen=True):
    """How long after their publication updates arrived at the clients that aren't slow.

    The `trade_id` of an update is the time of its publication.
    """

    p50_us: int
    p99_us: int
    received: int


def main() -> None:
    """Connect, receive, and report."""
    request = msgspec.json.decode(sys.argv[1], type=FanoutRequest)
    selector = selectors.DefaultSelector()
    is_slow = [bool(request.slow_channel) and number % ONE_SLOW_IN == 0 for number in range(request.clients)]
    slow: list[socket.socket] = []
    connections = [_connect(request, _SLOW_BUFFER_BYTES if each else None) for each in is_slow]
    for connection, each in zip(connections, is_slow, strict=True):
        _await_upgrade(connection)
        if each:
            _subscribe(connection, request.slow_channel)
            slow.append(connection)
        else:
            selector.register(connection, selectors.EVENT_READ)
    print("{}", flush=True)
    ages_us = sorted(_receive(selector, slow[1::2], time.monotonic() + request.seconds))
    if not ages_us:
        raise FatalError("no client received anything")
    count = len(ages_us)
    report = FanoutAges(ages_us[count // 2], ages_us[count * 99 // 100], count)
    sys.stdout.buffer.write(msgspec.json.encode(report))


def _connect(request: FanoutRequest, buffer_bytes: int | None) -> socket.socket:
    """Connect and send the handshake; all clients do so before any waits for its answer."""
    connection = socket.socket()
    connection.settimeout(_TIMEOUT_S)
    if buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)  # before it connects
    connection.connect(("127.0.0.1", request.port))
    connection.sendall(_UPGRADE.format(path=request.path, port=request.port).encode())
    return connection


def _await_upgrade(connection: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(_READ_BYTES)
        if not answer.startswith(b"HTTP/1.1 101"[: len(answer)]) or not answer:
            raise FatalError(f"the websocket was refused: {answer.decode(errors='replace')}")
    connection.setblocking(False)


def _subscribe(connection: socket.socket, channel: str) -> None:
    text = msgspec.json.encode({"op": "subscribe", "channels": [channel]})
    connection.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)  # one frame, with a mask of zeros


def _receive(selector: selectors.BaseSelector, slow: Sequence[socket.socket], deadline_s: float) -> list[int]:
    ages_us: list[int] = []
    slow_read_s = time.monotonic()
    while (now_s := time.monotonic()) < deadline_s:
        if slow and now_s >= slow_read_s:
            _read_slowly(slow)
            slow_read_s = now_s + _SLOW_READ_PAUSE_S
        until_s = min(deadline_s, slow_read_s) if slow else deadline_s
        for key, _ in selector.select(max(0.0, until_s - now_s)):
            assert isinstance(key.fileobj, socket.socket)
            _receive_updates(key.fileobj, ages_us)
    return ages_us


def _receive_updates(connection: socket.socket, ages_us: list[int]) -> None:
    data = connection.recv(_READ_BYTES)
    received_us = now_us()
    if not data:
        raise FatalError("the API has closed a connection")
    start = data.find(_UPDATE)
    while start >= 0:
        digits = data.find(_ID, start) + len(_ID)
        ages_us.append(received_us - int(data[digits : digits + 16]))
        start = data.find(_UPDATE, digits)
    before, ping, rest = data.partition(_PING)
    if ping and (not before or before.endswith(b"}")):
        connection.sendall(_PONG + rest[:4])


def _read_slowly(connections: Sequence[socket.socket]) -> None:
    for connection in connections:
        with suppress(BlockingIOError, ConnectionError):  # the API may close it
            connection.recv(_SLOW_READ_BYTES)


if __name__ == "__main__":
    main()
