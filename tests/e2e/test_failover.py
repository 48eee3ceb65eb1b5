"""A primary is killed and its replica promoted under a replay: trades and candles equal the recording.

The replica lacks the last commits of the primary, as with asynchronous replication. The former primary comes
back, and nobody works on it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import offline
import pytest
import stored
from conftest import VARIANTS, OwnPostgres, OwnRedis
from processes import Processes
from replicas import Replica, address_of, disconnect, replica_of
from working import until

from db.migrate import migrate
from tickplant.local import PostgresServer

PARTITIONS = 4
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@asynccontextmanager
async def replay(
    own_redis: OwnRedis, primary: PostgresServer, replica: Replica, recording: Path, logs: Path
) -> AsyncIterator[Processes]:
    """Replay a recording through three workers on a primary and its replica."""
    redis = await own_redis()
    environment = {
        "TICKPLANT_REDIS_URL": redis.url,
        "TICKPLANT_DATABASE_URL": address_of([primary, replica]),
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_LEASE_S": "3",
        "TICKPLANT_COMMIT_INTERVAL_MS": "50",
    }
    async with Processes(environment, logs) as processes:
        await processes.start_sandbox("--capture", str(recording), "--speed", "30", "--hold")
        for _ in range(3):
            await processes.start("worker")
        await processes.start("ingest")
        yield processes


async def is_left(url: str) -> bool:
    """Return whether no lease is renewed any more."""
    query = "select count(*) from lease where owner is not null and expires_at > clock_timestamp()"
    return bool(await stored.fetch_value(url, query) == 0)


async def count_trades(url: str) -> int:
    return int(await stored.fetch_value(url, "select count(*) from trades"))


@pytest.mark.parametrize("dies", [True, False])
async def test_a_promoted_replica_that_lacks_commits_ends_with_the_recording(
    own_redis: OwnRedis, own_postgres: OwnPostgres, recording: Path, tmp_path: Path, *, dies: bool
) -> None:
    """If the primary does not die, only the timeline of the promoted replica tells of the promotion."""
    recorded = offline.binance_trades(offline.binance_frames(recording, *SYMBOLS))
    last_ids = [max(trade["t"] for trade in recorded if trade["s"] == symbol) for symbol in SYMBOLS]
    primary = await own_postgres()
    await migrate(
        primary.url,
        partitions=PARTITIONS,
        extension="on" if VARIANTS[-1] == "timescaledb" else "off",
    )
    async with (
        replica_of(primary) as replica,
        replay(own_redis, primary, replica, recording, tmp_path) as processes,
    ):

        async def has(url: str, trades: int) -> bool:
            return await count_trades(url) >= trades

        await until(lambda: has(replica.url, len(recorded) // 10), "the replica has some trades")
        await disconnect(replica)
        kept = await count_trades(replica.url)
        await until(lambda: has(primary.url, kept + len(recorded) // 10), "the replica lacks trades")
        lost = await count_trades(primary.url) - kept
        if dies:
            await primary.kill()
        await replica.promote()
        await until(lambda: has(replica.url, kept + 1), "workers have found the promoted replica")
        if dies:
            await primary.start()  # a former primary, which takes connections
        else:
            await until(lambda: is_left(primary.url), "nobody owns partitions on the former primary")
        position = "select array_agg(entry_id order by partition) from lease"
        stale = await stored.fetch_value(primary.url, position)

        async def all_committed() -> bool:
            query = "select count(*) from ledger where last_trade_id = any($1) and missing = '{}'"
            return bool(await stored.fetch_value(replica.url, query, last_ids) == len(SYMBOLS))

        try:
            await until(all_committed, "all trades committed")
        except AssertionError as error:
            error.add_note(processes.logs())
            raise
        assert await stored.read_trades(replica.url) == sorted(
            (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
            for t in recorded
        )
        assert await stored.read_candles(replica.url) == offline.candles(recorded)
        assert (
            await stored.read_gaps(replica.url) == []
        )  # what was lost came from the stream, not from history
        assert await stored.fetch_value(primary.url, position) == stale
        assert lost > 0
        assert "has lost the commits" in processes.logs()
