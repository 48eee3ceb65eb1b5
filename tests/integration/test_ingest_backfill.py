"""Gaps and a venue's history: what becomes of ids that it doesn't give."""

import asyncio
from collections.abc import Sequence
from typing import Any

from conftest import PARTITIONS
from working import START_US, publishing, trade, until

from ingest.backfill import Backfill
from ingest.venues.base import Gap
from ingest.venues.binance import Binance
from tickplant import market, wire
from tickplant.redis_client import open_redis
from tickplant.streams import GAPS, partition_of, trades_stream


class ShortHistory:
    """A history that begins with some trade."""

    def __init__(self, begin: int) -> None:
        self.begin = begin

    async def read_page(self, gap: Gap) -> Sequence[market.Trade]:
        first = max(gap.first_id, self.begin)
        return tuple(trade(number, at_us=START_US + number) for number in range(first, first + 5))


async def test_ids_from_before_the_begin_of_the_history_are_unrecoverable(redis_url: str) -> None:
    redis: Any = open_redis(redis_url)
    gap = market.Gap("binance", "AAAUSDT", 10, 30, START_US, START_US, "open", "ours", None, 21)
    await redis.hset(GAPS, "binance:AAAUSDT", wire.encode_gaps([gap]))
    history: Any = ShortHistory(begin=22)
    stream = trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS))

    async def verdicts() -> list[wire.Verdict]:
        found = [fields.get(wire.VERDICT) for _, fields in await redis.xrange(stream)]
        return [wire.decode_verdict(payload) for payload in found if payload]

    async def told() -> bool:
        return len(await verdicts()) == 2

    async with publishing(redis_url) as publisher:
        backfill = Backfill(venue=Binance(), symbols=["AAAUSDT"], history=history, publisher=publisher)
        stop = asyncio.Event()
        task = asyncio.create_task(backfill.run(stop))
        await until(told, "both verdicts")
        stop.set()
        await task
    begun, judged = await verdicts()
    await redis.aclose()
    assert (begun.first_id, begun.last_id, begun.verdict) == (10, 30, "backfilling")
    assert (judged.first_id, judged.last_id, judged.verdict) == (10, 21, "unrecoverable")
    assert judged.reason == "the venue's history begins with 22"
