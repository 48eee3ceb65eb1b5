"""Old trades are removed by age, on both kinds of database; what was made of them stays, and nothing lies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from correct import SUNDAY_US, SYMBOL, candles_of, random_trades, store, trade_row
from msgspec import convert
from msgspec.structs import replace
from working import until

from db.audit import SymbolAudit, audit_symbol, snapshot_on
from db.candles import read_seconds
from db.migrate import migrate
from db.policies import Retention
from db.pool import open_pool
from db.retention import read_horizon
from tickplant.background import background
from tickplant.intervals import DAY_US
from tickplant.times import to_datetime
from workers.retention import remove_periodically

Apply = Any


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A database with trades from Sunday to Wednesday."""
    connection = await asyncpg.connect(database_url)
    await store(connection, random_trades(seed=1))
    yield connection
    await connection.close()


@pytest.fixture
def apply(database_url: str, connection: asyncpg.Connection) -> Apply:
    """Set how long rows are kept, and remove what is older, as the scheduler or a worker would."""

    async def apply(**days: int) -> None:
        await migrate(database_url, partitions=4, retention=convert(days, Retention))
        await connection.execute("call remove_expired(1)")  # as a job
        await connection.execute("call remove_expired()")  # as a worker

    return apply


async def audit(connection: asyncpg.Connection) -> SymbolAudit:
    async with snapshot_on(connection):
        return await audit_symbol(connection, SYMBOL, lambda done, total: None)


async def count(connection: asyncpg.Connection, relation: str) -> int:
    return int(await connection.fetchval(f"select count(*) from {relation}"))


async def test_old_trades_are_removed_their_candles_stay_and_the_audit_passes(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    trades = random_trades(seed=1)
    newest_us = max(trade.event_time_us for trade in trades)
    horizon_us = (newest_us - DAY_US) // DAY_US * DAY_US
    await apply(trades_days=1)
    kept = [trade for trade in trades if trade.event_time_us >= horizon_us]
    assert 0 < len(kept) < len(trades)
    assert await count(connection, "trades") == len(kept)
    assert await count(connection, "candles") == len(candles_of(trades))
    assert await read_horizon(connection, SYMBOL) == to_datetime(horizon_us)
    found = await audit(connection)
    assert found.passed
    assert found.trades == len(kept)
    assert found.not_checkable == sum(candle.open_time_us < horizon_us for candle in candles_of(trades))
    assert found.candles + found.not_checkable == len(candles_of(trades))


async def test_what_is_wrong_with_the_trades_that_are_left_is_still_found(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    await apply(trades_days=1)
    lost = await connection.fetchval("select (array_agg(trade_id order by trade_id desc))[3] from trades")
    await connection.execute("delete from trades where trade_id = $1", lost)
    found = await audit(connection)
    assert [(trade_id.kind, trade_id.first_trade_id, trade_id.last_trade_id) for trade_id in found.ids] == [
        ("not stored", lost, lost)
    ]
    assert found.differences


async def test_a_late_trade_of_a_removed_day_is_no_error(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    await apply(trades_days=1)
    old = random_trades(seed=1)[0]
    await connection.copy_records_to_table("trades", records=[trade_row(old)])
    assert (await audit(connection)).passed
    seconds, _ = await read_seconds(
        connection, SYMBOL, start_us=0, end_us=old.event_time_us + 1_000_000, limit=9
    )
    assert seconds == []
    await apply(trades_days=1)
    assert await connection.fetchval("select count(*) from trades where trade_id = $1", old.trade_id) == 0


async def test_a_day_is_counted_from_the_newest_trade_so_that_a_replay_stays(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    assert datetime.now(UTC) - to_datetime(SUNDAY_US) > timedelta(days=60)
    await apply(trades_days=30, candles_days=30)
    assert await count(connection, "trades") == len(random_trades(seed=1))
    assert await read_horizon(connection, SYMBOL) is None


async def test_a_venue_whose_clock_is_years_ahead_takes_nothing_along(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    await connection.execute("update ledger set watermark = now() + interval '50 years'")
    now = datetime.now(UTC)
    recent = replace(random_trades(seed=1)[0], event_time_us=int(now.timestamp()) * 1_000_000, trade_id=1)
    await connection.copy_records_to_table("trades", records=[trade_row(recent)])
    await apply(trades_days=2)
    assert [row["trade_id"] for row in await connection.fetch("select trade_id from trades")] == [1]


async def test_candles_are_removed_only_if_configured(connection: asyncpg.Connection, apply: Apply) -> None:
    later = replace(
        random_trades(seed=1)[-1], event_time_us=SUNDAY_US + 200 * DAY_US, symbol="LATER", trade_id=1
    )
    await store(connection, [later])
    await apply(trades_days=5, candles_days=10)
    assert await count(connection, "trades") == 1
    assert await connection.fetchval("select count(*) from candles where symbol = 'BTCUSDT'") == 0
    assert await connection.fetchval("select count(*) from candles") == 7
    assert (await audit(connection)).passed


RECORDS = """
insert into firings (alert_id, number, partition, "user", venue, symbol, kind, event_time, note, entry_id)
select a, n, 0, 'me', 'binance', 'BTCUSDT', 'above', t, '', '0-0' from (values
    ('delivered', 1, :old), ('delivered', 2, :new), ('waiting', 1, :old), ('dead', 1, :old),
    ('plain', 1, :old), ('plain', 2, :new)
) as v (a, n, t);
insert into webhooks (alert_id, number, url, host, state, settled_at, created_at) values
    ('delivered', 1, '', '', 'delivered', :old, :old), ('delivered', 2, '', '', 'delivered', :new, :new),
    ('waiting', 1, '', '', 'waiting', null, :old), ('dead', 1, '', '', 'dead', :old, :old);
insert into notifications (target, text, alert_id, attempts, state, settled_at, created_at) values
    ('ops', '', null, 1, 'delivered', :old, :old), ('ops', '', null, 2, 'delivered', :new, :new),
    ('ops', '', null, 3, 'waiting', null, :old), ('ops', '', null, 4, 'dead', :old, :old);
insert into alerts (alert_id, version, "user", venue, symbol, partition, kind, begun, repeat, cooldown_s,
    hysteresis, note, active, created_at, changed_at, deleted_at)
select a, 1, 'me', 'binance', 'BTCUSDT', 0, 'above', 1, false, 0, 0, '', true, :old, :old, d from (values
    ('alive', null::timestamptz), ('deleted', :old), ('on its way', :old), ('deleted now', :new)
) as v (a, d);
insert into alert_changes (alert_id, version) values ('on its way', 2);
insert into alert_state (alert_id, partition, version, definition, deleted, armed, done, number, stored_at)
values
    ('alive', 0, 1, '', false, true, false, 0, :old), ('deleted', 0, 1, '', true, true, false, 0, :old),
    ('deleted now', 0, 1, '', true, true, false, 0, :new);
insert into gaps (venue, symbol, first_id, last_id, after_time, state, settled_at) values
    ('binance', 'BTCUSDT', 1, 1, :old, 'healed', :old), ('binance', 'BTCUSDT', 2, 2, :old, 'healed', :new),
    ('binance', 'BTCUSDT', 3, 3, :old, 'unrecoverable', :old),
    ('binance', 'BTCUSDT', 4, 4, :old, 'open', null);
insert into bot_switchings (version, enabled, reason, switched_at) values
    (1, true, '', :old), (2, false, '', :old), (3, true, '', :old);
"""


async def test_old_records_are_removed_except_pending_ones(
    connection: asyncpg.Connection, apply: Apply
) -> None:
    await connection.execute("update ledger set watermark = now()")
    old, new = "now() - interval '12 days'", "now() - interval '3 days'"
    await connection.execute(RECORDS.replace(":old", old).replace(":new", new))
    kept = {
        "firings": "delivered 2, plain 2, waiting 1",
        "webhooks": "delivered 2, waiting 1",
        "notifications": "ops 2, ops 3",
        "alerts": "alive 1, deleted now 1, on its way 1",
        "alert_state": "alive 1, deleted now 1",
        "gaps": "2 2, 3 3, 4 4",
        "bot_switchings": "3 true",
    }
    await apply(records_days=5)
    await apply(records_days=5)  # a firing goes after its webhook
    for relation, expected in kept.items():
        columns = {
            "gaps": "first_id, last_id",
            "bot_switchings": "version, enabled",
            "notifications": "target, attempts",
        }.get(relation, "alert_id, number" if relation in ("firings", "webhooks") else "alert_id, version")
        rows = await connection.fetch(f"select {columns} from {relation} order by 1, 2")
        assert ", ".join(f"{a} {b}" for a, b in rows) == expected.replace("true", "True"), relation


async def test_records_of_a_replay_are_old_by_our_clock(connection: asyncpg.Connection, apply: Apply) -> None:
    old = "now() - interval '12 days'"
    await connection.execute(RECORDS.replace(":old", old).replace(":new", old))
    await apply(records_days=5)
    assert await count(connection, "gaps") == 2
    assert await count(connection, "firings") == 6  # by the venues' time, which is years ago


async def test_many_records_are_removed_in_batches(connection: asyncpg.Connection, apply: Apply) -> None:
    await connection.execute(
        "insert into gaps (venue, symbol, first_id, last_id, after_time, state, settled_at)"
        " select 'binance', 'BTCUSDT', n, n, now(), 'healed', now() - interval '12 days'"
        " from generate_series(1, 25000) n"
    )
    assert (
        await connection.fetchval("select remove_some('gaps', 'settled_at', now(), 10000)") == 0
    )  # no setting
    await apply(records_days=5)
    assert await count(connection, "gaps") == 0


async def test_resetting_the_setting_keeps_everything(connection: asyncpg.Connection, apply: Apply) -> None:
    await apply(trades_days=100)
    assert await count(connection, "retention") == 1
    await connection.execute("update ledger set watermark = now()")
    await apply()
    assert await count(connection, "retention") == 0
    assert await count(connection, "trades") == len(random_trades(seed=1))


async def test_workers_remove_where_no_scheduler_does(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await migrate(database_url, partitions=4, retention=Retention(trades_days=1))
    await connection.execute("update retention set scheduled = false")
    trades = await count(connection, "trades")

    async def fewer() -> bool:
        return 0 < await count(connection, "trades") < trades

    async with (
        open_pool(database_url, size=1, application="test") as pool,
        background(remove_periodically(pool, first_s=0)),
    ):
        await until(fewer, "old trades removed")
    assert (await audit(connection)).passed


@pytest.mark.parametrize("database_url", ["timescaledb"], indirect=True)
async def test_timescaledbs_scheduler_has_the_job_while_something_is_to_be_removed(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    for keep, jobs in ((Retention(trades_days=1), 1), (Retention(trades_days=2), 1), (Retention(), 0)):
        await migrate(database_url, partitions=4, retention=keep)
        ids = await connection.fetch(
            "select job_id from timescaledb_information.jobs where proc_name = 'remove_expired'"
        )
        assert len(ids) == jobs
        for (job_id,) in ids:
            await connection.execute(f"call run_job({job_id})")
    await connection.close()
