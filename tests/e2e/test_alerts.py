"""Alerts in two worker processes, one of them killed: each fires just when it should, and is delivered."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import stored
from alerting import alert
from conftest import PARTITIONS, on_one_variant
from processes import Processes, kill
from receiving import Receiver, receiving
from working import START_US, publishing, stored_count, trade, until

from tickplant import wire
from tickplant.derived import Alert, AlertChange
from tickplant.market import Trade
from tickplant.redis_client import open_redis
from tickplant.streams import partition_of, trades_stream

SYMBOLS = [f"S{number}USDT" for number in range(8)]
ALERTS = 10_000
TRADES_EACH = 400
SECRET = "a secret of many characters"


def some_alerts(receiver: Receiver) -> list[Alert]:
    """Alerts of all kinds on prices, half of them repeating; one in a hundred with a webhook."""
    rng = random.Random(5)
    kinds = ["above", "below", "crosses_above", "crosses_below"]
    return [
        alert(
            f"{number:05d}",
            rng.choice(kinds),
            str(rng.randint(900, 1100)),
            symbol=rng.choice(SYMBOLS),
            repeat=rng.random() < 0.5,
            webhook_url=receiver.url() if number % 100 == 0 else None,
        )
        for number in range(ALERTS)
    ]


def some_trades() -> list[Trade]:
    """Prices that wander up and down, symbol by symbol in turn."""
    rng = random.Random(6)
    prices = dict.fromkeys(SYMBOLS, 1000)
    trades = []
    for number in range(1, TRADES_EACH + 1):
        for symbol in SYMBOLS:
            prices[symbol] += rng.choice((-9, -4, 0, 4, 9))
            at_us = START_US + number * 100_000
            trades.append(trade(number, at_us=at_us, price=str(prices[symbol]), symbol=symbol))
    return trades


def expected(made: Alert, prices: Sequence[int]) -> Iterator[int]:
    """Ids of the trades that fire an alert, by the definition alone."""
    threshold = int(made.price or 0)
    sign = 1 if made.kind.endswith("above") else -1
    armed = not made.kind.startswith("crosses")
    for trade_id, price in enumerate(prices, 1):
        beyond = sign * (price - threshold)
        if armed and beyond > 0:
            yield trade_id
            if not made.repeat:
                return
            armed = False
        elif not armed and beyond < 0:
            armed = True


async def send(redis_url: str, alerts: Sequence[Alert]) -> None:
    """Send changes as the API does."""
    redis = open_redis(redis_url)
    pipeline = redis.pipeline(transaction=False)
    for each in alerts:
        stream = trades_stream(partition_of(each.venue, each.symbol, PARTITIONS))
        pipeline.xadd(stream, {wire.CHANGE: wire.encode_change(AlertChange(each))})
    await pipeline.execute()
    await redis.aclose()


@on_one_variant
async def test_ten_thousand_alerts_fire_once_each_time_though_a_worker_is_killed(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_LEASE_S": "3",
        "TICKPLANT_COMMIT_INTERVAL_MS": "50",
        "TICKPLANT_ROLES": "alerts",
        "TICKPLANT_WEBHOOK_SECRET": SECRET,
        "TICKPLANT_WEBHOOK_ALLOW": "127.0.0.1",
    }
    trades = some_trades()

    async def firings() -> int:
        return int(await stored.fetch_value(database_url, "select count(*) from firings"))

    async def shared() -> bool:
        owners = "select count(distinct owner) = 2 and count(*) = $1 from lease where owner is not null"
        return bool(await stored.fetch_value(database_url, owners, PARTITIONS))

    async def all_stored() -> bool:
        return await stored_count(database_url) == len(trades)

    async def all_delivered() -> bool:
        query = "select count(*) = 0 from webhooks where state <> 'delivered'"
        return bool(await stored.fetch_value(database_url, query))

    async with (
        receiving() as receiver,
        Processes(environment, tmp_path) as processes,
        publishing(redis_url) as publisher,
    ):
        alerts = some_alerts(receiver)
        workers = [await processes.start("worker") for _ in range(2)]
        await until(shared, "two workers share the partitions")
        await send(redis_url, alerts)
        for start in range(0, len(trades), 50):
            await publisher.publish(trades[start : start + 50])
        await until(firings, "the first alerts fired")
        await kill(workers[0])
        await until(all_stored, "all trades stored")
        # Deliveries that the killed process had started would be retried only later.
        await stored.fetch_rows(
            database_url, "update webhooks set due_at = clock_timestamp() where state = 'waiting'"
        )
        await until(all_delivered, "all webhooks delivered")

    rows = await stored.fetch_rows(database_url, "select * from firings order by alert_id, number")
    found = defaultdict(list)
    for row in rows:
        found[row["alert_id"]].append(row["trade_id"])
        assert row["number"] == len(found[row["alert_id"]])
    by_symbol = {name: [int(trade.price) for trade in trades if trade.symbol == name] for name in SYMBOLS}
    wanted = {alert.alert_id: list(expected(alert, by_symbol[alert.symbol])) for alert in alerts}
    assert found == {alert_id: ids for alert_id, ids in wanted.items() if ids}
    assert len(rows) > ALERTS
    keys = {f"{row['alert_id']}-{row['number']}" for row in rows if int(row["alert_id"]) % 100 == 0}
    assert keys == set(receiver.keys)
