"""One trade that can't be stored, among others in one frame."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from ingesting import dead_letters, finnhub_frame, ingesting, scripted_venue, written
from websockets.asyncio.server import ServerConnection
from working import until

from tickplant import metrics
from tickplant.market import SymbolId
from tickplant.redis_client import open_redis

START_MS = 1_700_000_040_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


async def test_a_trade_out_of_range_takes_none_of_its_frame_along(redis_url: str, redis: Any) -> None:
    rows = [("AAPL", f"{100 + number}.5", START_MS + number, "1") for number in range(60)]
    rows[17] = ("AAPL", "117.5", 1, "1")
    rows[41] = ("AAPL", "-141.5", START_MS, "1")
    malformed = metrics.INGEST_MALFORMED.labels("finnhub")
    before = malformed._value.get()

    async def script(client: ServerConnection) -> None:
        await client.send(finnhub_frame(*rows))
        await client.wait_closed()

    async with scripted_venue(script) as url, ingesting(redis_url, url, [SymbolId("finnhub", "AAPL")]):

        async def stored() -> bool:
            return len(await written(redis)) == 58

        await until(stored, "the good trades of the frame")
        letters = await dead_letters(redis)
    assert [trade.price for trade in await written(redis)] == [
        row[1] for number, row in enumerate(rows) if number not in (17, 41)
    ]
    assert [letter["payload"] for letter in letters] == [
        '{"p":117.5,"s":"AAPL","t":1,"v":1}',
        f'{{"p":-141.5,"s":"AAPL","t":{START_MS},"v":1}}',
    ]
    assert "time out of range" in letters[0]["reason"]
    assert "price is not a plain decimal" in letters[1]["reason"]
    assert malformed._value.get() == before + 2
