"""Roles in the owner's pass, on real servers."""

import asyncio
import time
from typing import Any, ClassVar

import msgspec
import pytest
import stored
from conftest import on_last_variant
from working import ALL_ROLES, MINUTE_US, START_US, publishing, read_live, stored_count, trade, until, working

from tickplant.derived import SignalView, Unified
from tickplant.kernel import decode_trades
from tickplant.redis_client import open_redis
from tickplant.streams import DEAD_LETTERS, partition_of, signals_stream, unified_key
from workers.roles.events import Run
from workers.strategies import NEITHER, Held, Opinion, Strategy


class Broken(Strategy):
    """Goes wrong at its third trade."""

    name = "broken"
    trades = True
    error: ClassVar[BaseException] = ValueError("no more")
    seen: int = 0

    def run(self, run: Run) -> list[Held]:
        self.seen += len(run.trades)
        if self.seen >= 3:
            raise self.error
        return []


class Odd(Strategy):
    """Buys at odd prices."""

    name = "odd"
    trades = True
    cooldown_s: ClassVar[float] = 0.0

    def trade(self, trade: Any) -> Opinion:
        return Opinion("buy", 0.5, {"price": float(trade.price)}) if int(trade.price) % 2 else NEITHER


class Slow(Strategy):
    """Thinks about each trade."""

    name = "slow"
    trades = True

    def trade(self, trade: Any) -> None:
        time.sleep(0.05)


ROLES = ALL_ROLES._replace(strategies=(Broken, Odd), bot=None)


@on_last_variant
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no more"),
        asyncio.CancelledError("no more"),
        KeyboardInterrupt("no more" + "!" * 50_000_000),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failing_strategy_is_disabled_and_everything_else_continues(
    redis_url: str,
    database_url: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Broken, "error", error)
    trades = [trade(number, at_us=START_US + number, price=str(number)) for number in range(1, 9)]
    async with working(redis_url, database_url, roles=ROLES), publishing(redis_url) as publisher:
        for each in trades:
            await publisher.publish([each])

        async def all_stored() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(all_stored, "all trades stored")
    assert await signal_numbers(database_url, "odd") == [1, 2, 3]
    redis: Any = open_redis(redis_url)
    letters = [fields for _, fields in await redis.xrange(DEAD_LETTERS)]
    await redis.aclose()
    (letter,) = [letter for letter in letters if letter[b"source"] == b"strategy broken of binance:AAAUSDT"]
    assert b"no more" in letter[b"reason"]
    assert b"Traceback" in letter[b"payload.traceback"]
    assert sum(map(len, letter.values())) < 20_000
    assert "another worker has the lease" not in caplog.text
    assert len(caplog.text) < 100_000


@on_last_variant
async def test_signals_and_prices_with_them_are_published_once_after_the_commit(
    redis_url: str, database_url: str
) -> None:
    first = [trade(number, at_us=START_US + number, price=str(number)) for number in range(1, 5)]
    second = [trade(number, at_us=START_US + MINUTE_US, price=str(number)) for number in range(5, 9)]
    for trades in (first, second):  # the second owner goes on where the first has stopped
        async with working(redis_url, database_url, roles=ROLES), publishing(redis_url) as publisher:
            await publisher.publish(trades)

            async def published(last: int = trades[-1].trade_id) -> bool:
                updates = await read_live(redis_url, "AAAUSDT")
                return any(unified.trade_id == last for update in updates for unified in update.unified)

            await until(published, "the last trade published")
    updates = await read_live(redis_url, "AAAUSDT")
    assert [signal.number for update in updates for signal in update.signals] == [1, 2, 3]
    unified = [unified for update in updates for unified in update.unified][-1]
    assert (unified.price, unified.signals["odd"].number) == ("8", 3)
    redis: Any = open_redis(redis_url)
    entries = await redis.xrange(signals_stream(partition_of("binance", "AAAUSDT", 4)))
    kept = await redis.hget(unified_key(partition_of("binance", "AAAUSDT", 4)), "binance:AAAUSDT")
    await redis.aclose()
    signals = [msgspec.json.decode(fields[b"signal"], type=SignalView) for _, fields in entries]
    assert [signal.number for signal in signals] == [1, 2, 3]
    assert unified == msgspec.json.decode(kept, type=Unified)


@on_last_variant
async def test_what_a_slow_strategy_is_done_with_is_stored_while_it_is_at_the_rest(
    redis_url: str, database_url: str
) -> None:
    trades = [trade(number, at_us=START_US + number, price="1") for number in range(1, 25)]
    async with publishing(redis_url) as publisher:
        for each in trades:
            await publisher.publish([each])
    roles = ALL_ROLES._replace(strategies=(Slow,), bot=None)
    async with working(redis_url, database_url, roles=roles):

        async def all_stored() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(all_stored, "all trades stored")
    ((transactions,),) = await stored.fetch_rows(
        database_url, "select count(distinct xmin::text) from trades"
    )
    assert transactions >= 3
    updates = await read_live(redis_url, "AAAUSDT")
    published = [
        trade for update in updates for entry in update.entries for trade in decode_trades(entry.trades)
    ]
    assert [trade.trade_id for trade in published] == [trade.trade_id for trade in trades]


async def signal_numbers(url: str, strategy: str) -> list[int]:
    rows = await stored.fetch_rows(
        url, "select number from signals where strategy = $1 order by number", strategy
    )
    return [row["number"] for row in rows]
