"""`tickplant backfill` and `tickplant verify` against a sandbox venue that serves a recorded past."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import offline
import past_plant
import pytest
import stored
from conftest import PARTITIONS, VARIANTS
from msgspec.structs import replace
from past_venue import days_of_trades
from processes import Processes, sandbox_status
from websockets.asyncio.client import ClientConnection, connect
from working import publishing, read_live, until, working

from db.audit import audit_symbol, read_audit_symbols, snapshot_on
from db.export import open_reader
from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter
from tickplant.intervals import MINUTE_US, floor
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import open_redis
from tickplant.streams import trades_stream
from tickplant.times import to_datetime

pytestmark = pytest.mark.parametrize("database_url", VARIANTS[-1:], indirect=True)


SYMBOL = "BTCUSDT"
FROM, TO = "2024-08-08T23:54:00Z", "2024-08-09T00:10:00Z"


def captures_of(recording: Path) -> list[str]:
    return [str(path) for path in sorted(recording.glob("btcusdt_*.gz"))]


@pytest.fixture(scope="module")
def venue(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A venue whose tape has been played to its end."""
    captures = captures_of(recording)
    processes = Processes({}, tmp_path_factory.mktemp("venue"))

    async def start() -> dict[str, Any]:
        ready = await processes.start_sandbox("--capture", *captures, "--speed", "max")
        await play_to_the_end(ready["ws_url"], ready["rest_url"])
        return ready

    yield asyncio.run(start())
    asyncio.run(processes.end())


@pytest.fixture
async def plant(
    redis_url: str, database_url: str, venue: dict[str, Any], tmp_path: Path
) -> AsyncIterator[Processes]:
    """Workers, and a venue that serves its history."""
    environment = plant_environment(redis_url, database_url)
    async with Processes(environment, tmp_path) as processes, working(redis_url, database_url):
        processes.use_sandbox(venue)
        yield processes


def plant_environment(redis_url: str, database_url: str) -> dict[str, str]:
    return {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }


async def play_to_the_end(ws_url: str, rest_url: str) -> None:
    async with connect(f"{ws_url}/ws/btcusdt@trade", close_timeout=0.1) as client:
        reading = asyncio.create_task(_drain(client))

        async def played() -> bool:
            return bool((await sandbox_status(rest_url))["state"] == "finished")

        await until(played, "the tape played to its end")
        reading.cancel()


async def _drain(client: ClientConnection) -> None:
    async for _ in client:
        pass


def recorded_trades(recording: Path) -> list[dict[str, Any]]:
    return offline.binance_trades(offline.binance_frames(recording, SYMBOL))


async def expect_exactly(url: str, trades: list[dict[str, Any]]) -> None:
    """Assert that the database holds these trades, each once, their candles, and a ledger that agrees."""
    assert await stored.read_trades(url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in trades
    )
    assert await stored.read_candles(url) == offline.candles(trades)
    async with open_reader(url, application="test") as connection, snapshot_on(connection):
        for symbol in await read_audit_symbols(connection):
            audit = await audit_symbol(connection, symbol, lambda *_: None)
            assert audit.passed, (audit.differences[:5], audit.ids)


async def publish(redis_url: str, trades: list[dict[str, Any]]) -> None:
    """Send trades down the stream as ingest would have."""
    async with publishing(redis_url) as publisher:
        await publisher.publish(
            [
                Trade(
                    "binance",
                    t["s"],
                    t["t"],
                    t["p"],
                    t["q"],
                    "sell" if t["m"] else "buy",
                    t["T"] * 1000,
                    t["T"] * 1000,
                )
                for t in trades
            ]
        )


async def test_history_before_and_between_live_trades_is_filled(
    plant: Processes, redis_url: str, database_url: str, recording: Path
) -> None:
    recorded = recorded_trades(recording)
    await publish(redis_url, [*recorded[12_000:14_000], *recorded[14_100:15_000]])
    code, output = await plant.run("backfill", "binance:BTCUSDT", "--from", FROM, "--to", TO)
    assert code == 0, output + plant.logs()
    assert "0 missing" in output
    shown = [
        trade
        for update in await read_live(redis_url, SYMBOL)
        for entry in update.entries
        for trade in decode_trades(entry.trades)
    ]
    assert len(shown) == 2_900  # history is not published as live trades
    await expect_exactly(database_url, recorded)
    assert {row[2] for row in await stored.read_gaps(database_url)} == {"healed"}  # the one that was planted
    assert len(await stored.read_gaps(database_url)) == 1
    code, output = await plant.run("backfill", "binance:BTCUSDT", "--from", FROM, "--to", TO)
    assert (code, "all are stored" in output) == (0, True), output


async def test_history_is_filled_while_ingest_runs(
    redis_url: str, database_url: str, recording: Path, tmp_path: Path
) -> None:
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    captures = captures_of(recording)
    async with Processes(environment, tmp_path) as processes, working(redis_url, database_url):
        ready = await processes.start_sandbox("--capture", *captures, "--speed", "25")

        async def partly_played() -> bool:
            return bool((await sandbox_status(ready["rest_url"]))["sent"] > 4_000)

        await until(partly_played, "a part of the tape, which goes on while ingest starts")
        await processes.start("ingest")
        await until_some_stored(database_url, 100)
        code, output = await processes.run("backfill", "binance:BTCUSDT", "--from", FROM, "--to", TO)
        assert code == 0, output + processes.logs()
        await until_stored(database_url, 19_904)
        await expect_exactly(database_url, recorded_trades(recording))


async def until_some_stored(url: str, count: int) -> None:
    async def some_stored() -> bool:
        found: int = await stored.fetch_value(url, "select count(*) from trades")
        return found > count

    await until(some_stored, "a part")


async def test_a_time_range_of_an_empty_plant_is_filled_and_no_more(
    plant: Processes, database_url: str, recording: Path
) -> None:
    start, end = "2024-08-08T23:56:00Z", "2024-08-08T23:58:30Z"
    code, output = await plant.run("backfill", "binance:BTCUSDT", "--from", start, "--to", end)
    assert code == 0, output + plant.logs()
    start_ms, end_ms = 1723161360000, 1723161510000
    await expect_exactly(database_url, [t for t in recorded_trades(recording) if start_ms <= t["T"] < end_ms])


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGKILL])
async def test_a_stopped_backfill_resumes(
    redis_url: str,
    database_url: str,
    venue: dict[str, Any],
    recording: Path,
    tmp_path: Path,
    with_signal: signal.Signals,
) -> None:
    """It is ended after its first entries; the small budget of its stream lets it wait for each commit."""
    command = ("backfill", "binance:BTCUSDT", "--from", FROM, "--to", TO)
    redis: Any = open_redis(redis_url)

    async def published() -> bool:
        streams = [trades_stream(partition) for partition in range(PARTITIONS)]
        return any([await redis.xlen(stream) for stream in streams])

    environment = plant_environment(redis_url, database_url)
    environment |= {"TICKPLANT_STREAM_BUDGET_TRADES": "2000"}
    async with Processes(environment, tmp_path) as plant, working(redis_url, database_url):
        plant.use_sandbox(venue)
        process = await plant.start(*command)
        await until(published, "a part published")
        process.send_signal(with_signal)
        assert await process.wait() == (130 if with_signal is signal.SIGINT else -9)
        code, output = await plant.run(*command)
        assert code == 0, output + plant.logs()
    await redis.aclose()
    await expect_exactly(database_url, recorded_trades(recording))
    assert await stored.read_gaps(database_url) == []


async def test_ids_that_cannot_be_fetched_are_reported(plant: Processes) -> None:
    code, _ = await plant.run("backfill", "binance:NOSUCH", "--from", FROM)
    assert code == 1
    assert "Invalid symbol" in plant.logs()
    code, _ = await plant.run("backfill", "finnhub:IBM", "--from", FROM)
    assert code == 2


DAMAGE = {
    "trades, candles and the ledger's ids of two minutes": """
        delete from trades where event_time >= '2024-08-08 23:57Z' and event_time < '2024-08-08 23:59Z';
        delete from closed_candles
            where "interval" = '1m' and open_time >= '2024-08-08 23:57Z' and open_time < '2024-08-08 23:59Z';
        update ledger l set missing = (
            select int8multirange(int8range(first_trade_id, last_trade_id, '[]'))
                - range_agg(int8range(trade_id, trade_id, '[]')) from trades where symbol = l.symbol)
    """,
    "trades and candles behind the ledger's back": """
        delete from trades where trade_id between 3735690000 and 3735690099;
        update trades set price = price + 1 where trade_id = 3735690100;
        insert into trades select * from trades where trade_id = 3735690101;
        update closed_candles set volume = volume + 1 where open_time = '2024-08-08 23:58Z'
    """,
    "rows of trades alone": "delete from trades where trade_id between 3735690000 and 3735690009",
    "what takers bought": """
        update closed_candles set taker_buy_quote_volume = 0
        where "interval" = '1m' and open_time = '2024-08-08 23:58Z'
    """,
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damaged_rows_are_repaired(
    plant: Processes, redis_url: str, database_url: str, recording: Path, damage: str
) -> None:
    recorded = recorded_trades(recording)
    await publish(redis_url, recorded)
    await until_stored(database_url, len(recorded))
    code, output = await plant.run("verify", "binance:BTCUSDT")
    assert (code, "11 matched, 0 differing, 0 uncovered" in output) == (0, True), output + plant.logs()
    # The workers go on with what they hold in memory, as they would after a disk has lost a page.
    connection = await asyncpg.connect(database_url)
    await connection.execute(DAMAGE[damage])
    await connection.close()
    code, output = await plant.run("verify", "binance:BTCUSDT", "--dry-run")
    assert code == 1, output
    await expect_repaired(plant, database_url, recorded)


async def test_minutes_that_were_never_stored_are_repaired(
    plant: Processes, redis_url: str, database_url: str, recording: Path
) -> None:
    recorded = recorded_trades(recording)
    come = [*recorded[300:5_000], *recorded[5_100:5_200], *recorded[9_000:]]
    await publish(redis_url, come)
    await until_stored(database_url, len(come))
    await expect_repaired(plant, database_url, recorded)


async def test_trades_before_those_that_the_venue_still_has_are_kept(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    # Prices have two decimal places: the venue's quote volumes, of eight places, are exact with six more.
    trades = [replace(trade, size=trade.size[:-2]) for trade in days_of_trades(date(2024, 8, 8), 1, 3_000)]
    minute_us = floor(trades[1_500].event_time_us, MINUTE_US)
    of_minute = [trade for trade in trades if floor(trade.event_time_us, MINUTE_US) == minute_us]
    oldest = of_minute[len(of_minute) // 2]
    assert oldest is not of_minute[0]
    async with past_plant.plant(
        redis_url, database_url, tmp_path, trades[trades.index(oldest) :]
    ) as processes:
        async with publishing(redis_url) as publisher:
            await publisher.publish(trades)
        await until_stored(database_url, len(trades))
        before = await past_plant.snapshot(database_url, revisions=False)
        code, output = await processes.run("verify", "binance:AAAUSDT", "--from", f"{to_datetime(minute_us)}")
        assert code == 1, output
        assert f"history begins with trade {oldest.trade_id}" in processes.logs()
        assert await past_plant.snapshot(database_url, revisions=False) == before
        later = f"{to_datetime(minute_us + MINUTE_US)}"
        code, output = await processes.run("verify", "binance:AAAUSDT", "--from", later)
        assert code == 0, output


async def until_stored(url: str, expected: int) -> None:
    async def all_stored() -> bool:
        count: int = await stored.fetch_value(url, "select count(*) from trades")
        return count == expected

    await until(all_stored, "everything")


async def expect_repaired(plant: Processes, database_url: str, recorded: list[dict[str, Any]]) -> None:
    code, output = await plant.run("verify", "binance:BTCUSDT")
    assert code == 0, output + plant.logs()
    assert "0 differing, 0 uncovered" in output
    await expect_exactly(database_url, recorded)
    assert {row[2] for row in await stored.read_gaps(database_url)} <= {"healed"}
    flags = await stored.read_flags(database_url, SYMBOL)
    assert [complete for _, _, complete, _ in flags] == [False, *[True] * 10, False]


@pytest.mark.parametrize("name", ["coinbase:BTC-USD", "kraken:BTC/USD"])
async def test_history_of_other_venues_is_filled_and_verified(
    redis_url: str, database_url: str, tmp_path: Path, name: str
) -> None:
    symbol = SymbolId.parse(name)
    venue = make_adapter(symbol.venue)
    environment = {
        "TICKPLANT_REDIS_URL": redis_url,
        "TICKPLANT_DATABASE_URL": database_url,
        "TICKPLANT_PARTITIONS": str(PARTITIONS),
    }
    async with Processes(environment, tmp_path) as processes, working(redis_url, database_url):
        options = ("--symbols", name, "--count", "3000", "--rate", "20", "--speed", "max")
        ready = await processes.start_sandbox(*options)
        address = ready["venues"][symbol.venue]
        processes.set(**{f"TICKPLANT_{symbol.venue.upper()}_REST_URL": address["rest_url"]})
        sent = await play(venue, symbol, address["ws_url"], 3_000)
        middle = sorted(sent)[1_500]
        start = datetime.fromtimestamp(sent[middle].event_time_us / 1e6, UTC).isoformat()
        for first in (start, "2000-01-01"):
            code, output = await processes.run("backfill", name, "--from", first, "--to", "2099-01-01")
            assert code == 0, output + processes.logs()
        rows = await stored.read_trades(database_url)
        assert [(row[1], row[2], row[3], row[5]) for row in rows] == [
            (trade.trade_id, Decimal(trade.price), Decimal(trade.size), trade.event_time_us)
            for _, trade in sorted(sent.items())
        ]
        assert await stored.read_gaps(database_url) == []
        code, output = await processes.run("verify", name)
        assert (code, " 0 differing, 0 uncovered" in output) == (0, True), output + processes.logs()


async def play(venue: VenueAdapter, symbol: SymbolId, ws_url: str, count: int) -> dict[int, Trade]:
    """Receive a whole tape, and return its trades by id."""
    sent: dict[int, Trade] = {}
    async with connect(venue.stream_url(ws_url, [symbol.symbol]), close_timeout=0.1) as client:
        for message in venue.subscribe_messages([symbol.symbol]):
            await client.send(message)
        async with asyncio.timeout(60):
            while len(sent) < count:
                frame = await client.recv(decode=False)
                parsed = venue.parse_frame(frame, 1)
                if isinstance(parsed, tuple):
                    sent.update({trade.trade_id: trade for trade in parsed})
    return sent


async def test_rows_removed_by_age_are_neither_fetched_again_nor_repaired(
    plant: Processes, redis_url: str, database_url: str, recording: Path
) -> None:
    recorded = recorded_trades(recording)
    await publish(redis_url, recorded)
    connection = await asyncpg.connect(database_url)

    async def all_stored() -> bool:
        return int(await connection.fetchval("select count(*) from trades")) == len(recorded)

    await until(all_stored, "all trades stored")
    while await connection.fetchval("select remove_some('trades', 'event_time', '2024-08-09', 100000)"):
        pass
    await connection.execute(
        "update closed_candles set volume = volume + 1 where \"interval\" = '1m' and open_time = $1",
        datetime(2024, 8, 8, 23, 55, tzinfo=UTC),
    )
    candles = await stored.read_candles(database_url)

    code, output = await plant.run("backfill", "binance:BTCUSDT", "--from", FROM, "--to", TO)
    assert (code, "0 missing" in output) == (0, True), output
    code, output = await plant.run("verify", "binance:BTCUSDT", "--from", FROM)
    assert code == 1
    assert "minutes before 2024-08-09T00:00:00Z are not repaired" in output
    assert await stored.read_candles(database_url) == candles

    assert await connection.fetchval("select min(event_time) from trades") >= datetime(2024, 8, 9, tzinfo=UTC)
    await connection.close()
