"""What roles have stored, to compare one run with another."""

from typing import Any

import stored
from conftest import PARTITIONS
from working import publishing, stored_count, until, working

from ingest.publisher import Publisher
from tickplant import wire
from tickplant.derived import Alert, AlertChange
from tickplant.market import Trade
from tickplant.redis_client import open_redis
from tickplant.streams import partition_of, trades_stream
from workers.loading import RoleSettings

# Up to the last trade: what comes after it follows from the clock alone, which no two runs read alike.
_QUERIES = {
    "averages": 'select symbol, "interval", open_time, name, value from averages where open_time <'
    " (select max(event_time) from trades) - interval '5 minutes'",
    "statistics": "select symbol, open_time, points, return, mean, stddev, zscore, q1, q3 from statistics"
    " where open_time < (select max(event_time) from trades) - interval '5 minutes'",
    "signals": 'select symbol, strategy, number, event_time, trade_id, price, side, strength, "values"'
    " from signals where event_time <= (select max(event_time) from trades)",
    "firings": "select alert_id, number, symbol, kind, event_time, trade_id, price, value, threshold"
    " from firings where event_time <= (select max(event_time) from trades)",
    "webhooks": "select w.alert_id, w.number, url from webhooks w join firings using (alert_id, number)"
    " where event_time <= (select max(event_time) from trades)",
    "orders": 'select * from bot_orders where "time" <= (select max(event_time) from trades)',
    "fills": "select * from bot_fills",
    "equity": 'select * from bot_equity where "time" <= (select max(event_time) from trades)',
    "accounts": 'select symbol, cash, "position", cost, profit, fees from bot_accounts',
}


async def read_derived(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table of the roles, in an order of their own."""
    return {
        name: sorted((tuple(row) for row in await stored.fetch_rows(url, query)), key=repr)
        for name, query in _QUERIES.items()
    }


async def send_alerts(redis_url: str, alerts: list[Alert]) -> None:
    """Make alerts as the API does, before any trade."""
    redis: Any = open_redis(redis_url)
    for alert in alerts:
        stream = trades_stream(partition_of(alert.venue, alert.symbol, PARTITIONS))
        await redis.xadd(stream, {wire.CHANGE: wire.encode_change(AlertChange(alert))})
    await redis.aclose()


async def forget_everything(redis_url: str, database_url: str) -> None:
    """Make both servers as empty as at the start."""
    redis: Any = open_redis(redis_url)
    await redis.flushall()
    await redis.aclose()
    tables = await stored.fetch_value(
        database_url,
        "select string_agg(quote_ident(tablename), ', ') from pg_tables"
        " where schemaname = 'public' and tablename not in ('plant', 'migration')",
    )
    await stored.fetch_value(database_url, f"truncate {tables}")


async def clean_run(
    redis_url: str, database_url: str, trades: list[Trade], alerts: list[Alert], roles: RoleSettings
) -> dict[str, list[tuple[Any, ...]]]:
    """Return what roles store of trades that come in order, with nothing in the way."""
    await send_alerts(redis_url, alerts)
    async with working(redis_url, database_url, roles=roles), publishing(redis_url) as publisher:
        await _publish(publisher, trades)

        async def all_stored() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(all_stored, "all trades stored")
    return await read_derived(database_url)


async def _publish(publisher: Publisher, trades: list[Trade]) -> None:
    for start in range(0, len(trades), 1000):
        await publisher.publish(trades[start : start + 1000])
