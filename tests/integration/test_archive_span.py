"""Commands read trades that the database has removed from the archive, and give what they gave before."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow.parquet as pq
import pytest
from conftest import PARTITIONS
from correct import SYMBOL, random_trades, store, store_candles, trade_row
from forked import run_apart
from msgspec.structs import replace

from db.migrate import migrate
from db.policies import Retention
from tickplant.intervals import DAY_US, floor
from tickplant.times import to_datetime

Run = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]

TRADES = random_trades(seed=1)
DAYS = sorted({floor(trade.event_time_us, DAY_US) for trade in TRADES})
NEWEST = to_datetime(DAYS[-1])


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A database whose days are due but for the last one."""
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await store(connection, TRADES)
    await connection.execute("update plant set source = 'live'")
    await connection.execute("update ledger set watermark = $1", NEWEST + timedelta(hours=30))
    await store_candles(connection, TRADES, DAYS[-1] + DAY_US * 30 // 24)
    yield connection
    await connection.close()


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Run a command."""

    async def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_ARCHIVE_URL": str(tmp_path / "archive"),
            "TICKPLANT_ARCHIVE_AFTER_DAYS": "1",
            **environment,
        }
        return await asyncio.to_thread(run_apart, *arguments, environment=variables, folder=tmp_path)

    return run


async def remove_old(url: str, connection: asyncpg.Connection) -> int:
    """Remove all trades but those of the last day; return how many are left."""
    await migrate(url, partitions=PARTITIONS, retention=Retention(trades_days=1, awaits_archive=True))
    await connection.execute("call remove_expired(1)")
    await connection.execute("call remove_expired()")
    return int(await connection.fetchval("select count(*) from trades"))


async def test_commands_give_what_they_gave_before_the_trades_were_removed(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    middle = to_datetime(DAYS[1] + DAY_US // 2).isoformat()
    commands = {
        "everything": ("export", "trades", "--symbol", str(SYMBOL)),
        "lines": ("export", "trades", "--symbol", str(SYMBOL), "--format", "jsonl"),
        "from within a day": ("export", "trades", "--symbol", str(SYMBOL), "--from", middle),
        "within a day": ("export", "trades", "--symbol", str(SYMBOL), "--to", middle),
        "backtest": (
            "backtest",
            "--symbol",
            str(SYMBOL),
            "--strategy",
            "dip?share=0.9&cooldown_s=1",
            "--json",
        ),
    }
    before = {name: await run(*command) for name, command in commands.items()}
    assert {name: (it.returncode, it.stderr) for name, it in before.items()} == dict.fromkeys(
        commands, (0, "")
    )
    assert before["everything"].stdout.count("\n") == len(TRADES) + 1
    assert len(before["backtest"].stdout.splitlines()) > 5
    by_day = ("export", "trades", "--symbol", str(SYMBOL), "--format", "parquet", "--by", "day", "--output")
    assert (await run(*by_day, "before")).returncode == 0
    audited = json.loads((await run("audit", "--json")).stdout)[0]
    assert (await run("archive", "--no-venue")).returncode == 0
    left = await remove_old(database_url, connection)
    assert 0 < left < len(TRADES) - 100
    for name, command in commands.items():
        found = await run(*command)
        assert found.returncode == 0, found
        assert found.stdout == before[name].stdout, name
        assert "are read from the archive" in found.stderr
    assert (await run(*by_day, "after")).returncode == 0
    names = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert len(names) == len(DAYS)
    assert names == sorted(path.name for path in (tmp_path / "after").iterdir())
    for name in names:
        tables = [pq.read_table(tmp_path / folder / name) for folder in ("before", "after")]
        assert tables[0].equals(tables[1]), name
    again = json.loads((await run("audit", "--archived", "--json")).stdout)[0]
    assert again["trades"] == audited["trades"] == len(TRADES)
    assert again["candles"] + again["not_checkable"] == audited["candles"]
    assert again["not_checkable"] <= 2  # weeks
    assert again["differences"] == again["ids"] == []

    # Without the archive, only what is stored, and it is said.
    found = await run(*commands["everything"], TICKPLANT_ARCHIVE_URL="")
    assert found.stdout.count("\n") == left + 1
    assert found.stderr.endswith("have been removed by age (TICKPLANT_KEEP_TRADES_DAYS)\n")

    await connection.execute(
        "update closed_candles set high = high + 1 where \"interval\" = '1m' and open_time = ("
        "select min(open_time) from closed_candles where \"interval\" = '1m')"
    )
    assert (await run("audit")).returncode == 0
    found = await run("audit", "--archived")
    assert found.returncode == 1
    assert "\thigh\t" in found.stdout

    path = next((tmp_path / "archive").rglob("trades/*.parquet"))
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    damaged = await run(*commands["everything"])
    assert damaged.returncode == 1
    assert "was changed" in damaged.stderr


async def test_trades_that_are_stored_again_are_read_with_the_archived_ones(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    """Before, between and in archived days, as an import or a late trade leaves them."""
    assert (await run("archive", "--no-venue")).returncode == 0
    await remove_old(database_url, connection)
    path = tmp_path / "archive/binance/BTCUSDT/index.json"
    index = json.loads(path.read_text())
    del index["days"][f"{to_datetime(DAYS[1]):%Y-%m-%d}"]
    path.write_text(json.dumps(index))
    again = [trade for trade in TRADES if floor(trade.event_time_us, DAY_US) == DAYS[1]]
    ids = {trade.trade_id for trade in TRADES}
    unused = iter(number for number in range(min(ids), max(ids)) if number not in ids)
    late = replace(TRADES[9], trade_id=next(unused))
    early = replace(TRADES[0], trade_id=min(ids) - 1, event_time_us=DAYS[0] - DAY_US // 2)
    stored = [early, TRADES[5], late, *again]
    await connection.copy_records_to_table("trades", records=map(trade_row, stored))
    expected = sorted((trade.event_time_us, trade.trade_id) for trade in (early, late, *TRADES))
    for format_ in ("jsonl", "parquet"):
        name = f"found.{format_}"
        found = await run("export", "trades", "--symbol", str(SYMBOL), "--format", format_, "--output", name)
        assert found.returncode == 0, found
        if format_ == "jsonl":
            rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        else:
            rows = pq.read_table(tmp_path / name).to_pylist()
        assert [row["trade_id"] for row in rows] == [trade_id for _, trade_id in expected], format_
