"""Trades of a live stream, of a replay and of a generator never mix, and are labelled as what they are."""

import asyncio
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import stored
from conftest import PARTITIONS, REPOSITORY, on_one_variant
from working import START_US, publishing, stored_count, trade, until, working

from db.pool import open_pool
from db.provenance import claim_database_source, inspect_source
from db.provenance import read_database_source as read_database_source
from ingest import service
from sandbox.generator import generate
from sandbox.journal import Journal
from sandbox.live import LiveSource
from sandbox.player import TapePlayer
from sandbox.server import RunningSandbox, serve
from sandbox.tape import Tape
from sandbox.venues import VENUES
from tickplant.cli.sources import expected_source
from tickplant.clock import now_us
from tickplant.errors import FatalError, MixedSourcesError
from tickplant.market import SymbolId
from tickplant.provenance import SOURCE_HEADER, source_of
from tickplant.redis_agreement import read_redis_source
from tickplant.redis_client import open_redis
from tickplant.settings import Settings

BTC = SymbolId("binance", "BTCUSDT")


def player(provenance: str) -> TapePlayer:
    made = generate(["BTCUSDT"], 50, rate=1000, seed=4)
    if provenance == "synthetic":
        return TapePlayer(made, speed=None, hold=True)
    tape = Tape(VENUES["binance"])
    for position in range(len(made)):
        frame = tape.venue.parse_frame(made.text(position), made.times_ns[position] // 1000)
        assert frame is not None
        tape.add(frame, made.times_ns[position])
    return TapePlayer(tape, speed=None, hold=True)


async def ingest(redis_url: str, running: RunningSandbox, stop: asyncio.Event) -> None:
    await service.run(
        redis_url=redis_url,
        symbols=[BTC],
        addresses={
            "binance": service.VenueAddress(f"{running.ws_url}/binance", f"{running.rest_url}/binance")
        },
        partitions=PARTITIONS,
        stream_budget_trades=10**6,
        stop=stop,
    )


@on_one_variant
@pytest.mark.parametrize("source", ["replay", "synthetic"])
async def test_what_a_sandbox_sends_is_marked_in_redis_and_in_the_database(
    source: str, redis_url: str, database_url: str
) -> None:
    assert await inspect_source(database_url) is None
    stop = asyncio.Event()
    async with serve([player(source)]) as running, working(redis_url, database_url):
        task = asyncio.create_task(ingest(redis_url, running, stop))

        async def all_stored() -> bool:
            return await stored_count(database_url) == 50

        await until(all_stored, "all trades are stored")
        stop.set()
        await task
    assert await inspect_source(database_url) == source
    redis = open_redis(redis_url)
    assert await read_redis_source(redis) == source
    await redis.aclose()


async def test_ingest_refuses_a_venue_whose_trades_would_be_mixed_and_writes_nothing(redis_url: str) -> None:
    async with publishing(redis_url) as publisher:
        await publisher.claim_source({})
    async with serve([player("replay")]) as running:
        with pytest.raises(BaseExceptionGroup) as group:
            await asyncio.wait_for(ingest(redis_url, running, asyncio.Event()), 30)
    assert group.group_contains(MixedSourcesError, match="Redis holds trades of a venue's live stream, which")
    redis = open_redis(redis_url)
    assert await redis.keys("trades:*") == []
    await redis.aclose()


@on_one_variant
async def test_workers_refuse_streams_whose_trades_would_be_mixed_and_store_nothing(
    redis_url: str, database_url: str
) -> None:
    async with open_pool(database_url, size=1, application="test") as pool:
        await claim_database_source(pool, "replay")
        with pytest.raises(MixedSourcesError):
            await claim_database_source(pool, "synthetic")
    async with publishing(redis_url) as publisher:
        await publisher.claim_source({})
        await publisher.publish([trade(1, at_us=START_US)])
    with pytest.raises(MixedSourcesError, match="the database holds replayed trades, which"):
        async with asyncio.timeout(30), working(redis_url, database_url) as stop:
            await stop.wait()
    assert await stored_count(database_url) == 0


@on_one_variant
async def test_workers_that_do_not_own_the_tables_may_note_a_source_and_nothing_else(
    database_url: str,
) -> None:
    async with open_pool(database_url, size=1, application="test") as pool:
        await pool.execute("set role tickplant_writer")  # of its only session
        await claim_database_source(pool, "synthetic")
        assert await read_database_source(pool) == "synthetic"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("update plant set partitions = 9")


@on_one_variant
async def test_a_database_with_trades_from_before_sources_were_noted_is_live(database_url: str) -> None:
    await stored.fetch_rows(
        database_url,
        "insert into ledger (venue, symbol, partition, first_trade_id, last_trade_id, missing, watermark)"
        " values ('binance', 'BTCUSDT', 0, 1, 1, '{}', now())",
    )
    assert await inspect_source(database_url) == "live"
    await stored.fetch_rows(database_url, "alter table plant drop column source")
    assert await inspect_source(database_url) == "live"
    migration = (REPOSITORY / "db/migrations/0009_source.sql").read_text(encoding="utf-8")
    for statement in migration.split(";\n"):
        if not statement.strip().startswith("comment"):
            await stored.fetch_rows(database_url, statement)
    assert await stored.fetch_value(database_url, "select source from plant") == "live"


def test_a_silent_venue_is_live_and_one_that_answers_nonsense_is_refused() -> None:
    assert source_of({}) == "live"
    assert source_of({SOURCE_HEADER: "synthetic"}) == "synthetic"
    with pytest.raises(FatalError, match=SOURCE_HEADER):
        source_of({SOURCE_HEADER: "imagined"})


def test_only_at_the_venues_own_addresses_a_stream_is_known_to_be_live_beforehand() -> None:
    assert expected_source(Settings()) == "live"
    assert expected_source(Settings(binance_ws_url="ws://127.0.0.1:1")) is None
    assert expected_source(Settings(kraken_ws_url="ws://127.0.0.1:1")) == "live"


@on_one_variant
async def test_a_generator_that_is_started_again_leaves_nothing_missing(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "binance.jsonl", kept=10_000)
        source = LiveSource(
            VENUES["binance"], [BTC.symbol], rate=300, seed=1, clock_us=now_us, journal=journal, hold=True
        )
        stop = asyncio.Event()
        # On a slow machine the first start has stored more than the second one waits for.
        query = "select coalesce(max(last_trade_id - first_trade_id + 1), 0) from ledger"
        wanted = await stored.fetch_value(database_url, query) + 150
        async with serve([source]) as running, working(redis_url, database_url):
            task = asyncio.create_task(ingest(redis_url, running, stop))
            await until(partial(holds_all, database_url, wanted), "all trades are stored")
            stop.set()
            await task
            sent = source.status().sent

            async def trades_on(sent: int = sent, source: LiveSource = source) -> bool:
                return source.status().sent > sent + 50

            await until(trades_on, "the market continues without clients")


async def holds_all(database_url: str, wanted: int) -> bool:
    count = await stored.fetch_value(
        database_url,
        "select last_trade_id - first_trade_id + 1 from ledger where missing = '{}' and void = '{}'",
    )
    return count is not None and count >= wanted
