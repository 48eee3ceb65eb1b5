"""Ingest ignores what other programs have written into the hashes it reads, field by field."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from conftest import PARTITIONS
from working import publishing, trade

from tickplant import metrics, wire
from tickplant.market import Gap, SymbolId
from tickplant.redis_client import open_redis
from tickplant.streams import OWN_IDS, gaps_key, partition_of, prices_key

GOOD = SymbolId("binance", "BTCUSDT")
BAD = [SymbolId("binance", name) for name in ("AAA", "BBB", "CCC", "DDD")]
SYMBOLS = [*BAD, GOOD]


async def write(redis: Any, key_of: Callable[[int], str], payloads: Sequence[bytes]) -> None:
    """Write what each of the symbols has."""
    for symbol, payload in zip(SYMBOLS, payloads, strict=True):
        await redis.hset(key_of(partition_of(*symbol, PARTITIONS)), str(symbol), payload)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


def ignored(key: str) -> float:
    return float(metrics.REDIS_INVALID_VALUES.labels(key)._value.get())


async def test_an_invalid_last_trade_is_ignored_counted_and_logged_once(
    redis_url: str, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good = trade(7, at_us=1_700_000_000_000_000, symbol=GOOD.symbol)
    odd = [b"\xff\x00", b"garbage", wire.encode_trade(good), wire.encode_gaps([])]
    before = ignored("prices")
    await write(redis, prices_key, [*odd, wire.encode_trade(good)])
    async with publishing(redis_url) as publisher:
        for _ in range(2):
            assert await publisher.read_last_trades(SYMBOLS) == [good]
    assert ignored("prices") - before == 2 * len(BAD)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == len(BAD)


async def test_an_invalid_list_of_gaps_is_ignored(redis_url: str, redis: Any) -> None:
    def gap(symbol: SymbolId, first_id: int, last_id: int) -> Gap:
        return Gap(*symbol, first_id, last_id, 1, 1, "open", "ours", None, 1)

    good = gap(GOOD, 5, 9)
    odd = [b"\xff", wire.encode_gaps([good]), wire.encode_gaps([gap(BAD[2], 9, 5)]), b"text"]
    await write(redis, gaps_key, [*odd, wire.encode_gaps([good])])
    async with publishing(redis_url) as publisher:
        assert await publisher.read_gaps(SYMBOLS) == [good]


@pytest.mark.parametrize("odd", [b"soon", b"-5", b"9" * 40])
async def test_an_invalid_reserved_id_is_ignored(redis_url: str, redis: Any, odd: bytes) -> None:
    await redis.hset(OWN_IDS, GOOD.venue, odd)
    last = trade(7, at_us=1_700_000_000_000_000, symbol=GOOD.symbol)
    await redis.hset(prices_key(partition_of(*GOOD, PARTITIONS)), str(GOOD), wire.encode_trade(last))
    async with publishing(redis_url) as publisher:
        assert await publisher.read_reserved_id(GOOD.venue, [GOOD.symbol]) == 7


async def test_keys_of_another_type_hold_nothing(redis_url: str, redis: Any) -> None:
    for key_of in (prices_key, gaps_key):
        await redis.set(key_of(partition_of(*GOOD, PARTITIONS)), "taken")
    async with publishing(redis_url) as publisher:
        assert await publisher.read_last_trades([GOOD]) == []
        assert await publisher.read_gaps([GOOD]) == []
