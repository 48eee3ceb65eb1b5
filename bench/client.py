"""A websocket client of the API, in a process of its own, that measures how old what it gets is.

It reads `Order` as JSON from its standard input and writes `Ages`.
"""

import asyncio
import sys
import time
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingest.connection import SocketRead, VenueConnection, open_connection
from tickplant.times import to_us

_UPDATES: Final = (b'"type":"trades"', b'"type":"price"')


class LatencyRequest(Struct, frozen=True):
    """What to measure."""

    url: str
    channels: list[str]
    warm_up_s: float
    seconds: float


class Ages(Struct, frozen=True):
    """How long after the venue's stamp trades arrived, ascending, in microseconds."""

    at_client_us: list[int]
    at_ingest_us: list[int]
    messages: int


class _Trade(Struct, gc=False):
    event_time: datetime
    ingest_time: datetime


class _Message(Struct, gc=False):
    data: list[_Trade] | _Trade


def main() -> None:
    """Run the client."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=LatencyRequest)
    reads = asyncio.run(_receive(order))
    sys.stdout.buffer.write(msgspec.json.encode(_ages(reads)))


async def _receive(order: LatencyRequest) -> list[SocketRead]:
    """Subscribe, and keep what comes after the warm-up with the times of its arrival."""
    async with open_connection(order.url, timeout_s=10) as connection:
        assert isinstance(connection, VenueConnection)
        request: dict[str, Any] = {"op": "subscribe", "id": 1, "channels": order.channels}
        await connection.send(msgspec.json.encode(request), text=True)
        await _take_until(connection, time.monotonic() + order.warm_up_s)
        return await _take_until(connection, time.monotonic() + order.seconds)


async def _take_until(connection: VenueConnection, deadline_s: float) -> list[SocketRead]:
    reads: list[SocketRead] = []
    while time.monotonic() < deadline_s:
        reads += await connection.take()
    return reads


def _ages(reads: list[SocketRead]) -> Ages:
    decode = msgspec.json.Decoder(_Message).decode
    at_client: list[int] = []
    at_ingest: list[int] = []
    messages = 0
    for received in reads:
        for frame in received.frames:
            if any(kind in frame[:40] for kind in _UPDATES):
                messages += 1
                data = decode(frame).data
                trades = data if isinstance(data, list) else [data]
                at_client += [received.time_us - to_us(it.event_time) for it in trades]
                at_ingest += [to_us(it.ingest_time) - to_us(it.event_time) for it in trades]
            elif b'"type":"error"' in frame[:40]:
                raise SystemExit(frame.decode())
    return Ages(sorted(at_client), sorted(at_ingest), messages)


if __name__ == "__main__":
    main()
