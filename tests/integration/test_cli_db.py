"""`tickplant db`, as a user runs it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from correct import random_trades, store
from forked import run_apart
from working import until

from db.migrate import migrate
from db.policies import COLUMNSTORES, Retention
from tickplant.local import PostgresServer
from tickplant.redis_client import open_redis
from tickplant.streams import trades_stream
from tickplant.times import to_datetime

Run = Any
NOWHERE = "redis://127.0.0.1:1"
TRADES = random_trades(seed=1)


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Run the command; returns its exit code and output."""

    async def run(*arguments: str, redis_url: str = NOWHERE) -> tuple[int, str]:
        settings = {"TICKPLANT_DATABASE_URL": database_url, "TICKPLANT_REDIS_URL": redis_url}
        ended = await asyncio.to_thread(
            run_apart, "db", "status", *arguments, environment=settings, folder=tmp_path
        )
        assert ended.stderr == ""
        return ended.returncode, ended.stdout

    return run


@pytest.fixture
async def connection(database_url: str) -> Any:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_empty_database_has_a_status(run: Run) -> None:
    code, output = await run()
    assert code == 0
    assert "0 symbols" in output
    assert "\ntrades\t" in output
    assert output.endswith("no worker has used this database yet\n")
    document = json.loads((await run("--json"))[1])
    assert document["partitions"] == []
    assert {table["oldest"] for table in document["tables"]} == {None}


async def test_status_lists_tables_policies_and_owners(
    run: Run, connection: asyncpg.Connection, redis_url: str, database_url: str
) -> None:
    await store(connection, TRADES)
    await connection.execute("analyze")
    await migrate(database_url, partitions=4, retention=Retention(trades_days=60))
    await connection.execute(
        "insert into lease (role, partition, owner, epoch, expires_at, entry_id)"
        " values ('candles', 0, 'alive', 3, now() + interval '1 hour', '5-0'),"
        " ('candles', 1, 'dead', 1, now() - interval '1 hour', '0-0')"
    )
    redis: Any = open_redis(redis_url)
    for number in range(4, 8):
        await redis.xadd(trades_stream(0), {"t": b""}, id=f"{number}-0")
    await redis.aclose()
    code, output = await run("--json", redis_url=redis_url)
    assert code == 0
    document = json.loads(output)
    tables = {table["name"]: table for table in document["tables"]}
    trades = tables["trades"]
    assert (trades["rows"], trades["keep_days"]) == (len(TRADES), 60)
    times = [trade.event_time_us for trade in TRADES]
    edges = [to_datetime(time_us).isoformat() for time_us in (min(times), max(times))]
    assert [trades[name].replace("Z", "+00:00") for name in ("oldest", "newest")] == edges
    assert tables["closed_candles"]["keep_days"] is None
    assert tables["averages"]["oldest"] is None
    assert all(table["bytes"] > 0 for table in tables.values() if table["rows"])
    alive, dead = document["partitions"]
    assert (alive["owner"], alive["alive"], alive["lag_entries"]) == ("alive", True, 2)
    assert alive["waiting_s"] > 1_000_000  # the entries are of 1970
    assert (dead["alive"], dead["lag_entries"], dead["waiting_s"]) == (False, 0, None)

    code, output = await run()
    assert code == 0
    assert "1 symbols" in output
    assert "candles\t1\tnobody\t1\t0-0\tunknown\t" in output
    assert "the lag is unknown: Redis can't be reached" in output


@pytest.mark.parametrize("database_url", ["timescaledb"], indirect=True)
async def test_chunks_their_ratio_and_failed_jobs_are_shown(
    run: Run, connection: asyncpg.Connection, database_url: str
) -> None:
    await store(connection, TRADES)
    await migrate(database_url, partitions=4, retention=Retention(trades_days=60))
    await connection.execute("select compress_chunk(c) from show_chunks('trades') c limit 1")
    job_id = await connection.fetchval(
        "select job_id from timescaledb_information.jobs where proc_name = 'remove_expired'"
    )
    await connection.execute("drop table expired cascade")
    await connection.execute("update retention set keep_days = 1")
    await connection.execute("select alter_job($1, next_start => now())", job_id)
    # Or it would look at a new database within a minute.
    await connection.execute("select _timescaledb_functions.restart_background_workers()")

    async def failed() -> bool:
        errors = "select exists (select from timescaledb_information.job_errors where job_id = $1)"
        return bool(await connection.fetchval(errors, job_id))

    await until(failed, "the job has failed")
    document = json.loads((await run("--json"))[1])
    (trades,) = [table for table in document["tables"] if table["name"] == "trades"]
    assert (trades["columnstore_chunks"], trades["chunks"] > 1, trades["ratio"] > 0) == (1, True, True)
    policies = {(policy["name"], policy["relation"]): policy for policy in document["policies"]}
    assert policies.keys() == {
        ("remove_expired", None),
        *(("policy_compression", columnstore.relation) for columnstore in COLUMNSTORES),
    }
    assert all(policy["next_start"] for policy in policies.values())
    removal = policies["remove_expired", None]
    assert (removal["failures"], removal["last_error"]) == (1, 'relation "expired" does not exist')
    code, output = await run()
    assert (code, "policy_compression\tclosed_candles\t1:00:00\t" in output) == (0, True)


def run_db(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `tickplant db` with these settings and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKPLANT_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "tickplant", "db", *arguments],
        env={**environment, **settings},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


async def test_an_embedded_server_is_led_to_while_it_runs_and_started_for_psql(
    server_folder: Path,
) -> None:
    folder = server_folder / "led to"
    server = PostgresServer(folder / "postgres")
    query = ("-tAc", "select 6 * 7, current_setting('port')")
    await server.start()
    try:
        address = await asyncio.to_thread(run_db, "url", "--data", str(folder))
        assert (address.stdout, address.stderr) == (f"{server.url}\n", "")
        asked = await asyncio.to_thread(run_db, "psql", "--data", str(folder), *query)
        assert asked.stdout == f"42|{server.port}\n", asked.stderr
    finally:
        await server.stop()
    asked = await asyncio.to_thread(run_db, "psql", *query, TICKPLANT_DATA=str(folder))
    assert asked.stdout == f"42|{server.port}\n", asked.stderr
    assert not server.folder.is_locked()
    address = await asyncio.to_thread(run_db, "url", "--data", str(folder))
    assert address.returncode == 1
    assert f"start them with `tickplant up --data {folder}`" in address.stderr


def test_the_address_is_in_the_form_that_all_clients_take() -> None:
    ended = run_db("url", TICKPLANT_DATABASE_URL="postgres://me:pass@host/market")
    assert (ended.stdout, ended.stderr) == ("postgresql://me:pass@host/market\n", "")


def test_psql_gets_its_arguments_and_its_exit_code_is_returned(database_url: str) -> None:
    assert run_db("psql", "-tAc", "select 1", TICKPLANT_DATABASE_URL=database_url).stdout == "1\n"
    assert (
        run_db("psql", "-c", "select", "-c", "nonsense", TICKPLANT_DATABASE_URL=database_url).returncode == 1
    )
    assert run_db("status", "-c", "select 1", TICKPLANT_DATABASE_URL=database_url).returncode == 2
