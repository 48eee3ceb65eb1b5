"""Two hosts that share nothing but the servers: one fails, and the other takes over within a lease."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import offline
import pytest
import stored
from conftest import OwnPostgres, OwnRedis
from host import Host, host_of
from processes import Processes
from working import until

from db.leases import read_leases
from db.migrate import migrate
from db.pool import open_pool

PARTITIONS = 4
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LEASE_S = 5.0
SETTINGS = {"TICKPLANT_PARTITIONS": str(PARTITIONS), "TICKPLANT_LEASE_S": str(LEASE_S)}


@pytest.mark.parametrize("failure", [Host.kill, Host.isolate])
async def test_a_host_that_fails_is_replaced_within_a_lease(
    own_redis: OwnRedis,
    own_postgres: OwnPostgres,
    recording: Path,
    tmp_path: Path,
    failure: Callable[[Host], Awaitable[None]],
) -> None:
    recorded = offline.binance_trades(offline.binance_frames(recording, *SYMBOLS))
    last_ids = [max(trade["t"] for trade in recorded if trade["s"] == symbol) for symbol in SYMBOLS]
    redis, postgres = await own_redis(), await own_postgres()
    await migrate(postgres.url, partitions=PARTITIONS, extension="off")
    for name in ("venue", "one", "other"):
        (tmp_path / name).mkdir()
    async with Processes({}, tmp_path / "venue") as venue:
        sandbox = await venue.start_sandbox("--capture", str(recording), "--speed", "30", "--hold")
        async with (
            open_pool(postgres.url, size=1, application="test") as pool,
            host_of(redis.url, postgres.url, sandbox, tmp_path / "one", **SETTINGS) as one,
            host_of(redis.url, postgres.url, sandbox, tmp_path / "other", **SETTINGS) as other,
        ):

            async def owned(by_one: int, by_other: int) -> bool:
                owners = [row.owner for row in await read_leases(pool) if row.alive]
                return [sum(map(host.owns, owners)) for host in (one, other)] == [by_one, by_other]

            async def has_trades() -> bool:
                return bool(await stored.fetch_value(postgres.url, "select count(*) > 1000 from trades"))

            async def all_committed() -> bool:
                query = "select count(*) from ledger where last_trade_id = any($1) and missing = '{}'"
                return bool(await stored.fetch_value(postgres.url, query, last_ids) == len(SYMBOLS))

            for host in (one, other):
                await host.start("worker", "worker")
            await until(lambda: owned(2, 2), "both hosts work")
            for host in (one, other):
                await host.start("ingest")
            await until(has_trades, "trades are stored")
            clock = asyncio.get_running_loop().time
            failed_s = clock()
            await failure(one)
            await until(lambda: owned(0, 4), "the other host has all partitions")
            print(f"taken over after {clock() - failed_s:.2f} s with leases of {LEASE_S:g} s")
            assert clock() - failed_s < 3 * LEASE_S  # one of them on an idle machine
            one.reconnect()
            try:
                await until(all_committed, "all trades committed")
            except AssertionError as error:
                error.add_note(one.processes.logs() + other.processes.logs())
                raise
    assert await stored.read_trades(postgres.url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in recorded
    )
    assert await stored.read_candles(postgres.url) == offline.candles(recorded)
