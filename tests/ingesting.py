"""Ingest in the test's own process, and venues that follow a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from conftest import PARTITIONS
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Response

from ingest import service
from tickplant import wire
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId, Trade
from tickplant.streams import CONNECTIONS, DEAD_LETTERS, trades_stream

Script = Callable[[ServerConnection], Awaitable[None]]
Admit = Callable[[], Response | None]
"""Answers a handshake; None lets it in."""

NOWHERE = "http://127.0.0.1:1"


@asynccontextmanager
async def scripted_venue(script: Script, admit: Admit = lambda: None) -> AsyncIterator[str]:
    """Run a venue that treats each client as the script does; yield its address."""
    async with serve(
        script,
        "127.0.0.1",
        0,
        compression=None,
        ping_interval=None,
        process_request=lambda connection, request: admit(),
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def ingesting(
    redis_url: str, ws_url: str, symbols: Sequence[SymbolId], *, budget: int = 10**9, rest_url: str = NOWHERE
) -> AsyncIterator[None]:
    """Ingest of symbols of venues that are all at one address."""
    stop = asyncio.Event()
    address = service.VenueAddress(ws_url, rest_url, api_key="key" if symbols[0].venue == "finnhub" else None)
    task = asyncio.create_task(
        service.run(
            redis_url=redis_url,
            symbols=symbols,
            addresses={symbol.venue: address for symbol in symbols},
            partitions=PARTITIONS,
            stream_budget_trades=budget,
            stop=stop,
        )
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def written(redis: Any) -> list[Trade]:
    """Return the trades in all streams, stream by stream."""
    fields = [fields for p in range(PARTITIONS) for _, fields in await redis.xrange(trades_stream(p))]
    payloads = [f.get(wire.TRADES) or f.get(wire.UNNUMBERED) for f in fields]
    return [trade for payload in payloads if payload for trade in decode_trades(payload)]


async def clocks(redis: Any) -> list[wire.Clock]:
    """Return the clocks in all streams."""
    fields = [fields for p in range(PARTITIONS) for _, fields in await redis.xrange(trades_stream(p))]
    return [wire.decode_clock(each[wire.CLOCK]) for each in fields if wire.CLOCK in each]


async def dead_letters(redis: Any) -> list[dict[str, str]]:
    """Return the dead letters."""
    entries = await redis.xrange(DEAD_LETTERS)
    return [{k.decode(): v.decode(errors="replace") for k, v in fields.items()} for _, fields in entries]


async def connections(redis: Any) -> list[wire.ConnectionStatus]:
    """Return the connections as ingest last reported them."""
    return [wire.decode_connection(value) for value in (await redis.hgetall(CONNECTIONS)).values()]


def finnhub_frame(*trades: tuple[str, str, int, str]) -> str:
    """Return a frame of Finnhub's: symbol, price, time in milliseconds and size of each trade."""
    rows = [f'{{"p":{p},"s":{json.dumps(s)},"t":{t},"v":{v}}}' for s, p, t, v in trades]
    return f'{{"data":[{",".join(rows)}],"type":"trade"}}'


def coinbase_match(product: str, trade_id: int, time: str, *, type_: str = "match") -> str:
    """Return a trade of Coinbase's."""
    return json.dumps(
        {"type": type_, "trade_id": trade_id, "sequence": 1, "time": time, "product_id": product}
        | {"size": "0.5", "price": "400.23", "side": "sell"}
    )
