"""`tickplant audit`, as a user runs it."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from conftest import on_one_variant
from correct import SYMBOL, random_trades, store
from forked import run_apart
from offline import binance_frames
from working import parse_binance

from tickplant.times import to_datetime

Run = Any


@pytest.fixture
async def connection(database_url: str) -> Any:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Run `tickplant audit` with arguments; returns its exit code, output and errors."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        ended = await asyncio.to_thread(
            run_apart,
            "audit",
            *arguments,
            environment={"TICKPLANT_DATABASE_URL": database_url},
            folder=tmp_path,
        )
        return ended.returncode, ended.stdout, ended.stderr

    return run


@on_one_variant
async def test_agreement_is_exit_code_0(connection: asyncpg.Connection, run: Run) -> None:
    trades = random_trades(seed=1)
    await store(connection, trades)
    code, output, errors = await run()
    assert (code, errors) == (0, "")
    title, header, row = output.strip().splitlines()
    assert title == "# Audit"
    summary = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert summary | {"candles": ""} == {
        "symbol": str(SYMBOL),
        "trades": str(len(trades)),
        "candles": "",
        "differs": "0",
        "missing": "0",
        "extra": "0",
        "not_checkable": "0",
        "ids": "0",
        "result": "ok",
    }


@on_one_variant
async def test_every_difference_is_printed_and_is_exit_code_1(
    connection: asyncpg.Connection, run: Run
) -> None:
    trades = random_trades(seed=1)
    await store(connection, trades)
    await connection.execute(
        "update closed_candles set high = 12345678.5, volume = 0.25 where \"interval\" = '1w'"
    )
    await connection.execute("delete from closed_candles where \"interval\" = '1d'")
    await connection.execute("update ledger set last_trade_id = last_trade_id + 1")
    code, output, _ = await run("--symbol", "btcusdt")
    assert code == 1
    assert output.count("\tdiffers\thigh\t12345678.5\t") == 1
    assert output.count("\tdiffers\tvolume\t0.25\t") == 1
    assert output.count("\t1d\t") == output.count("\tmissing\ttrade_count\t\t") == 2
    missing_id = trades[-1].trade_id + 1
    assert f"{SYMBOL}\tnot stored\t{missing_id}\t{missing_id}" in output
    assert output.rstrip().endswith("\t1\t2\t0\t0\t1\tDIFFERS")

    code, output, _ = await run("--json")
    (document,) = json.loads(output)
    assert code == 1
    assert (document["symbol"], document["passed"], document["trades"]) == (str(SYMBOL), False, len(trades))
    assert len(document["differences"]) == 4
    assert document["ids"] == [
        {"kind": "not stored", "first_trade_id": missing_id, "last_trade_id": missing_id}
    ]


@on_one_variant
async def test_an_empty_database_agrees(connection: asyncpg.Connection, run: Run) -> None:
    assert await run() == (0, "nothing is stored\n", "")
    assert await run("--json") == (0, "[]\n", "")


@on_one_variant
async def test_an_unknown_symbol_gets_near_ones(connection: asyncpg.Connection, run: Run) -> None:
    await store(connection, random_trades(seed=1))
    code, output, errors = await run("--symbol", "binance:BTCUSD")
    assert (code, output) == (1, "")
    assert errors == "tickplant: no trades of binance:BTCUSD are stored; did you mean binance:BTCUSDT?\n"


@on_one_variant
async def test_recorded_trades_give_the_venues_own_candles(
    connection: asyncpg.Connection, run: Run, marketdata: Path, tmp_path: Path
) -> None:
    frames = binance_frames(marketdata / "binance-spot", "BTCUSDT")
    await store(connection, parse_binance(frames, 0))
    klines = marketdata / "binance-spot" / "btcusdt-1m-klines.csv"
    code, output, _ = await run("--klines", str(klines), "--symbol", "binance:BTCUSDT")
    assert (code, output) == (0, "10 matched, 0 differing, 0 uncovered; 0 flagged incomplete\n")

    own = await connection.fetchrow(
        'select * from candles where "interval" = $1 order by open_time offset 1 limit 1', "1m"
    )
    assert own is not None
    prices = [own[name] for name in ("open", "high", "low", "close", "volume")]
    sums = own["quote_volume"], own["trade_count"], own["taker_buy_volume"] + 1, own["taker_buy_quote_volume"]
    opened_ms = int(own["open_time"].timestamp()) * 1000
    twelve = tmp_path / "twelve.csv"
    twelve.write_text(",".join(map(str, (opened_ms, *prices, opened_ms + 59_999, *sums, 0))))
    code, output, _ = await run("--klines", str(twelve), "--symbol", "BTCUSDT")
    assert code == 1
    assert f"\ttaker_buy_volume\t{sums[2]}\t{own['taker_buy_volume']}\t\n" in output

    first, second, third = (int(line.split(",")[0]) for line in klines.read_text().splitlines()[1:4])
    await connection.execute(
        "update closed_candles set close = 1.5 where open_time = $1", to_datetime(first * 1000)
    )
    await connection.execute(
        "update closed_candles set complete = false where open_time = $1", to_datetime(second * 1000)
    )
    await connection.execute("delete from closed_candles where open_time = $1", to_datetime(third * 1000))
    packed = tmp_path / "klines.csv.gz"
    packed.write_bytes(gzip.compress(klines.read_bytes()))
    code, output, _ = await run("--klines", str(packed), "--symbol", "BTCUSDT")
    assert code == 1
    assert "2024-08-08T23:55:00Z\tclose\t61782.25\t1.5\t\n" in output
    assert output.endswith("8 matched, 1 differing, 1 uncovered; 1 flagged incomplete\n")

    code, output, _ = await run("--klines", str(packed), "--symbol", "BTCUSDT", "--json")
    assert code == 1
    assert json.loads(output) == {
        "matched": 8,
        "differing": 1,
        "mismatches": [
            {"open_time": "2024-08-08T23:55:00Z", "column": "close", "venue": "61782.25", "ours": "1.5"}
            | {"complete": True}
        ],
        "uncovered": ["2024-08-08T23:57:00Z"],
        "incomplete": ["2024-08-08T23:56:00Z"],
    }


@on_one_variant
async def test_klines_without_a_symbol_or_a_file_are_refused(run: Run) -> None:
    code, _, errors = await run("--klines", "nowhere.csv")
    assert code == 2
    assert "--klines needs --symbol" in errors
