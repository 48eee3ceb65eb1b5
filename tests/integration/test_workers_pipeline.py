"""Streams to rows: the worker over a real Redis and a real database."""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import offline
import pytest
import stored
from conftest import PARTITIONS
from msgspec.structs import replace
from working import (
    MINUTE_US,
    START_US,
    parse_binance,
    payload,
    publish_in_batches,
    publishing,
    read_live,
    stored_count,
    trade,
    until,
    working,
)

from tickplant import wire
from tickplant.errors import LeaseLostError
from tickplant.kernel import decode_trades
from tickplant.market import Gap
from tickplant.redis_client import open_redis
from tickplant.streams import (
    CANDLES_ROLE,
    DEAD_LETTERS,
    gaps_key,
    live_stream,
    owner_key,
    partition_of,
    trades_stream,
)
from workers.partition_streams import PartitionStreams

GAPS = gaps_key(partition_of("binance", "AAAUSDT", PARTITIONS))


async def test_recorded_frames_become_the_venues_own_candles(
    redis_url: str, database_url: str, recording: Path
) -> None:
    frames = list(offline.binance_frames(recording, "BTCUSDT", "ETHUSDT"))
    recorded = offline.binance_trades(frames)
    trades = parse_binance(frames, START_US)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publish_in_batches(publisher, trades, seed=1)

        async def done() -> bool:
            return await stored_count(database_url) == len(recorded)

        await until(done, "all trades stored")
    assert await stored.read_trades(database_url) == sorted(
        (t["s"], t["t"], Decimal(t["p"]), Decimal(t["q"]), "sell" if t["m"] else "buy", t["T"] * 1000)
        for t in recorded
    )
    assert await stored.read_candles(database_url) == offline.candles(recorded)
    flags = await stored.read_flags(database_url, "BTCUSDT")
    # The first minute began before the recording, the last was going on at its end.
    assert [(closed, complete) for _, closed, complete, _ in flags] == [
        (True, False),
        *[(True, True)] * 10,
        (False, False),
    ]
    assert {revision for *_, revision in flags} == {0}


async def test_duplicates_and_shuffled_trades_change_nothing(redis_url: str, database_url: str) -> None:
    trades = [
        trade(i, at_us=START_US + i * 700_000, price=f"{100 + i % 7}.25", size="0.1") for i in range(1, 400)
    ]
    mixed = trades + trades[50:150]
    random.Random(7).shuffle(mixed)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publish_in_batches(publisher, mixed, seed=2)

        async def done() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(done, "all trades stored")
    assert await stored.read_candles(database_url) == offline.candles(map(payload, trades))


async def test_a_missing_trade_leaves_candles_incomplete_until_it_arrives(
    redis_url: str, database_url: str
) -> None:
    trades = [trade(i, at_us=START_US + i * 10_000_000) for i in range(1, 31)]  # six a minute
    late = trades.pop(8)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.publish(trades)

        async def stored_all_but_one() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(stored_all_but_one, "trades stored")
        flags = await stored.read_flags(database_url, "AAAUSDT")
        assert [complete for _, _, complete, _ in flags] == [False, False, True, True, True, False]
        assert await stored.fetch_value(database_url, "select missing::text from ledger") == "{[9,10)}"
        await publisher.publish([late])

        async def healed() -> bool:
            return await stored_count(database_url) == len(trades) + 1

        await until(healed, "late trade stored")
    flags = await stored.read_flags(database_url, "AAAUSDT")
    assert [complete for _, _, complete, _ in flags] == [False, True, True, True, True, False]
    assert [revision for *_, revision in flags] == [0, 1, 0, 0, 0, 0]


async def test_the_venues_clock_closes_a_quiet_candle_and_the_next_trade_proves_it_complete(
    redis_url: str, database_url: str
) -> None:
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.publish(
            [trade(1, at_us=START_US - 1), trade(2, at_us=START_US), trade(3, at_us=START_US + 9)]
        )
        await publisher.publish_clock("binance", ["AAAUSDT"], START_US + MINUTE_US)

        async def closed() -> bool:
            flags = await stored.read_flags(database_url, "AAAUSDT")
            return [(c, complete) for _, c, complete, _ in flags] == [(True, False), (True, False)]

        await until(closed, "closed by the clock")
        await publisher.publish([trade(4, at_us=START_US + 5 * MINUTE_US)])

        async def proven() -> bool:
            flags = await stored.read_flags(database_url, "AAAUSDT")
            return [complete for _, _, complete, _ in flags] == [False, True, False]

        await until(proven, "complete after the next trade")


async def test_live_updates_arrive_once_in_order_and_closed_candles_equal_the_rows(
    redis_url: str, database_url: str
) -> None:
    trades = [trade(i, at_us=START_US + i * 1_000_000) for i in range(1, 200)]
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        for start in range(0, len(trades), 10):
            await publisher.publish(trades[start : start + 10])

        async def done() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(done, "all trades stored")
    updates = await read_live(redis_url, "AAAUSDT")
    seen = [t.trade_id for update in updates for entry in update.entries for t in decode_trades(entry.trades)]
    assert seen == [t.trade_id for t in trades]
    closed = [c for update in updates for c in update.candles if c.closed and c.interval == "1m"]
    rows = await stored.read_candles(database_url)
    assert len(closed) == 3
    for candle in closed:
        row = rows[candle.symbol, candle.interval, candle.open_time_us // 1_000_000]
        assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == row[:5]
    last_open = [c for update in updates for c in update.candles if not c.closed and c.interval == "1m"][-1]
    assert last_open.trade_count == rows["AAAUSDT", "1m", last_open.open_time_us // 1_000_000][6]


async def test_trades_are_published_once_though_an_owner_ends_before_it_has_caught_up(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner before it had published more than it had committed."""
    ended: list[str] = []
    publish_and_read = PartitionStreams.publish_and_read

    async def end_early(self: Any, update: Any, published: str, **options: Any) -> Any:
        entries = await publish_and_read(self, update, published, **options)
        if update is not None and not ended:
            ended.append(published)
            raise LeaseLostError("this owner ends")
        return entries

    monkeypatch.setattr(PartitionStreams, "publish_and_read", end_early)
    monkeypatch.setattr("workers.partition._READ_ENTRIES", 1)
    partition = partition_of("binance", "AAAUSDT", PARTITIONS)
    redis: Any = open_redis(redis_url)
    async with publishing(redis_url) as publisher:
        for number in (1, 2, 3):
            await publisher.publish([trade(number, at_us=START_US + number)])
        ((last, _),) = await redis.xrevrange(trades_stream(partition), count=1)
        await redis.hset(owner_key(CANDLES_ROLE, partition), "published", last)
        await redis.xadd(live_stream(partition), {wire.UPDATE: wire.encode_update(wire.LiveUpdate())})
        async with working(redis_url, database_url):
            await publisher.publish([trade(4, at_us=START_US + 4)])

            async def done() -> bool:
                return await stored_count(database_url) == 4

            await until(done, "all trades stored")
    await redis.aclose()
    assert ended
    updates = await read_live(redis_url, "AAAUSDT")
    assert [
        t.trade_id for update in updates for entry in update.entries for t in decode_trades(entry.trades)
    ] == [4]


async def test_garbage_in_a_stream_becomes_dead_letters_and_the_rest_is_stored(
    redis_url: str, database_url: str
) -> None:
    stream = trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS))
    bad_batches = [
        b"\xff\x00 no messagepack",
        wire.encode_trades([trade(5, at_us=START_US, price="1.2.3")]),
        wire.encode_trades([trade(5, at_us=START_US, price="NaN")]),
        wire.encode_trades([trade(5, at_us=START_US, price="1\n")]),
        wire.encode_trades([trade(-5, at_us=START_US)]),
        wire.encode_trades([trade(5, at_us=-(2**62))]),
        wire.encode_trades([trade(5, at_us=START_US, symbol="A\tB")]),
        wire.encode_trades([trade(5, at_us=START_US, size="9" * 41)]),
    ]
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        redis: Any = open_redis(redis_url)
        await publisher.publish([trade(1, at_us=START_US)])
        for payload in bad_batches:
            await redis.xadd(stream, {wire.TRADES: payload})
        await redis.xadd(stream, {"what": "is this"})
        await redis.xadd(stream, {wire.CLOCK: b"no clock"})
        await publisher.publish([trade(2, at_us=START_US + 1)])

        async def done() -> bool:
            return await stored_count(database_url) == 2

        await until(done, "the good trades stored")
        letters = await redis.xrange(DEAD_LETTERS)
        assert len(letters) == len(bad_batches) + 2
        assert all(fields[b"reason"] for _, fields in letters)
        await redis.aclose()


async def test_streams_are_trimmed_by_what_is_committed(redis_url: str, database_url: str) -> None:
    async with publishing(redis_url) as publisher, working(redis_url, database_url, stream_keep_s=0):
        redis: Any = open_redis(redis_url)
        for i in range(1, 1_000):
            await publisher.publish([trade(i, at_us=START_US + i)])
        stream = trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS))

        async def trimmed() -> bool:
            return await redis.xlen(stream) < 300 and await stored_count(database_url) == 999

        await until(trimmed, "all stored, stream trimmed")
        await redis.aclose()


async def test_gaps_are_rows_with_their_state_cause_and_reason(redis_url: str, database_url: str) -> None:
    trades = [trade(i, at_us=START_US + i * 1_000_000) for i in range(1, 200)]
    lost = {*range(50, 60), 100, 150, 151}
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        redis: Any = open_redis(redis_url)
        await publisher.publish([t for t in trades if t.trade_id not in lost])

        async def gaps() -> list[tuple[object, ...]]:
            return await stored.read_gaps(database_url)

        async def opened() -> bool:
            return len(await gaps()) == 3

        await until(opened, "three gaps")
        assert await gaps() == [
            (50, 59, "open", "ours", None),
            (100, 100, "open", "ours", None),
            (150, 151, "open", "ours", None),
        ]

        async def told() -> list[Gap]:  # of what is committed, soon after
            return wire.decode_gaps(await redis.hget(GAPS, "binance:AAAUSDT") or b"\x90")

        async def all_told() -> bool:
            return [(gap.first_id, gap.last_id, gap.missing) for gap in await told()] == [
                (50, 59, 10),
                (100, 100, 1),
                (150, 151, 2),
            ]

        await until(all_told, "ingest knows of the gaps")

        await publisher.publish_verdict(
            wire.Verdict("binance", "AAAUSDT", 150, 151, "unrecoverable", "the venue answers 404")
        )
        await publisher.publish_verdict(wire.Verdict("binance", "AAAUSDT", 100, 100, "void"))
        await publisher.publish([trades[i - 1] for i in range(50, 60)])

        async def settled() -> bool:
            return [row[2] for row in await gaps()] == ["healed", "healed", "unrecoverable"]

        await until(settled, "gaps settled")
        assert [row[3:] for row in await gaps()] == [
            ("ours", None),
            ("venue", None),
            ("ours", "the venue answers 404"),
        ]

        async def one_told() -> bool:
            found = [(gap.first_id, gap.missing, gap.state) for gap in await told()]
            return found == [(150, 2, "unrecoverable")]

        await until(one_told, "ingest knows which gap is left")
        # Complete again but for the minute in which trades are missing for good.
        flags = await stored.read_flags(database_url, "AAAUSDT")
        assert [complete for _, _, complete, _ in flags] == [False, True, False, False]

        async def all_live() -> bool:
            live = [gap for update in await read_live(redis_url, "AAAUSDT") for gap in update.gaps]
            return {(gap.first_id, gap.state) for gap in live} >= {
                (50, "open"),
                (50, "healed"),
                (150, "unrecoverable"),
            }

        await until(all_live, "clients know of each state")
        await redis.aclose()


async def test_a_verdict_on_a_part_of_a_gap_changes_that_part_only(redis_url: str, database_url: str) -> None:
    trades = [trade(i, at_us=START_US + i * 1_000_000) for i in range(1, 200)]
    lost = range(50, 60)
    async with publishing(redis_url) as publisher, working(redis_url, database_url):

        async def verdict(first: int, last: int, kind: wire.VerdictKind, reason: str | None = None) -> None:
            await publisher.publish_verdict(wire.Verdict("binance", "AAAUSDT", first, last, kind, reason))

        await publisher.publish([t for t in trades if t.trade_id not in lost])
        await verdict(50, 59, "backfilling")

        async def backfilling() -> bool:
            return await stored.read_gaps(database_url) == [(50, 59, "backfilling", "ours", None)]

        await until(backfilling, "one gap")
        await verdict(50, 51, "unrecoverable", "too old")
        await verdict(55, 56, "void")
        await verdict(58, 70, "unrecoverable", "refused")
        rows = [
            (50, 51, "unrecoverable", "ours", "too old"),
            (52, 54, "backfilling", "ours", None),
            (55, 56, "healed", "venue", None),
            (57, 57, "backfilling", "ours", None),
            (58, 59, "unrecoverable", "ours", "refused"),
        ]

        async def split() -> bool:
            return await stored.read_gaps(database_url) == rows

        await until(split, "parts of the gap with states of their own")
        await publisher.publish([trades[i - 1] for i in (52, 54, 57, 59)])
        await verdict(50, 51, "unrecoverable", "too old")  # nothing new
        await verdict(58, 58, "void")
        rows[3] = (57, 57, "healed", "ours", None)
        rows[4:] = [(58, 58, "healed", "venue", "refused"), (59, 59, "healed", "ours", "refused")]

        async def settled() -> bool:
            return await stored.read_gaps(database_url) == rows

        await until(settled, "parts healed")
        redis: Any = open_redis(redis_url)

        async def published() -> bool:
            gaps = wire.decode_gaps(await redis.hget(GAPS, "binance:AAAUSDT") or b"")
            return [(gap.first_id, gap.last_id, gap.missing, gap.state) for gap in gaps] == [
                (50, 51, 2, "unrecoverable"),
                (52, 54, 1, "backfilling"),
            ]

        await until(published, "ingest knows")
        await redis.aclose()


async def test_trades_without_venue_ids_are_all_stored_and_prove_no_completeness(
    redis_url: str, database_url: str
) -> None:
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        same = [trade(i, at_us=START_US + 7) for i in (10, 20, 30)]  # identical but for our own numbers
        await publisher.publish(same, numbered=False)
        await publisher.publish(same[1:], numbered=False)  # a repeated write
        await publisher.publish([trade(40, at_us=START_US + MINUTE_US)], numbered=False)

        async def done() -> bool:
            return await stored_count(database_url) == 4

        await until(done, "all trades stored")
    assert await stored.read_flags(database_url, "AAAUSDT") == [
        (START_US // 1_000_000, True, None, 0),
        ((START_US + MINUTE_US) // 1_000_000, False, False, 0),
    ]
    assert await stored.read_gaps(database_url) == []


async def test_one_bad_trade_of_an_entry_is_a_dead_letter_and_its_neighbours_are_stored(
    redis_url: str, database_url: str
) -> None:
    bad = [trade(3, at_us=START_US + 3, price="0"), trade(10**15, at_us=START_US + 4)]
    bad += [trade(5, at_us=START_US + 5, size="1e3"), trade(6, at_us=10**6)]
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        redis: Any = open_redis(redis_url)
        good = [trade(i, at_us=START_US + i) for i in range(1, 60) if i not in (3, 5, 6)]
        await publisher.publish([*good[:2], *bad, *good[2:]])

        async def done() -> bool:
            return await stored_count(database_url) == len(good)

        await until(done, "the good trades stored")
        letters = [fields for _, fields in await redis.xrange(DEAD_LETTERS)]
        kept = [decode_trades(fields[b"payload.t"])[0] for fields in letters]
        assert sorted(kept, key=lambda trade: trade.event_time_us) == sorted(
            bad, key=lambda trade: trade.event_time_us
        )
        assert all(fields[b"reason"] for fields in letters)
        ledger = await stored.fetch_rows(database_url, "select missing::text, void::text from ledger")
        assert [tuple(row) for row in ledger] == [("{[5,7)}", "{[3,4)}")]
        await redis.aclose()


async def test_a_known_id_with_another_content_is_found_by_what_is_stored(
    redis_url: str, database_url: str
) -> None:
    trades = [trade(i, at_us=START_US + i * 1_000_000) for i in range(1, 41)]
    async with publishing(redis_url) as publisher:
        async with working(redis_url, database_url):
            await publisher.publish(trades)

            async def done() -> bool:
                return await stored_count(database_url) == len(trades)

            await until(done, "all stored")
        async with working(redis_url, database_url):  # remembers nothing
            redis: Any = open_redis(redis_url)
            await publisher.publish(trades)
            await publisher.publish([replace(trade, price="11") for trade in trades])

            async def published() -> bool:
                return len(await redis.xrange(DEAD_LETTERS)) == len(trades)

            await until(published, "contradictions are dead letters")
            await redis.aclose()
    prices = await stored.fetch_rows(database_url, "select distinct price from trades")
    assert [row[0] for row in prices] == [Decimal("10.5")]


async def test_suspects_outlive_their_worker(redis_url: str, database_url: str) -> None:
    beyond = [trade(8_000 + i, at_us=START_US + 10 + i) for i in range(5)]
    async with publishing(redis_url) as publisher:
        for batch in ([trade(1, at_us=START_US)], beyond[:2], beyond[2:4], beyond[4:]):
            async with working(redis_url, database_url):  # commits what it has read when it ends
                await publisher.publish(batch)

                async def read() -> bool:
                    return await lag(redis_url) == 0

                await until(read, "read")
            redis: Any = open_redis(redis_url)
            asked = wire.decode_gaps(await redis.hget(GAPS, "binance:AAAUSDT") or b"\x90")
            await redis.aclose()
            states = {1: [], 2: ["suspected"]}[len(batch)] if batch[0].trade_id < 8_004 else ["open"]
            assert [gap.state for gap in asked] == states
    assert await stored_count(database_url) == 6
    assert await stored.fetch_value(database_url, "select missing::text from ledger") == "{[2,8000)}"


async def lag(redis_url: str) -> int:
    redis: Any = open_redis(redis_url)
    groups = await redis.xinfo_groups(trades_stream(partition_of("binance", "AAAUSDT", PARTITIONS)))
    await redis.aclose()
    return int(groups[0]["lag"]) if groups and groups[0]["lag"] is not None else 1
