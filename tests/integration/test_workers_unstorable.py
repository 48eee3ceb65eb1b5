"""What the database refuses for what it holds is kept aside, and stops nothing else."""

from typing import Any

import asyncpg
import offline
import pytest
import stored
from conftest import PARTITIONS, on_last_variant
from working import ALL_ROLES, START_US, payload, publishing, read_live, stored_count, trade, until, working

from tickplant import metrics, wire
from tickplant.kernel import decode_trades
from tickplant.market import Trade
from tickplant.redis_client import open_redis
from tickplant.streams import DEAD_LETTERS, partition_of

PARTITION = partition_of("binance", "AAAUSDT", PARTITIONS)
GOOD = [
    name
    for name in (f"{letter}{other}USDT" for letter in "BCDEFG" for other in "XYZWVU")
    if partition_of("binance", name, PARTITIONS) == PARTITION
][:4]
BAD = "AAAUSDT"
COUNT = 36

REFUSE_ALL = """
create function refuse() returns trigger language plpgsql as $$
begin
    if new.symbol = 'AAAUSDT' then raise exception 'not this one'; end if;
    return new;
end $$;
"""
REFUSE_CODE = REFUSE_ALL.replace("'not this one'", "'not this one' using errcode = 'U0001'")
TRIGGER = "create trigger refuse before insert or update on {} for each row execute function refuse()"
TOO_LARGE = """
create function long(symbol text) returns text immutable language sql as $$
    select string_agg(md5(i::text), '') from generate_series(1, 500) i where symbol = 'AAAUSDT'
$$;
create index too_large on ledger (long(symbol));
"""
DEFERRED = (
    "create constraint trigger refuse after insert or update on ledger deferrable initially deferred"
    " for each row execute function refuse()"
)


def trades_of(symbol: str, first: int = 1, last: int = COUNT) -> list[Trade]:
    return [
        trade(i, at_us=START_US + i * 5_000_000, price=f"{100 + i}", symbol=symbol)
        for i in range(first, last + 1)
    ]


def interleaved(symbols: list[str], first: int = 1, last: int = COUNT) -> list[Trade]:
    of_each = [trades_of(symbol, first, last) for symbol in symbols]
    return [each for group in zip(*of_each, strict=True) for each in group]


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


async def check_good(redis_url: str, url: str, symbols: list[str]) -> None:
    """Check that everything of some symbols is stored, exactly, and told, once."""
    expected = offline.candles(map(payload, interleaved(symbols)))
    candles = await stored.read_candles(url)
    assert {key: candle for key, candle in candles.items() if key[0] in symbols} == expected
    for symbol in symbols:
        query = (
            f"select (select isempty(missing) and first_trade_id = 1 and last_trade_id = {COUNT} from ledger"
        )
        assert await stored.fetch_value(url, f"{query} where symbol = '{symbol}')")
        ids = [
            each.trade_id
            for update in await read_live(redis_url, symbol)
            for entry in update.entries
            for each in decode_trades(entry.trades)
            if each.symbol == symbol
        ]
        assert sorted(ids) == list(range(1, COUNT + 1))
    numbers = "select count(*) = coalesce(max(number), 0) from signals where symbol = $1 and strategy = 'hop'"
    assert await stored.fetch_value(url, numbers, symbols[0])


async def refused_ids(redis_url: str) -> list[int]:
    redis: Any = open_redis(redis_url)
    letters = [fields for _, fields in await redis.xrange(DEAD_LETTERS)]
    await redis.aclose()
    ids = []
    for letter in letters:
        assert letter[b"reason"].startswith(b"not storable: ")
        for each in decode_trades(letter[b"payload." + wire.TRADES]):
            assert each.symbol == BAD
            ids.append(each.trade_id)
    return sorted(set(ids))


async def play(redis_url: str, database_url: str, trades: list[Trade], size: int) -> None:
    good = sum(trade.symbol != BAD for trade in trades)
    async with publishing(redis_url) as publisher, working(redis_url, database_url, roles=ALL_ROLES):
        for start in range(0, len(trades), size):
            await publisher.publish(trades[start : start + size])

        async def all_good_stored() -> bool:
            query = f"select count(*) from trades where symbol <> '{BAD}'"
            return bool(await stored.fetch_value(database_url, query) == good)

        await until(all_good_stored, "everything that can be stored")


IN_MANY_ENTRIES = [
    REFUSE_ALL + TRIGGER.format("trades"),
    REFUSE_ALL + TRIGGER.format("open_candle_rows"),
    REFUSE_CODE + TRIGGER.format("ledger"),
    REFUSE_ALL + DEFERRED,
    "alter table ledger add check (symbol <> 'AAAUSDT')",
    "alter table statistics add check (symbol <> 'AAAUSDT')",
    TOO_LARGE,
]
IN_ONE_ENTRY = IN_MANY_ENTRIES[:1] + IN_MANY_ENTRIES[3:4]
"""Refused while rows are written, and when the transaction commits."""


@on_last_variant
@pytest.mark.parametrize(
    ("statement", "size"),
    [*((statement, 7) for statement in IN_MANY_ENTRIES), *((statement, 1_000) for statement in IN_ONE_ENTRY)],
)
async def test_a_symbol_that_cannot_be_stored_stops_no_other(
    redis_url: str, database_url: str, statement: str, size: int
) -> None:
    await execute(database_url, statement)
    await play(redis_url, database_url, interleaved([*GOOD[:2], BAD, *GOOD[2:]]), size)
    await check_good(redis_url, database_url, GOOD)
    refused = await refused_ids(redis_url)
    rows = await stored.fetch_rows(database_url, f"select trade_id from trades where symbol = '{BAD}'")
    assert len(rows) < COUNT
    assert sorted([*refused, *[row[0] for row in rows]]) == list(range(1, COUNT + 1))


@on_last_variant
@pytest.mark.parametrize("size", [1_000, 7])
async def test_trades_that_cannot_be_stored_are_listed_as_unrecoverable(
    redis_url: str, database_url: str, size: int
) -> None:
    bad = [20, 21, 30]
    prices = ", ".join(f"{100 + i}" for i in bad)
    condition = f"check (symbol <> '{BAD}' or price not in ({prices}))"
    await execute(database_url, f"alter table trades add constraint refuse {condition}")
    await play(redis_url, database_url, interleaved([*GOOD[:2], BAD, *GOOD[2:]]), size)
    await check_good(redis_url, database_url, GOOD)
    assert await refused_ids(redis_url) == bad
    rows = await stored.fetch_rows(
        database_url, f"select trade_id from trades where symbol = '{BAD}' order by trade_id"
    )
    assert [row[0] for row in rows] == [i for i in range(1, COUNT + 1) if i not in bad]
    gaps = await stored.read_gaps(database_url)
    assert [i for first, last, *_ in gaps for i in range(first, last + 1)] == bad
    assert {row[2:4] for row in gaps} == {("unrecoverable", "ours")}
    # What was wrong is put right, and ingest asks history again.
    await execute(database_url, "alter table trades drop constraint refuse")
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.publish([trade for trade in trades_of(BAD) if trade.trade_id in bad])

        async def healed() -> bool:
            return await stored_count(database_url) == COUNT * (len(GOOD) + 1)

        await until(healed, "all stored")
    await check_good(redis_url, database_url, [*GOOD, BAD][:-1])
    assert {row[2] for row in await stored.read_gaps(database_url)} == {"healed"}


@on_last_variant
async def test_a_full_server_makes_no_dead_letters(redis_url: str, database_url: str) -> None:
    full = REFUSE_ALL.replace("'not this one'", "'no space left' using errcode = 'disk_full'")
    await execute(database_url, full + TRIGGER.format("trades"))
    trades = interleaved([*GOOD, BAD])
    async with publishing(redis_url) as publisher, working(redis_url, database_url):
        await publisher.publish(trades)
        failures = metrics.WORKER_COMMIT_FAILURES.labels("candles")
        before = failures._value.get()

        async def failed() -> bool:
            return bool(failures._value.get() > before)

        await until(failed, "a commit has failed")
        await execute(database_url, "drop trigger refuse on trades")

        async def all_stored() -> bool:
            return await stored_count(database_url) == len(trades)

        await until(all_stored, "all stored")
    assert await refused_ids(redis_url) == []
