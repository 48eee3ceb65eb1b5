"""`tickplant export`, as a user runs it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from conftest import PARTITIONS, SOURCE, on_one_variant
from correct import SYMBOL, random_trades, store
from forked import run_apart

from db.migrate import migrate
from db.pool import open_pool
from tickplant.local import PostgresServer

Run = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def run_in(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"TICKPLANT_DATABASE_URL": url}
    return await asyncio.to_thread(run_apart, "export", *arguments, environment=environment, folder=folder)


@pytest.fixture
async def run(database_url: str, tmp_path: Path) -> Run:
    """Run `tickplant export` on a database with trades of one symbol."""
    connection = await asyncpg.connect(database_url)
    await store(connection, random_trades(seed=1))
    await connection.close()
    return lambda *arguments: run_in(tmp_path, database_url, *arguments)


@on_one_variant
async def test_the_file_and_the_standard_output_get_the_same_rows(run: Run, tmp_path: Path) -> None:
    arguments = ("trades", "--symbol", str(SYMBOL))
    printed = await run(*arguments)
    assert (printed.returncode, printed.stderr) == (0, "")
    to_file = await run(*arguments, "--output", "trades.csv")
    assert (to_file.returncode, to_file.stdout, to_file.stderr) == (0, "", "")
    assert (tmp_path / "trades.csv").read_text() == printed.stdout
    assert printed.stdout.count("\n") == len(random_trades(seed=1)) + 1
    assert files_in(tmp_path) == ["trades.csv"]


@on_one_variant
async def test_every_form_of_a_time_selects_the_same(run: Run) -> None:
    day = [("2024-08-05", "2024-08-06"), ("2024-08-05T02:00:00+02:00", "2024-08-06T00:00:00Z")]
    day += [("1722816000000", "1722902400000")]
    selected = set()
    for start, end in day:
        given = ("--from", start, "--to", end, "--interval", "1h", "--format", "jsonl")
        selected.add((await run("candles", "--symbol", "BTCUSDT", *given)).stdout)
    (lines,) = selected
    candles = [json.loads(line) for line in lines.splitlines()]
    assert candles
    assert {candle["open_time"][:10] for candle in candles} == {"2024-08-05"}
    assert {candle["interval"] for candle in candles} == {"1h"}


@on_one_variant
async def test_candles_are_of_one_minute_unless_asked(run: Run) -> None:
    ended = await run("candles", "--symbol", "binance:btcusdt", "--format", "jsonl")
    assert {json.loads(line)["interval"] for line in ended.stdout.splitlines()} == {"1m"}


@on_one_variant
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("trades", "--symbol", "binance:BTCUSD"), 1, "did you mean binance:BTCUSDT?"),
        (("trades", "--symbol", "XYZ"), 1, "there are trades of binance:BTCUSDT"),
        (
            ("trades", "--symbol", "BTCUSDT", "--from", "yesterday"),
            2,
            "'yesterday' is not a time: write 2026-01-31",
        ),
        (("trades", "--symbol", "BTCUSDT", "--interval", "1m"), 2, "--interval is for candles only"),
        (
            ("candles", "--symbol", "BTCUSDT", "--from", "2026-11-30", "--to", "2026-11-01"),
            2,
            "--to is not after --from",
        ),
        (
            ("trades", "--symbol", "BTCUSDT", "--output", "no/where.csv"),
            1,
            "can't write no/where.csv: No such",
        ),
    ],
)
async def test_an_error_is_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = await run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert files_in(tmp_path) == []


@on_one_variant
async def test_an_export_that_fails_leaves_an_existing_file_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept.csv").write_text("before")
    ended = await run("trades", "--symbol", "NOSUCH", "--output", "kept.csv")
    assert ended.returncode == 1
    assert (tmp_path / "kept.csv").read_text() == "before"
    assert files_in(tmp_path) == ["kept.csv"]


@on_one_variant
async def test_a_closed_pipe_ends_the_export_quietly(database_url: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database_url)
    await store(connection, random_trades(seed=1, count=20_000))
    await connection.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickplant", "export", "trades", "--symbol", "BTCUSDT"),
        env={**os.environ, "TICKPLANT_DATABASE_URL": database_url},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"venue,symbol,")
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


async def test_the_embedded_database_is_used_while_it_runs_and_started_while_not(server_folder: Path) -> None:
    folder = server_folder / "exported" / "live"
    server = PostgresServer(folder / "postgres", source=SOURCE)
    await server.start()
    try:
        await migrate(server.url, partitions=PARTITIONS)
        connection = await asyncpg.connect(server.url)
        await store(connection, random_trades(seed=1))
        await connection.close()
        arguments = ("trades", "--symbol", "BTCUSDT", "--data", str(folder))
        meanwhile = await run_in(server_folder, "", *arguments)
    finally:
        await server.stop()
    afterwards = await run_in(server_folder, "", *arguments)
    assert (meanwhile.returncode, meanwhile.stderr) == (afterwards.returncode, afterwards.stderr) == (0, "")
    assert meanwhile.stdout == afterwards.stdout
    below = await run_in(server_folder, "", *arguments[:-1], str(folder.parent))
    assert (below.stdout, below.stderr) == (afterwards.stdout, f"data: {folder}\n")
    assert meanwhile.stdout.count("\n") == len(random_trades(seed=1)) + 1
    assert not server.folder.is_locked()


async def test_without_data_the_error_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ended = await run_in(tmp_path, "", "trades", "--symbol", "BTCUSDT", "--data", str(folder))
    assert ended.returncode == 1
    assert f"{folder} contains no data yet" in ended.stderr
    assert not folder.exists()


@on_one_variant
async def test_a_removal_by_age_is_reported(run: Run, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    while await connection.fetchval("select remove_some('trades', 'event_time', '2024-08-06', 100000)"):
        pass
    await connection.close()
    warning = "trades of binance:BTCUSDT before 2024-08-06T00:00:00Z have been removed by age"
    for start, lines in (("2024-08-05", 1), ("2024-08-06", 0)):
        printed = await run("trades", "--symbol", str(SYMBOL), "--from", start)
        assert (printed.returncode, printed.stderr.count(warning)) == (0, lines)
        assert printed.stdout.count("\n") > 1
    assert (await run("candles", "--symbol", str(SYMBOL))).stderr == ""


@on_one_variant
@pytest.mark.parametrize("what", ["trades", "candles"])
async def test_lines_of_trades_that_are_not_live_have_their_source(
    what: str, run: Run, database_url: str
) -> None:
    arguments = (what, "--symbol", str(SYMBOL))
    async with open_pool(database_url, size=1, application="test") as pool:
        await pool.execute("update plant set source = 'live'")
        live = (await run(*arguments)).stdout.splitlines()
        await pool.execute("update plant set source = 'synthetic'")
    ended = await run(*arguments)
    assert ended.stdout.splitlines() == [f"{live[0]},source", *(f"{line},synthetic" for line in live[1:])]
    lines = (await run(*arguments, "--format", "jsonl")).stdout.splitlines()
    assert {json.loads(line)["source"] for line in lines} == {"synthetic"}
