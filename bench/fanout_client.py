"""Many websocket clients of the API in one process, which cost little: raw sockets and one poll.

`python -m bench.fanout_client REQUEST` takes a `FanoutRequest` as JSON, prints a line when all clients are
connected, and `FanoutAges` when the time is over.
"""

import selectors
import socket
import sys
import time
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
_READ_BYTES: Final = 1 << 16
_TIMEOUT_S: Final = 30.0


class FanoutRequest(Struct, frozen=True):
    """What to receive."""

    port: int
    path: str
    clients: int
    seconds: float
    """How long, from when all clients are connected."""


class FanoutAges(Struct, frozen=True):
    """How long after their publication updates arrived; their `trade_id` is the time of it."""

    p50_us: int
    p99_us: int
    received: int


def main() -> None:
    """Connect, receive, and report."""
    request = msgspec.json.decode(sys.argv[1], type=FanoutRequest)
    selector = selectors.DefaultSelector()
    for _ in range(request.clients):
        selector.register(_connect(request), selectors.EVENT_READ)
    print("{}", flush=True)
    ages_us = sorted(_receive(selector, time.monotonic() + request.seconds))
    if not ages_us:
        raise FatalError("no client received anything")
    count = len(ages_us)
    report = FanoutAges(ages_us[count // 2], ages_us[count * 99 // 100], count)
    sys.stdout.buffer.write(msgspec.json.encode(report))


def _connect(request: FanoutRequest) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", request.port), timeout=_TIMEOUT_S)
    connection.sendall(_UPGRADE.format(path=request.path, port=request.port).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(_READ_BYTES)
        if not answer.startswith(b"HTTP/1.1 101"[: len(answer)]) or not answer:
            raise FatalError(f"the websocket was refused: {answer.decode(errors='replace')}")
    connection.setblocking(False)
    return connection


def _receive(selector: selectors.BaseSelector, deadline_s: float) -> list[int]:
    ages_us: list[int] = []
    while (left_s := deadline_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(_READ_BYTES)
            received_us = now_us()
            if not data:
                raise FatalError("the API has closed a connection")
            start = data.find(_UPDATE)
            while start >= 0:
                digits = data.find(_ID, start) + len(_ID)
                ages_us.append(received_us - int(data[digits : digits + 16]))
                start = data.find(_UPDATE, digits)
    return ages_us


if __name__ == "__main__":
    main()
