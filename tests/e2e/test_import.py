"""`tickplant import` beside workers: it stores what the live path and a backfill would have stored."""

import asyncio
import random
import signal
from datetime import date
from pathlib import Path
from typing import Any

import offline
import pytest
import stored
from conftest import PARTITIONS, on_last_variant
from derived import forget_everything
from past_plant import plant, snapshot
from past_venue import days_of_trades
from processes import Processes
from working import publishing, stored_count, until, working

from tickplant.market import Trade
from tickplant.redis_client import open_redis
from tickplant.streams import trades_stream

SYMBOL = "binance:AAAUSDT"
DAYS = ("--from", "2024-12-30", "--to", "2025-01-01")
TRADES = days_of_trades(date(2024, 12, 30), 3, 1_500)
"""Three days, of which the last has microseconds in the archive."""
END_US = 1_735_776_000_000_000  # of these days


async def play_live(redis_url: str, database_url: str, trades: list[Trade]) -> None:
    """Send trades as ingest does, and wait until they are stored."""
    before = await stored_count(database_url)
    async with publishing(redis_url) as publisher:
        for start in range(0, len(trades), 700):
            await publisher.publish(trades[start : start + 700])

    async def all_stored() -> bool:
        return await stored_count(database_url) == before + len(trades)

    await until(all_stored, "all trades stored")


async def expected_of(redis_url: str, database_url: str, trades: list[Trade]) -> dict[str, list[Any]]:
    """Return what is stored of trades that come live and in order, once the venue's last day has ended."""
    await forget_everything(redis_url, database_url)
    async with working(redis_url, database_url):
        await play_live(redis_url, database_url, trades)
        await end_last_day(redis_url, database_url)
    return await snapshot(database_url)


async def end_last_day(redis_url: str, database_url: str) -> None:
    """Let the venue's time pass the last day, and wait until that is stored."""
    query = "select (extract(epoch from max(watermark)) * 1000000)::bigint from ledger"
    async with publishing(redis_url) as publisher:
        await publisher.publish_clock("binance", ["AAAUSDT"], END_US)

    async def has_ended() -> bool:
        return bool(await stored.fetch_value(database_url, query) == END_US)

    await until(has_ended, "the last day ended")


def without_revisions(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    cut = [tuple(item for item in row if item[0] != "revision") for row in rows["candles"]]
    return rows | {"candles": sorted(cut, key=repr)}


async def test_import_live_play_and_backfill_end_in_the_same(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    expected = await expected_of(redis_url, database_url, TRADES)
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert code == 0, output + processes.logs()
        assert f"{len(TRADES):,} trades stored, 0 ids missing, 0 differing" in output
        assert await stored.fetch_value(
            database_url, "select bool_and(closed) from candles where interval <> '1w'"
        )
    assert await snapshot(database_url) == expected

    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        code, output = await processes.run("backfill", SYMBOL, "--from", "2024-12-30", "--to", "2025-01-02")
        assert code == 0, output + processes.logs()
        await end_last_day(redis_url, database_url)
    assert await snapshot(database_url, revisions=False) == without_revisions(expected)


async def test_days_before_and_around_live_trades_are_imported_without_a_gap(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    expected = await expected_of(redis_url, database_url, TRADES)
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        await play_live(redis_url, database_url, [*TRADES[3_500:3_700], *TRADES[3_750:4_000]])
        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert code == 0, output + processes.logs()
        assert "450 compared" in output
        found = await snapshot(database_url, revisions=False)
        assert found == without_revisions(expected)
        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert (code, output.count("stored already")) == (0, 3), output
    assert (
        await stored.fetch_value(database_url, "select count(*) from gaps") == 1
    )  # the one that was planted


@on_last_variant
async def test_trades_that_differ_from_the_file_are_reported_and_kept(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        await play_live(redis_url, database_url, TRADES[2_000:2_100])
        await stored.fetch_rows(database_url, "update trades set price = 1 where trade_id = 5002050")
        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert code == 1, output
        assert "1 differ from what is stored" in output
        assert "id 5002050: stored 1 " in output
        assert await stored_count(database_url) == len(TRADES)


@on_last_variant
async def test_ids_that_the_archive_lacks_are_gaps(redis_url: str, database_url: str, tmp_path: Path) -> None:
    holed = [trade for trade in TRADES if not 5_001_000 <= trade.trade_id < 5_001_010]
    async with plant(redis_url, database_url, tmp_path, holed) as processes:
        await play_live(redis_url, database_url, TRADES[4_400:])
        code, output = await processes.run("import", SYMBOL, *DAYS)
        assert code == 0, output + processes.logs()
        assert "10 ids missing" in output
        gaps = await stored.read_gaps(database_url)
        assert [(row[0], row[1], row[2]) for row in gaps] == [(5_001_000, 5_001_009, "open")]
        await play_live(redis_url, database_url, TRADES[1_000:1_010])
    rows = await stored.fetch_rows(database_url, "select missing::text from ledger")
    assert rows[0][0] == "{}"


@on_last_variant
async def test_trades_that_workers_refuse_are_counted_every_time(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    rows = [f"{trade_id},1.5,2,3,{1_704_412_800_000 + trade_id},True,True" for trade_id in range(1, 10)]
    rows[3:5] = ["5,0.00000000,2,3,1704412800005,True,True"]  # and no 4
    file = tmp_path / "AAAUSDT-trades-2024-01-05.csv"
    file.write_text("".join(f"{row}\n" for row in rows))
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        for stored_now in (7, 0):
            code, output = await processes.run("import", "--files", str(file))
            assert code == 1, output + processes.logs()
            assert f"{stored_now} trades stored, 1 ids missing, 0 differing, 1 refused" in output
        assert await stored_count(database_url) == 7


async def _written(redis: Any) -> int:
    """Return how many entries have been written to all streams."""
    written = 0
    for partition in range(PARTITIONS):
        if await redis.exists(trades_stream(partition)):
            written += (await redis.xinfo_stream(trades_stream(partition)))["entries-added"]
    return written


async def kill_and_resume(processes: Processes, redis_url: str, kills: int, seed: int) -> None:
    """Kill an import so many times, at random moments; then let it end."""
    rng = random.Random(seed)
    redis: Any = open_redis(redis_url)
    clock = asyncio.get_running_loop().time
    for number in range(kills):
        before = await _written(redis)
        process = await processes.start("import", SYMBOL, *DAYS)
        with_signal, end_s = signal.SIGKILL, clock() + 3 * rng.random()

        async def due() -> bool:
            nonlocal with_signal
            if await _written(redis) > before and rng.random() < 0.2:  # noqa: B023 - called in this round
                with_signal = signal.SIGINT if number % 3 else signal.SIGKILL  # noqa: B023
                return True
            return process.returncode is not None or clock() > end_s  # noqa: B023

        await until(due, "a moment to end it")
        if process.returncode is None:
            process.send_signal(with_signal)
        assert await process.wait() in (0, -9, 130), processes.logs()
    await redis.aclose()
    code, output = await processes.run("import", SYMBOL, *DAYS)
    assert code == 0, output + processes.logs()


@on_last_variant
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
async def test_a_killed_import_ends_in_the_same(
    redis_url: str, database_url: str, tmp_path: Path, kills: int
) -> None:
    expected = await expected_of(redis_url, database_url, TRADES)
    small = {"TICKPLANT_STREAM_BUDGET_TRADES": "2000"}
    async with plant(redis_url, database_url, tmp_path, TRADES, **small) as processes:
        await play_live(redis_url, database_url, TRADES[-100:])
        await kill_and_resume(processes, redis_url, kills, seed=kills)
    assert await snapshot(database_url, revisions=False) == without_revisions(expected)
    assert await stored.read_gaps(database_url) == []


@on_last_variant
async def test_captures_are_imported_and_equal_what_they_hold(
    redis_url: str, database_url: str, tmp_path: Path, recording: Path
) -> None:
    days = ("20240808", "20240809")
    captures = [str(recording / f"{coin}usdt_{day}.gz") for coin in ("btc", "eth") for day in days]
    recorded = offline.binance_trades(offline.binance_frames(recording, "BTCUSDT", "ETHUSDT"))
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        code, output = await processes.run("import", "--files", *captures)
        assert code == 0, output + processes.logs()
        assert await stored_count(database_url) == len(recorded)
        code, output = await processes.run("import", "--files", *captures)
        assert (code, "0 trades stored" in output) == (0, True), output
    assert await stored.read_candles(database_url) == offline.candles(recorded)


@on_last_variant
async def test_what_cannot_be_imported_is_refused_with_the_reason_and_nothing_is_stored(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    damaged = tmp_path / "AAAUSDT-trades-2024-12-30.csv"
    damaged.write_text("1,10.0,1.0,10.0,1735516800000,True,True\n2,10.0,1.0\n")
    named = tmp_path / "AAAUSDT-aggTrades-2024-12-30.csv"
    named.write_text("1,10.0,1.0,1,2,1735516800000,True,True\n")
    finnhub = tmp_path / "ibm.jsonl"
    finnhub.write_text('{"data":[{"p":7.1,"s":"IBM","t":1575526691134,"v":0.011,"c":[]}],"type":"trade"}\n')
    day = ("--from", "2024-12-30", "--to", "2024-12-30")
    cases = [
        (("--files", str(damaged)), 1, f"{damaged}: line 2: 3 columns"),
        (("--files", str(named)), 1, "aggregate trades"),
        (("--files", str(finnhub)), 1, "trades of finnhub have no ids"),
        (("--files", str(tmp_path / "none.zip")), 1, "none.zip: No such file"),
        (("kraken:BTC/USD", *day), 2, "Kraken's files of trades have no trade ids"),
        (("coinbase:BTC-USD", *day), 2, "publishes no files"),
        ((SYMBOL,), 2, "expected symbols and --from"),
        ((SYMBOL, "--from", "2024-13"), 2, "neither a month such as 2026-01 nor a day"),
        ((SYMBOL, "--from", "2999-01"), 2, "there is no whole day"),
        (("binance:NOSUCH", *day), 1, "the archive has no file of 2024-12-30"),
    ]
    async with plant(redis_url, database_url, tmp_path, TRADES) as processes:
        for words, expected, message in cases:
            code, output = await processes.run("import", *words)
            assert code == expected, (words, output + processes.logs())
            assert message in output + processes.logs(), words
            assert "Traceback" not in processes.logs()
        assert await stored_count(database_url) == 0


@on_last_variant
async def test_without_a_plant_it_says_what_to_start(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "AAAUSDT-trades-2024-12-30.csv"
    file.write_text("1,10.0,1.0,10.0,1735516800000,True,True\n")
    async with Processes({"TICKPLANT_DATA": str(tmp_path / "data")}, tmp_path) as processes:
        code, _ = await processes.run("import", "--files", str(file))
        assert code == 1
        assert "no servers are running" in processes.logs()
    await forget_everything(redis_url, database_url)
    variables = {"TICKPLANT_REDIS_URL": redis_url, "TICKPLANT_DATABASE_URL": database_url}
    async with Processes(variables | {"TICKPLANT_PARTITIONS": str(PARTITIONS)}, tmp_path) as processes:
        code, _ = await processes.run("import", "--files", str(file))
        assert code == 1
        assert "start `tickplant worker`, or `tickplant up`" in processes.logs()
