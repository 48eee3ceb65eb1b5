"""`tickplant verify --report`: every kind of difference appears once, with its cause."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import jsonschema_rs
import pytest
import stored
from conftest import PARTITIONS, REPOSITORY, on_last_variant
from msgspec.structs import replace
from processes import Processes
from websockets.asyncio.client import connect
from working import publishing, until, working

from maintenance.conformance import is_rounded
from maintenance.conformance_report import CAUSES, report_schema
from sandbox.generator import generate
from sandbox.player import TapePlayer
from sandbox.server import serve
from sandbox.venues import VENUES
from tickplant.intervals import MINUTE_US
from tickplant.market import Trade
from tickplant.times import format_second
from tickplant.wire import Verdict

NAME = "binance:BTCUSDT"
PER_MINUTE = 300
MINUTES = 13
TAPE = generate(
    ["BTCUSDT"], PER_MINUTE * MINUTES - 100, rate=PER_MINUTE / 60, seed=8, venue=VENUES["binance"]
)
SCHEMA = REPOSITORY / "schema" / "conformance-report.json"


def sent() -> list[Trade]:
    """Return the trades of the venue, from the start of a minute to the middle of another."""
    return [trade for position in range(len(TAPE)) for trade in TAPE.venue.read_trades(TAPE.text(position))]


BEGIN_US = sent()[0].event_time_us // MINUTE_US * MINUTE_US


def at(minute: int) -> str:
    return format_second(BEGIN_US + minute * MINUTE_US)


def of_minute(trades: list[Trade], minute: int) -> list[Trade]:
    begin_us = BEGIN_US + minute * MINUTE_US
    return [trade for trade in trades if begin_us <= trade.event_time_us < begin_us + MINUTE_US]


@asynccontextmanager
async def plant(redis_url: str, database_url: str, folder: Path) -> AsyncIterator[Processes]:
    """A venue that has played its tape to the end, and workers that have received nothing yet."""
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    player = TapePlayer(TAPE, speed=None, hold=True)
    async with (
        serve([player]) as running,
        Processes(environment, folder) as processes,
        working(redis_url, database_url),
    ):
        async with asyncio.timeout(60), connect(f"{running.ws_url}/ws/btcusdt@trade") as client:
            for _ in range(len(TAPE)):
                await client.recv()
        processes.set(TICKPLANT_BINANCE_REST_URL=running.rest_url)
        yield processes


async def until_stored(url: str, expected: int) -> None:
    async def all_stored() -> bool:
        count: int = await stored.fetch_value(url, "select count(*) from trades")
        return count == expected

    await until(all_stored, "all trades are stored")


async def read_report(processes: Processes, folder: Path, *words: str, code: int) -> Any:
    """Write a report twice, compare, check it by its schema, and return it."""
    texts = []
    for name in ("one", "two"):
        found, output = await processes.run("verify", *words, "--report", str(folder / name))
        assert found == code, output + processes.logs()
        texts.append([(folder / f"{name}{suffix}").read_text() for suffix in (".json", ".md")])
    assert texts[0] == texts[1]
    report = json.loads(texts[0][0])
    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text())).validate(report)
    return report, texts[0][1], output


@on_last_variant
async def test_every_cause_is_found_in_its_minute(redis_url: str, database_url: str, tmp_path: Path) -> None:
    trades = sent()
    assert len(of_minute(trades, 0)) > 250
    minute = {number: of_minute(trades, number) for number in range(MINUTES)}
    wide = next(trade for trade in minute[7] if trade.side == "sell")
    wrong = minute[8][100]
    withheld = [*minute[0][:10], *minute[2][50:53], *minute[3][50:52], *minute[10]]
    late = [replace(minute[4][60], size="77"), minute[11][60]]
    changes = {
        wide.trade_id: replace(wide, size=f"{wide.size}01"),
        wrong.trade_id: replace(wrong, size="55"),
    }
    gone = {trade.trade_id for trade in [*withheld, *late]}
    received = [changes.get(trade.trade_id, trade) for trade in trades if trade.trade_id not in gone]
    async with plant(redis_url, database_url, tmp_path) as processes:
        async with publishing(redis_url) as publisher:
            await publisher.publish(received)
            await until_stored(database_url, len(received))
            await publisher.publish(late)
            void = minute[3][50:52]
            await publisher.publish_verdict(
                Verdict("binance", "BTCUSDT", void[0].trade_id, void[1].trade_id, "void", None)
            )
            await until_stored(database_url, len(received) + 2)

            async def is_void() -> bool:
                return bool(await stored.fetch_value(database_url, "select not isempty(void) from ledger"))

            await until(is_void, "the verdict is stored")
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "update closed_candles set volume = volume + 1 where \"interval\" = '1m' and open_time = $1",
            datetime.fromisoformat(at(5)),
        )
        await connection.execute("delete from trades where trade_id = $1", minute[6][9].trade_id)

        report, markdown, output = await read_report(processes, tmp_path, NAME, "--to", at(14), code=1)
        (symbol,) = report["symbols"]
        assert (report["source"], report["agrees"]) == ("live", False)
        assert (symbol["first"], symbol["end"]) == (at(0), at(12))
        assert symbol["minutes"] == {
            "compared": 12,
            "matched": 3,
            "differing": 8,
            "not_stored": 1,
            "not_given": 0,
            "not_closed": 2,
            "incomplete": 4,
            "late": 2,
        }
        causes = {each["open_time"]: (each["kind"], each["cause"]) for each in symbol["differences"]}
        assert causes == {
            at(0): ("differs", "before the first trade"),
            at(2): ("differs", "missing trades"),
            at(3): ("differs", "void ids"),
            at(4): ("differs", "late trades"),
            at(5): ("differs", "candle differs from its trades"),
            at(6): ("differs", "rows lost"),
            at(7): ("differs", "rounding of the venue"),
            at(8): ("differs", "unexplained"),
            at(10): ("not stored", "missing trades"),
        }
        expected = dict.fromkeys(CAUSES, 1) | {"missing trades": 2, "trades removed by age": 0}
        assert symbol["causes"] == expected
        assert symbol["missing_trades"] == 3 + len(minute[10])
        assert symbol["void_ids"] == 2
        closed = [trade for number in range(12) for trade in minute[number]]
        assert symbol["trades"] == len(closed) - len(withheld)
        by_time = {each["open_time"]: each for each in symbol["differences"]}
        assert by_time[at(2)]["missing_trades"] == 3
        assert by_time[at(4)]["late_trades"] == 1
        (volume,) = by_time[at(7)]["columns"]
        assert volume["column"] == "volume"
        assert volume["ours"].startswith(volume["venue"])
        assert "| minutes compared | 12 |" in markdown
        assert "**Result: 3 of 12 minutes match.**" in markdown
        assert f"| {at(3)} | void ids | 0 | 0 | " in markdown
        assert f"{NAME}: 3 of 12 minutes match, 8 differ, 1 are not stored (1 rows lost, " in output

        await connection.execute(
            "insert into expired values ('binance', 'BTCUSDT', $1, $2)",
            datetime.fromisoformat(at(1)),
            minute[0][-1].trade_id,
        )
        await connection.close()
        report, *_ = await read_report(processes, tmp_path, NAME, "--from", at(0), "--to", at(4), code=1)
        (symbol,) = report["symbols"]
        assert symbol["causes"] == dict.fromkeys(CAUSES, 0) | {
            "trades removed by age": 1,
            "missing trades": 1,
            "void ids": 1,
        }
        assert (symbol["missing_trades"], symbol["void_ids"]) == (3, 2)


@on_last_variant
async def test_a_plant_that_has_everything_agrees(redis_url: str, database_url: str, tmp_path: Path) -> None:
    trades = sent()
    async with plant(redis_url, database_url, tmp_path) as processes:
        async with publishing(redis_url) as publisher:
            await publisher.publish(trades)
            await until_stored(database_url, len(trades))
        report, markdown, output = await read_report(processes, tmp_path, NAME, code=0)
        (symbol,) = report["symbols"]
        assert report["agrees"]
        assert (symbol["minutes"]["matched"], symbol["minutes"]["compared"]) == (12, 12)
        assert symbol["differences"] == []
        assert set(symbol["causes"].values()) == {0}
        assert "**Result: 12 of 12 minutes match.**" in markdown
        assert "Causes" not in markdown
        assert output == f"{NAME}: 12 of 12 minutes match, 0 differ, 0 are not stored\n"

        (tmp_path / "only.md").write_text("the former report")
        (tmp_path / "former.md").hardlink_to(tmp_path / "only.md")
        code, _ = await processes.run("verify", NAME, "--report", str(tmp_path / "only.md"))
        assert (tmp_path / "former.md").read_text() == "the former report"  # a report replaces one as a whole
        assert code == 0
        assert (tmp_path / "only.md").read_text() == markdown
        assert not (tmp_path / "only.json").exists()
        code, _ = await processes.run("verify", NAME, "--report", str(tmp_path / "nowhere" / "x"))
        assert code == 2
        assert "there is no folder" in processes.logs()


def test_the_schema_is_that_of_the_report() -> None:
    assert json.loads(SCHEMA.read_text()) == report_schema()


@pytest.mark.parametrize(
    ("venue", "ours", "rounded"),
    [
        ("1.50", "1.50", True),
        ("1.50", "1.504", True),
        ("1.51", "1.505", True),
        ("1.50", "1.505", True),
        ("1.50", "1.509", True),
        ("1.50", "1.511", False),
        ("1.50", "1.49", False),
        ("12", "12.7", True),
        ("1500", "1500.0000000001", True),
        ("100", "101", False),
    ],
)
def test_rounding_is_recognised_by_the_venues_places(venue: str, ours: str, rounded: bool) -> None:
    assert is_rounded(venue, ours) is rounded
