"""The promise: whatever is killed, trades and candles equal those computed offline from the same input.

Sandbox, ingest and workers are processes of their own, PostgreSQL and Redis servers of the test's own.
Workers are killed, paused and continued at random moments, many of them in the middle of a commit; the
servers are killed and restarted. A trigger makes the middle of a commit long enough to be hit.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import offline
import pytest
import stored
from conftest import VARIANTS, OwnPostgres, OwnRedis
from derived import clean_run, read_derived, send_alerts
from forked import Command
from processes import Processes, kill
from receiving import Receiver, receiving
from working import START_US, parse_binance, until

from db.migrate import migrate
from tickplant.cli.roles import role_settings
from tickplant.derived import Alert, AlertKind
from tickplant.local import PostgresServer, RedisServer
from tickplant.settings_reader import read_settings

PARTITIONS = 4
WORKERS = 3
LEASE_S = 1.0
SEED = int(os.environ.get("TICKPLANT_TEST_SEED", "20241108"))

# So that ten minutes of trades are enough for each role to have results.
LIVELY = {
    "TICKPLANT_SMA": "2,4,7",
    "TICKPLANT_STRATEGIES": "dip?share=0.9997&cooldown_s=1, cross?averages=sma_2+sma_4,"
    " hop?threshold=0.00005, anomaly",
    "TICKPLANT_BOT_STRATEGIES": "cross,hop,dip",
    "TICKPLANT_GAP_WAIT_S": "60",  # what is missed comes in time, also where processes start slowly
}

SLOW_COMMITS = """
create function linger() returns trigger language plpgsql as $$
begin perform pg_sleep(tg_argv[0]::float8); return null; end
$$;
create trigger linger after insert on candles for each statement execute function linger(0.05);
"""
# Without these a worker that continues may notice its loss by its heartbeat, in time by luck.
SLOW_HEARTBEATS = """
create trigger linger after insert or update on worker for each statement execute function linger(0.3);
"""
UNFENCED = """
create or replace function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text,
    p_version integer
) returns void language sql as $$
    update lease set entry_id = p_next where role = p_role and partition = p_partition
$$
"""


CROSSINGS: tuple[AlertKind, ...] = ("crosses_above", "crosses_below")


def alert(number: int, symbol: str, kind: AlertKind, **fields: Any) -> Alert:
    return Alert(
        alert_id=f"{symbol}-{kind}-{number}",
        version=1,
        user="test",
        venue="binance",
        symbol=symbol,
        kind=kind,
        **fields,
    )


def make_alerts(webhook_url: str) -> list[Alert]:
    """Make alerts of which most fire repeatedly; those of BTC at a high price go to a webhook, too."""
    crossing = [
        alert(
            number,
            symbol,
            kind,
            price=str(low + number * step),
            repeat=True,
            hysteresis="0.00001",
            webhook_url=webhook_url if symbol == "BTCUSDT" and number > 20 else None,
        )
        for symbol, low, step in (("BTCUSDT", 61556, 12), ("ETHUSDT", 2673, 0.5))
        for kind in CROSSINGS
        for number in range(24)
    ]
    change = alert(1, "BTCUSDT", "percent_change", percent="0.05", window_s=60, repeat=True)
    return [*crossing, change, alert(1, "ETHUSDT", "silence", silence_s=2, repeat=True)]


class Chaos:
    """What happens to the workers and servers of one run, by a seed."""

    def __init__(self, seed: int, processes: Processes, postgres: PostgresServer, redis: RedisServer) -> None:
        self.processes = processes
        self.url = postgres.url
        self._random = random.Random(seed)
        self._postgres = postgres
        self._redis = redis
        self._workers: list[Command] = []
        self._connection: asyncpg.Connection | None = None
        self.kills = 0
        self.pauses = 0
        self.in_mid_commit = 0

    async def __aenter__(self) -> "Chaos":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def start_workers(self) -> None:
        for _ in range(WORKERS):
            self._workers.append(await self.processes.start("worker"))

    async def harass(self, times: int) -> None:
        """Kill and pause workers so many times, and restart each server twice along the way."""
        servers = dict(
            zip(self._random.sample(range(times), 4), [self._postgres, self._redis] * 2, strict=True)
        )
        for number in range(times):
            await asyncio.sleep(self._random.uniform(0.1, 0.5))
            if number in servers:
                await servers[number].kill()
                await asyncio.sleep(self._random.uniform(0, 0.5))
                await servers[number].start()
            worker = await self._choose(mid_commit=number % 2 == 0)
            if self._random.random() < 0.6:
                self.kills += 1
                await kill(worker)
                self._workers[self._workers.index(worker)] = await self.processes.start("worker")
            else:
                await self.pause(worker, self._random.choice([0.2, 2 * LEASE_S]))

    async def pause(self, worker: Command, seconds: float) -> None:
        """Stop a worker, and let it continue."""
        self.pauses += 1
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        worker.send_signal(signal.SIGCONT)

    async def pause_an_owner(self) -> None:
        """Stop a worker in the middle of a commit, until another has taken over and committed."""
        await self.pause(await self._choose(mid_commit=True), 3.5 * LEASE_S)

    async def _choose(self, *, mid_commit: bool) -> Command:
        if mid_commit:
            deadline = asyncio.get_running_loop().time() + 3
            while asyncio.get_running_loop().time() < deadline:
                for process_id in await self._committing():
                    for worker in self._workers:
                        if worker.pid == process_id:
                            self.in_mid_commit += 1
                            return worker
                await asyncio.sleep(0.01)
        return self._random.choice(self._workers)

    async def _committing(self) -> list[int]:
        """Return the ids of worker processes with a transaction that has written something."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self.url, timeout=5)
            rows = await self._connection.fetch(
                "select application_name from pg_stat_activity"
                " where application_name like 'tickplant worker %' and backend_xid is not null"
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return []
        return [int(row["application_name"].rsplit(" ", 1)[1]) for row in rows]


@asynccontextmanager
async def replay(
    *,
    own_redis: OwnRedis,
    own_postgres: OwnPostgres,
    variant: str,
    captures: Path,
    speed: int,
    logs: Path,
    alerts: list[Alert],
    settings: Mapping[str, str],
) -> AsyncIterator[Chaos]:
    """Replay captures through three workers on servers of their own."""
    redis, postgres = await own_redis(), await own_postgres()
    await migrate(postgres.url, partitions=PARTITIONS, extension="on" if variant == "timescaledb" else "off")
    await execute(postgres.url, SLOW_COMMITS)
    await send_alerts(redis.url, alerts)
    environment = {
        "TICKPLANT_REDIS_URL": redis.url,
        "TICKPLANT_DATABASE_URL": postgres.url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
        "TICKPLANT_LEASE_S": str(LEASE_S),
        "TICKPLANT_COMMIT_INTERVAL_MS": "50",
        "TICKPLANT_WEBHOOK_SECRET": "a secret of many characters",
        "TICKPLANT_WEBHOOK_ALLOW": "127.0.0.1",
        **settings,
    }
    async with Processes(environment, logs) as processes:
        await processes.start_sandbox("--capture", str(captures), "--speed", str(speed), "--hold")
        async with Chaos(SEED, processes, postgres, redis) as chaos:
            await chaos.start_workers()
            await processes.start("ingest")
            yield chaos


async def all_committed(url: str, last_ids: list[int], processes: Processes) -> None:
    """Wait until the last trades, and all before them, are in the ledger."""

    async def committed() -> bool:
        query = "select count(*) from ledger where last_trade_id = any($1) and missing = '{}'"
        return bool(await stored.fetch_value(url, query, last_ids) == len(last_ids))

    try:
        await until(committed, "all trades committed", timeout_s=60)
    except AssertionError:
        pytest.fail(f"not all trades were committed in time\n{processes.logs()}")


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("variant", "database_url"), [(variant, variant) for variant in VARIANTS[-1:]], indirect=["database_url"]
)
async def test_killing_anything_changes_nothing_of_what_is_stored(
    own_redis: OwnRedis,
    own_postgres: OwnPostgres,
    variant: str,
    redis_url: str,
    database_url: str,
    recording: Path,
    tmp_path: Path,
) -> None:
    frames = list(offline.binance_frames(recording, "BTCUSDT", "ETHUSDT"))
    recorded = offline.binance_trades(frames)
    async with receiving() as receiver:
        alerts = make_alerts(receiver.url())
        async with replay(
            own_redis=own_redis,
            own_postgres=own_postgres,
            variant=variant,
            captures=recording,
            speed=40,
            logs=tmp_path,
            alerts=alerts,
            settings=LIVELY,
        ) as chaos:
            await chaos.harass(24)
            await all_committed(
                chaos.url,
                [max(t["t"] for t in recorded if t["s"] == symbol) for symbol in ("BTCUSDT", "ETHUSDT")],
                chaos.processes,
            )
            found = await read_derived(chaos.url)
            keys = {f"{alert_id}-{number}" for alert_id, number, _ in found["webhooks"]}
            await until(partial(have_arrived, receiver, keys), "all webhooks delivered", timeout_s=90)
    assert await stored.read_trades(chaos.url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in recorded
    )
    assert await stored.read_candles(chaos.url) == offline.candles(recorded)
    trades = parse_binance(frames, ingest_time_us=START_US)
    clean = await clean_run(redis_url, database_url, trades, alerts, role_settings(read_settings(LIVELY)))
    for name, rows in found.items():
        assert rows == clean[name], name
        assert rows, f"no {name} to compare"
    assert set(receiver.keys) == keys
    assert chaos.kills + chaos.pauses >= 20
    assert chaos.in_mid_commit >= 5


async def have_arrived(receiver: Receiver, keys: set[str]) -> bool:
    return keys <= set(receiver.keys)


async def test_without_the_fence_paused_owners_duplicate_trades(
    own_redis: OwnRedis, own_postgres: OwnPostgres, recording: Path, tmp_path: Path
) -> None:
    async with replay(
        own_redis=own_redis,
        own_postgres=own_postgres,
        variant="postgresql",
        captures=recording,
        speed=5,
        logs=tmp_path,
        alerts=[],
        settings={"TICKPLANT_ROLES": "none"},  # keys of their tables would refuse some of what is doubled
    ) as chaos:
        await execute(chaos.url, SLOW_HEARTBEATS + UNFENCED)
        doubled = 0
        while not doubled and chaos.pauses < 30:
            await chaos.pause_an_owner()
            doubled = await stored.fetch_value(
                chaos.url, "select count(*) - count(distinct (symbol, trade_id)) from trades"
            )
    assert doubled
