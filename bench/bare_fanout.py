"""A bare uvicorn application that sends prices to all websockets: the API's fan-out is measured beside it.

`python -m bench.bare_fanout PORT CLIENTS PER_S` sends PER_S prices a second once CLIENTS are connected, to
one after the other, as most ASGI programs do. The messages have the form and length of the API's.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import uvicorn

from tickplant.clock import now_us

_PRICE: Final = (
    '{"type":"price","channel":"price:binance:BTCUSDT","cursor":"3.1795167827388-0.n0","data":{"trade_id":%d,'
    '"price":"60007.06000000","size":"0.02209000","side":"buy","event_time":"2026-11-20T09:43:47.386859Z",'
    '"ingest_time":"2026-11-20T09:43:47.387235Z"}}'
)

Send = Callable[[dict[str, Any]], Awaitable[None]]


class BareFanout:
    """An ASGI application."""

    def __init__(self, clients: int, per_s: float) -> None:
        self._clients: Final = clients
        self._per_s: Final = per_s
        self._sends: list[Send] = []
        self._publishing: asyncio.Task[None] | None = None

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        """Accept a websocket and hold it open."""
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        self._sends.append(send)
        if len(self._sends) == self._clients:
            self._publishing = asyncio.create_task(self._publish())
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self._sends.remove(send)

    async def _publish(self) -> None:
        clock_s = asyncio.get_running_loop().time
        due_s = clock_s()
        while self._sends:
            due_s += 1 / self._per_s
            await asyncio.sleep(due_s - clock_s())
            text = _PRICE % now_us()
            for send in list(self._sends):
                await send({"type": "websocket.send", "text": text})


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    port, clients, per_s = arguments
    app = BareFanout(int(clients), float(per_s))
    print("{}", flush=True)
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main(sys.argv[1:])
