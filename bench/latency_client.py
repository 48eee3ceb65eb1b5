"""A websocket client of the API, in a process of its own, that measures the age of what it receives.

`python -m bench.latency_client REQUEST` takes a `LatencyRequest` as JSON, prints a line when it is
subscribed, and `Ages` when the time is over. The warm-up starts with the first update.
"""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingest.connection import SocketRead, VenueConnection, open_connection
from tickplant import event_loop
from tickplant.times import to_us

_FIRST_S: Final = 60.0
"""The longest wait for the first update."""
_UPDATES: Final = (b'"type":"trades"', b'"type":"price"')


class LatencyRequest(Struct, frozen=True):
    """What to measure."""

    url: str
    channels: list[str]
    warm_up_s: float
    seconds: float


class Ages(Struct, frozen=True):
    """How long after their event time trades arrived, ascending, in microseconds."""

    at_client_us: list[int]
    at_ingest_us: list[int]
    messages: int
    seconds: float
    """How long they were received."""


class _Trade(Struct, gc=False):
    event_time: datetime
    ingest_time: datetime


class _Message(Struct, gc=False):
    data: list[_Trade] | _Trade


def main() -> None:
    """Run the client."""
    request = msgspec.json.decode(sys.argv[1], type=LatencyRequest)
    reads = event_loop.run(_receive(request))
    sys.stdout.buffer.write(msgspec.json.encode(_ages(reads, request.seconds)))


async def _receive(request: LatencyRequest) -> list[SocketRead]:
    """Subscribe, and return what is received after the warm-up, with the times of its arrival."""
    async with open_connection(request.url, timeout_s=10) as connection:
        assert isinstance(connection, VenueConnection)
        message: dict[str, Any] = {"op": "subscribe", "id": 1, "channels": request.channels}
        await connection.send(msgspec.json.encode(message), text=True)
        await connection.take()  # the answer
        print("{}", flush=True)
        await _take(connection, _FIRST_S, until_update=True)
        await _take(connection, request.warm_up_s)
        return await _take(connection, request.seconds)


async def _take(
    connection: VenueConnection, seconds: float, *, until_update: bool = False
) -> list[SocketRead]:
    """Return what is received in some seconds, or until the first update."""
    reads: list[SocketRead] = []
    deadline_s = time.monotonic() + seconds
    with suppress(TimeoutError):
        while time.monotonic() < deadline_s and not (until_update and any(map(_has_update, reads))):
            async with asyncio.timeout(deadline_s - time.monotonic()):
                reads += await connection.take()
    return reads


def _has_update(received: SocketRead) -> bool:
    return any(kind in frame[:40] for frame in received.frames for kind in _UPDATES)


def _ages(reads: list[SocketRead], seconds: float) -> Ages:
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
                at_client += [received.time_us - to_us(trade.event_time) for trade in trades]
                at_ingest += [to_us(trade.ingest_time) - to_us(trade.event_time) for trade in trades]
            elif b'"type":"error"' in frame[:40]:
                raise SystemExit(frame.decode())
    return Ages(sorted(at_client), sorted(at_ingest), messages, seconds)


if __name__ == "__main__":
    main()
