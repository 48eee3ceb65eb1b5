"""`tickplant archive` on real databases, with an archive in a folder."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow.parquet as pq
import pytest
from conftest import PARTITIONS, on_one_variant
from correct import SYMBOL, candles_of, random_trades, store, store_candles, trade_row
from forked import run_apart
from msgspec.structs import replace

from db.migrate import migrate
from db.policies import Retention
from maintenance.archive.comparing import VenueComparer
from maintenance.archive.manifest import IndexEntry, Manifest
from maintenance.archive.reading import open_archive
from maintenance.archive.revisions import add_to_index
from maintenance.archive.writing import Archiver
from tickplant.errors import FatalError
from tickplant.intervals import DAY_US, floor
from tickplant.market import SymbolId, Trade
from tickplant.settings_reader import read_settings
from tickplant.times import to_datetime, to_us

Run = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]

FOLDER = "binance/BTCUSDT"
TRADES = random_trades(seed=1)
DAYS = sorted({floor(trade.event_time_us, DAY_US) for trade in TRADES})
FIRST = f"{to_datetime(DAYS[0]):%Y-%m-%d}"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A database with trades of three days, each of which is due."""
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await store(connection, TRADES)
    await connection.execute("update plant set source = 'live'")
    await connection.execute("update ledger set watermark = $1", to_datetime(DAYS[-1]) + timedelta(days=2))
    await store_candles(connection, TRADES, DAYS[-1] + 2 * DAY_US)
    yield connection
    await connection.close()


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Run `tickplant archive` with an archive in a folder, without asking the venue."""

    async def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "TICKPLANT_DATABASE_URL": database_url,
            "TICKPLANT_ARCHIVE_URL": str(tmp_path / "archive"),
            "TICKPLANT_ARCHIVE_AFTER_DAYS": "1",
            **environment,
        }
        venue = () if arguments[:1] in (("list",), ("verify",)) else ("--no-venue",)
        return await asyncio.to_thread(
            run_apart, "archive", *arguments, *venue, environment=variables, folder=tmp_path
        )

    return run


def files_in(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def manifest_of(folder: Path, day: str = FIRST, revision: int = 1) -> Any:
    return json.loads((folder / FOLDER / f"manifests/{day}.r{revision}.json").read_text())


async def add(connection: asyncpg.Connection, trade: Trade, trades: list[Trade]) -> None:
    """Store a late trade, and the candles with it, as a worker would in one transaction."""
    async with connection.transaction():
        await connection.copy_records_to_table("trades", records=[trade_row(trade)])
        await store_candles(connection, [*trades, trade], DAYS[-1] + 2 * DAY_US)


def late_trade(trade: Trade = TRADES[3]) -> Trade:
    """A trade whose id was missing."""
    ids = {trade.trade_id for trade in TRADES}
    missing = next(number for number in range(TRADES[0].trade_id, TRADES[-1].trade_id) if number not in ids)
    return replace(trade, trade_id=missing, price="17.500", size="0.25")


async def test_each_day_becomes_a_file_of_trades_one_of_candles_and_a_manifest(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    done = await run()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.endswith(f"{len(DAYS)} days archived\n")
    archive = tmp_path / "archive"
    files = files_in(archive)
    for start_us in DAYS:
        day = to_datetime(start_us)
        bounds = day, day + timedelta(days=1)
        manifest = manifest_of(archive, f"{day:%Y-%m-%d}")
        rows = await connection.fetch(
            "select trade_id, price, size, side, event_time, ingest_time, scale(price), scale(size)"
            " from trades where event_time >= $1 and event_time < $2 order by event_time, trade_id",
            *bounds,
        )
        table = pq.read_table(archive / FOLDER / manifest["trades"]["name"]).to_pylist()
        assert [tuple(row.values())[2:] for row in table] == [tuple(row) for row in rows]
        assert {(row["venue"], row["symbol"]) for row in table} == {SYMBOL}
        candles = await connection.fetch(
            "select * from candles where open_time >= $1 and open_time < $2 and \"interval\" <> '1w'"
            " order by array_position(array['1m', '5m', '15m', '1h', '4h', '1d'], \"interval\"), open_time",
            *bounds,
        )
        table = pq.read_table(archive / FOLDER / manifest["candles"]["name"]).to_pylist()
        assert table == [dict(row) for row in candles]
        ids = [row["trade_id"] for row in rows]
        following = min((trade.trade_id for trade in TRADES if trade.trade_id > max(ids)), default=max(ids))
        absent = set(range(min(ids), following)) - {trade.trade_id for trade in TRADES}
        assert (manifest["first_trade_id"], manifest["last_trade_id"]) == (min(ids), max(ids))
        assert {n for low, high in manifest["missing"] for n in range(low, high + 1)} == absent
        assert manifest["audit"] == {"passed": True, "differences": 0, "duplicates": 0}
        assert (manifest["removed"], manifest["revision"], manifest["source"]) == (0, 1, "live")
        for what in ("trades", "candles"):
            content = files[f"{FOLDER}/{manifest[what]['name']}"]
            assert manifest[what]["sha256"] == sha256(content).hexdigest()
            assert manifest[what]["bytes"] == len(content)
    for what, count in (("trades", len(TRADES)), ("candles", None)):
        together = pq.read_table(archive / FOLDER / what)  # which needs one schema of all days
        assert together.num_rows == count or what == "candles"
    again = await run()
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("every day before ")
    assert files_in(archive) == files
    checked = await run("verify", "--database")
    assert (checked.returncode, checked.stderr) == (0, ""), checked
    assert checked.stdout == (
        f"{len(DAYS)} days, {2 * len(DAYS)} files,"
        f" {sum(len(content) for name, content in files.items() if name.endswith('.parquet')):,} bytes:"
        " everything is as it was written\n"
    )


@on_one_variant
async def test_a_late_trade_makes_a_new_revision_and_changes_no_file(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    await run()
    before = files_in(archive)
    await add(connection, late_trade(), TRADES)
    done = await run()
    assert done.returncode == 0, done
    assert f"{SYMBOL} {FIRST} r2" in done.stdout
    after = files_in(archive)
    former = {name for name in before if f"{FIRST}.r1." in name}
    assert {f"superseded/{name}": before[name] for name in former}.items() <= after.items()
    assert {name for name in before if name not in after} == former
    assert all(
        after[name] == content for name, content in before.items() if name in after and "index" not in name
    )
    assert manifest_of(archive, revision=2)["trades"]["rows"] == manifest_rows(before) + 1
    assert (await run("verify", "--database")).returncode == 0
    (archive / "superseded" / FOLDER / f"trades/{FIRST}.r1.parquet").write_bytes(b"x")
    assert (await run("verify")).returncode == 1


def manifest_rows(files: dict[str, bytes]) -> int:
    rows: int = json.loads(files[f"{FOLDER}/manifests/{FIRST}.r1.json"])["trades"]["rows"]
    return rows


async def remove(connection: asyncpg.Connection, url: str, *, archive: bool = True) -> list[str]:
    """Apply the retention of a day, and return the days that still have trades."""
    await migrate(url, partitions=PARTITIONS, retention=Retention(trades_days=1, awaits_archive=archive))
    await connection.execute("call remove_expired(1)")  # as a job
    await connection.execute("call remove_expired()")  # as a worker
    rows = await connection.fetch("select distinct event_time::date as day from trades order by 1")
    return [str(row["day"]) for row in rows]


async def test_only_days_in_the_archive_are_removed_by_age(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    days = [f"{to_datetime(day):%Y-%m-%d}" for day in DAYS]
    assert await remove(connection, database_url) == days
    await run()
    await add(connection, late_trade(), TRADES)
    assert await remove(connection, database_url) == days  # the first has a trade that is not there yet
    await run()
    assert await remove(connection, database_url) == []
    assert await connection.fetchval("select before from expired") == to_datetime(DAYS[-1] + DAY_US)

    # A trade that comes even later joins those that only the archive has.
    ids = {trade.trade_id for trade in (*TRADES, late_trade())}
    later = replace(
        late_trade(), trade_id=next(n for n in range(TRADES[0].trade_id, TRADES[-1].trade_id) if n not in ids)
    )
    await add(connection, later, [*TRADES, late_trade()])
    assert await remove(connection, database_url) == days[:1]
    done = await run()
    assert done.returncode == 0, done
    assert f"{SYMBOL} {FIRST} r3" in done.stdout
    table = pq.read_table(tmp_path / "archive" / FOLDER / f"trades/{FIRST}.r3.parquet").to_pylist()
    expected = sorted(
        (trade for trade in (*TRADES, late_trade(), later) if floor(trade.event_time_us, DAY_US) == DAYS[0]),
        key=lambda trade: (trade.event_time_us, trade.trade_id),
    )
    assert [
        (row["trade_id"], f"{row['price']:f}"[: -8 + row["price_scale"] or None].rstrip("."), row["side"])
        for row in table
    ] == [(trade.trade_id, trade.price, trade.side) for trade in expected]
    assert [to_us(row["ingest_time"]) for row in table] == [trade.ingest_time_us for trade in expected]
    assert await remove(connection, database_url) == []
    assert (await run("verify", "--database")).returncode == 0


async def test_candles_that_were_removed_are_made_of_the_trades_of_all_revisions(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    assert await remove(connection, database_url) == []
    late = late_trade()
    await connection.copy_records_to_table("trades", records=[trade_row(late)])
    await store_candles(connection, [late], DAYS[-1] + 2 * DAY_US)  # as if all others had been removed, too
    await connection.execute("update closed_candles set complete = true")  # as that of one trade may be
    done = await run()
    assert f"{SYMBOL} {FIRST} r2" in done.stdout, done
    expected = {
        (candle.interval, to_datetime(candle.open_time_us)): candle
        for candle in candles_of([*TRADES, late], DAYS[-1] + 2 * DAY_US)
        if floor(candle.open_time_us, DAY_US) == DAYS[0] and candle.interval != "1w"
    }
    folder = tmp_path / "archive" / FOLDER
    found = pq.read_table(folder / f"candles/{FIRST}.r2.parquet").to_pylist()
    assert {(row["interval"], row["open_time"]) for row in found} == expected.keys()
    for row in found:
        candle = expected[row["interval"], row["open_time"]]
        for name in (
            "open",
            "high",
            "low",
            "close",
            "volume",
            "quote_volume",
            "trade_count",
            "last_trade_id",
        ):
            assert row[name] == getattr(candle, name), (row, candle)
    manifest = manifest_of(tmp_path / "archive", revision=2)
    assert manifest["minutes"] == sum(interval == "1m" for interval, _ in expected)
    assert manifest["complete"] is False
    assert (await run()).stdout.startswith("every day before ")
    assert (await run("verify", "--database")).returncode == 0


async def test_trades_that_are_removed_while_their_day_is_written_again_stay_in_it(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    await connection.execute(
        "update closed_candles set complete = true where \"interval\" = '1d'"
    )  # due again
    written: list[Manifest] = []

    class Meanwhile(Archiver):
        async def _write_revision(self, *arguments: Any, merges: bool) -> Any:
            if not merges:
                assert await remove(connection, database_url) == []
            return await super()._write_revision(*arguments, merges=merges)

    class Observer:
        def due(self, symbol: SymbolId, days: int) -> None: ...

        def archived(self, manifest: Manifest) -> None:
            written.append(manifest)

        def adopted(self, symbol: SymbolId, day: date) -> None: ...

    async def compare(symbol: SymbolId, day: date) -> str:
        return "not here"

    archiver = Meanwhile(connection, open_archive(str(tmp_path / "archive")), compare, Observer())
    await archiver.archive_symbol(SYMBOL, to_datetime(DAYS[0] + DAY_US))
    (manifest,) = written
    assert (str(manifest.day), manifest.revision) == (FIRST, 2)
    assert manifest.trades.rows == sum(floor(trade.event_time_us, DAY_US) == DAYS[0] for trade in TRADES)


async def test_without_an_archive_old_trades_are_removed_as_before(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert await remove(connection, database_url, archive=False) == []


@on_one_variant
async def test_everything_that_is_changed_or_lost_is_found(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    archive = tmp_path / "archive"
    files = files_in(archive)
    middle = f"{to_datetime(DAYS[1]):%Y-%m-%d}"
    for name, content in files.items():
        flipped = bytearray(content)
        flipped[len(flipped) // 2] ^= 1
        (archive / name).write_bytes(flipped)
        found = await run("verify", "--database")
        assert found.returncode == 1, name
        assert "Traceback" not in found.stderr
        (archive / name).unlink()
        assert (await run("verify", "--database")).returncode == 1, name
        (archive / name).write_bytes(content)
    assert (await run("verify")).returncode == 0
    manifest = archive / FOLDER / f"manifests/{middle}.r1.json"
    for field in ("source", "missing", "void", "complete", "minutes", "state", "audit", "removed"):
        document = json.loads(manifest.read_text())
        document[field] = {"source": "replay", "state": "1", "minutes": 1, "removed": 7}.get(field)
        manifest.write_text(json.dumps(document, indent=2))
        found = await run("verify")
        assert found.returncode == 1, field
        manifest.write_bytes(files[f"{FOLDER}/manifests/{middle}.r1.json"])
    (archive / FOLDER / "trades/2030-01-01.r1.parquet").write_bytes(b"")
    found = await run("verify")
    assert found.returncode == 1
    assert "belongs to no manifest" in found.stdout
    (archive / FOLDER / "trades/2030-01-01.r1.parquet").unlink()

    # A day of which nothing is left, not even in the index.
    index = json.loads((archive / FOLDER / "index.json").read_text())
    del index["days"][middle]
    (archive / FOLDER / "index.json").write_text(json.dumps(index))
    for name in files:
        if middle in name:
            (archive / name).unlink()
    found = await run("verify")
    assert found.returncode == 1
    assert f"has no file of {middle}" in found.stdout
    found = await run("verify", "--database")
    assert f"lacks {middle}, which the database has recorded" in found.stdout


@on_one_variant
async def test_a_damaged_index_hides_its_own_files_only(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    archive = tmp_path / "archive"
    (archive / FOLDER / "index.json").write_bytes(b"{")
    strays = [f"{FOLDER}2/trades/2024-08-04.r1.parquet", f"superseded/{FOLDER}2/x", f"x{FOLDER}/y"]
    for name in strays:
        (archive / name).parent.mkdir(parents=True)
        (archive / name).write_bytes(b"")
    found = await run("verify")
    assert found.returncode == 1
    for name in strays:
        assert f"{name}\tbelongs to no manifest" in found.stdout
    assert found.stdout.count("belongs to no manifest") == len(strays)


async def test_without_redis_a_day_is_not_compared_and_it_is_said_why(database_url: str) -> None:
    settings = replace(read_settings(), database_url=database_url, redis_url="redis://127.0.0.1:1")
    async with VenueComparer(settings) as comparer:
        reason = await comparer.compare(SYMBOL, to_datetime(DAYS[0]).date())
    assert isinstance(reason, str)
    assert "TICKPLANT_REDIS_URL" in reason


@on_one_variant
async def test_a_return_of_days_that_are_not_there_is_no_success(
    database_url: str, connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    archive = tmp_path / "archive"
    (archive / "finnhub/AAPL").mkdir(parents=True)
    (archive / "finnhub/AAPL/index.json").write_bytes((archive / FOLDER / "index.json").read_bytes())

    async def import_(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {"TICKPLANT_DATABASE_URL": database_url}
        command = "import", "--archive", str(archive), *arguments
        return await asyncio.to_thread(run_apart, *command, environment=variables, folder=tmp_path)

    found = await import_("--from", "2030-01")
    assert found.returncode == 1
    assert "finnhub:AAPL is left out" in found.stdout
    assert f"{SYMBOL}: the archive has no days in that time" in found.stdout
    assert (await import_(str(SYMBOL), "--from", "2030-01")).returncode == 1
    assert (await import_("--cache", "x")).returncode == 2
    refused = await import_(str(SYMBOL), "finnhub:AAPL")
    assert refused.returncode == 2
    assert "neither trade ids nor a history" in refused.stderr


@on_one_variant
async def test_a_run_that_was_killed_leaves_nothing_that_looks_whole(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    archive = tmp_path / "archive"
    files = files_in(archive)
    await connection.execute("delete from archived_days where day = $1", to_datetime(DAYS[1]).date())
    part = archive / FOLDER / f"trades/{FIRST}.r2.parquet.part"
    part.write_bytes(b"PAR1")
    done = await run()
    assert done.returncode == 0, done
    assert "in the archive already" in done.stdout  # the index had it, the database not yet
    assert files_in(archive) == files

    # Killed between the files of a day and its manifest: it is written again.
    day = f"{to_datetime(DAYS[2]):%Y-%m-%d}"
    index = json.loads((archive / FOLDER / "index.json").read_text())
    del index["days"][day]
    (archive / FOLDER / "index.json").write_text(json.dumps(index))
    await connection.execute("delete from archived_days where day = $1", to_datetime(DAYS[2]).date())
    done = await run()
    assert f"{SYMBOL} {day} r1" in done.stdout
    assert (await run("verify", "--database")).returncode == 0


@on_one_variant
async def test_what_is_not_there_is_said_with_the_same_code(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    for action in ("list", "verify"):
        found = await run(action)
        assert found.returncode == 1
        assert "there is no archive at" in found.stderr
    missing = await run(TICKPLANT_ARCHIVE_URL="")
    assert missing.returncode == 2
    assert "TICKPLANT_ARCHIVE_URL" in missing.stderr
    above = await run("--to", str(tmp_path / "not" / "there"))
    assert above.returncode == 1
    assert "is its disk mounted?" in above.stderr
    assert (await run("--to", "ftp://host/x")).returncode == 2
    early = await run(TICKPLANT_ARCHIVE_AFTER_DAYS="30")
    assert early.returncode == 0
    due = to_datetime(DAYS[0]) + timedelta(days=31)
    assert "no day is due yet" in early.stdout
    assert f"{due:%Y-%m-%dT%H:%M:%SZ}" in early.stdout
    assert (await run("list")).stdout.endswith("has no days yet\n")
    assert (await run("kraken:XBT/USD")).returncode == 1
    for words in (
        ("list", "--new"),
        ("verify", "--every", "1h"),
        ("list", "--no-venue"),
        ("list", "--database"),
    ):
        assert (await run(*words)).returncode == 2, words
    assert (await run("--json")).returncode == (await run("--database")).returncode == 2
    assert "the archive has no trades yet" in (await run("list", "BTCUSDT")).stderr


@on_one_variant
async def test_another_archive_is_not_taken_for_the_databases_own(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    (tmp_path / "archive").rename(tmp_path / "moved")
    lost = await run()
    assert lost.returncode == 1
    assert "but at" in lost.stderr
    assert (await run("--to", str(tmp_path / "moved"))).returncode == 0
    renewed = await run("--new")
    assert renewed.returncode == 0, renewed
    assert renewed.stdout.endswith(f"{len(DAYS)} days archived\n")
    await connection.execute("update plant set source = 'synthetic'")
    mixed = await run()
    assert mixed.returncode == 1
    assert "has live trades, and the database synthetic ones" in mixed.stderr


@on_one_variant
async def test_what_the_database_has_recorded_must_be_there(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    archive = tmp_path / "archive"
    path = archive / FOLDER / "index.json"
    whole = path.read_bytes()
    await add(connection, late_trade(), TRADES)
    files = files_in(archive)
    lacking, older, other = (json.loads(whole) for _ in range(3))
    del lacking["days"][FIRST]
    older["days"][FIRST]["revision"] = 0
    other["days"][FIRST]["manifest_sha256"] = "0" * 64
    for index, text in (
        (None, f"lacks {FIRST}"),
        (lacking, f"lacks {FIRST}"),
        (older, f"has an older revision of {FIRST}"),
        (other, f"has another manifest of {FIRST}"),
    ):
        path.unlink()
        if index is not None:
            path.write_text(json.dumps(index))
        found = await run()
        assert found.returncode == 1, found
        assert text in found.stderr
        path.write_bytes(whole)
        assert files_in(archive) == files
    assert f"{SYMBOL} {FIRST} r2" in (await run()).stdout

    # An interrupted run got one revision further than the database has recorded.
    recorded = [tuple(row) for row in await connection.fetch("select * from archived_days")]
    ids = {trade.trade_id for trade in (*TRADES, late_trade())}
    later = replace(late_trade(), trade_id=next(n for n in range(min(ids), max(ids)) if n not in ids))
    await add(connection, later, [*TRADES, late_trade()])
    assert f"{SYMBOL} {FIRST} r3" in (await run()).stdout
    await connection.execute("delete from archived_days")
    await connection.copy_records_to_table("archived_days", records=recorded)
    assert "in the archive already" in (await run()).stdout
    assert (await run("verify", "--database")).returncode == 0


@on_one_variant
async def test_two_databases_do_not_write_to_one_archive(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await run()
    await connection.execute("delete from archive; delete from archived_days")  # as another database
    found = await run()
    assert found.returncode == 1
    assert "another database has begun the archive at" in found.stderr
    replaced = await run("--new")
    assert replaced.stdout.endswith(f"0 days archived, {len(DAYS)} were there already\n")
    assert (await run()).returncode == 0

    archive = open_archive(str(tmp_path / "archive"))
    index = archive.read_index(SYMBOL)
    entry = IndexEntry(revision=1, manifest_sha256="0" * 64)
    changed = add_to_index(archive, index, date(2024, 1, 1), entry)
    with pytest.raises(FatalError, match="something else writes"):
        add_to_index(archive, index, date(2024, 1, 2), entry)
    assert archive.read_index(SYMBOL) == changed


@on_one_variant
async def test_candles_that_contradict_their_trades_are_archived_and_reported(
    connection: asyncpg.Connection, run: Run, tmp_path: Path
) -> None:
    await connection.execute(
        "update closed_candles set volume = volume + 1 where \"interval\" = '5m' and open_time = ("
        "select min(open_time) from closed_candles where \"interval\" = '5m')"
    )
    done = await run()
    assert done.returncode == 1
    assert "1 values of candles differ" in done.stdout
    assert manifest_of(tmp_path / "archive")["audit"] == {"passed": False, "differences": 1, "duplicates": 0}


@on_one_variant
async def test_it_runs_until_it_is_stopped_and_outlasts_an_outage(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    archive = tmp_path / "disk" / "archive"
    variables = {
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_ARCHIVE_URL": str(archive),
        "TICKPLANT_ARCHIVE_AFTER_DAYS": "1",
        "TICKPLANT_LOG_LEVEL": "info",
    }
    command = (sys.executable, "-m", "tickplant", "archive", "--no-venue", "--every", "1m")
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **variables}, stderr=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"will be tried again" not in (line := await process.stderr.readline()):
            assert line
    assert b"is its disk mounted?" in line
    process.terminate()
    await process.communicate()
    assert process.returncode == 0

    archive.parent.mkdir()
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **variables}, stderr=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"3 days archived" not in (line := await process.stderr.readline()):
            assert line
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
    assert len([name for name in files_in(archive) if name.endswith(".parquet")]) == 2 * len(DAYS)
