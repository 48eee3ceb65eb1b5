"""Crashes at any place change nothing: who begins anew from what was stored, ever again, stores the same."""

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from random import Random
from typing import Any, Final

import asyncpg
import msgspec
import pytest
from alerting import alert
from conftest import on_one_variant
from msgspec.structs import replace
from working import MINUTE_US, START_US

from db.candle_rows import read_open_candles
from db.commit import commit
from db.leases import take_lease
from db.ledger import read_ledger
from db.pool import open_pool
from tickplant import wire
from tickplant.averages import AverageSpec, AverageSpecs
from tickplant.bot import Rules
from tickplant.derived import AlertChange, BotSwitch
from tickplant.errors import PoisonError
from tickplant.intervals import SECOND_US
from tickplant.market import Trade
from tickplant.streams import CANDLES_ROLE
from workers.loading import RoleSettings, load_admissions, load_roles
from workers.partition_state import Fields, PartitionState
from workers.roles.events import Closed
from workers.strategies import NEITHER, Opinion, Strategy
from workers.strategies.dip import Dip

SYMBOLS = ("AAAUSDT", "BBBUSDT", "OWN")
UNNUMBERED = "OWN"
SEEDS: Final = (1, 2, 6, 7, 32, 61, 109)


class Seen(Strategy):
    """Keeps a checksum of everything it receives, and returns an opinion periodically."""

    name = "seen"
    trades = True
    intervals = ("1m", "5m", "1h", "1w")
    averages = ("sma_2", "ema_3")
    statistics = True
    cooldown_s = 5

    checksum: int = 0
    said: int = 0

    def trade(self, trade: Trade) -> Opinion:
        return self._see((trade.trade_id, trade.price, trade.size, trade.event_time_us))

    def closed(self, closed: Closed) -> Opinion:
        return self._see(msgspec.msgpack.encode(closed))

    def _see(self, told: object) -> Opinion:
        self.checksum = int.from_bytes(sha256(repr((self.checksum, told)).encode()).digest()[:6])
        turn = self.checksum % 7
        return Opinion("buy") if turn == 0 else Opinion("sell") if turn == 1 else NEITHER


ROLES = RoleSettings(
    averages=AverageSpecs((AverageSpec("sma", 2), AverageSpec("ema", 3)), ("1m", "5m", "1h"), returns=4),
    strategies=(Seen, Dip),
    alerts=True,
    bot=Rules(strategies=("seen", "dip")),
    gap_wait_ms=10_000,
)


class Market:
    """Entries as ingest might write them: gaps that heal soon, late or never, disorder, clocks, changes."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        # Near the begin of a week at times, when candles of all intervals close.
        self.now_us = rng.choice([START_US, 1_700_438_400_000_000 - 3 * MINUTE_US])
        self.begun_us = self.now_us - 2 * 3600 * SECOND_US
        self.ids = dict.fromkeys(SYMBOLS, 100)
        self.first = 101
        self.prices = dict.fromkeys(SYMBOLS, 1000)
        self.missing: list[tuple[int, Trade]] = []
        self.sequence = 0
        self.alerts: dict[str, Any] = {}
        self.switch = 0

    def entries(self, count: int) -> Iterator[tuple[str, Fields]]:
        rng = self.rng
        for _ in range(count):
            self.now_us += rng.choice([0, 1000, 200_000, 3 * SECOND_US, 11 * SECOND_US, 45 * SECOND_US])
            self.sequence += 1
            kinds = (self.trades, self.late, self.clock, self.verdict, self.change, self.past, self.wrong)
            (kind,) = rng.choices(kinds, (8, 4, 4, 1, 1, 0.5, 1))
            fields = kind()
            if fields:
                yield f"{self.now_us // 1000}-{self.sequence}", fields
        for _ in range(4):  # whoever waits does so no longer
            self.now_us += 4 * SECOND_US
            clock = wire.Clock("binance", SYMBOLS, self.now_us)
            yield f"{self.now_us // 1000}-0", {wire.CLOCK: wire.encode_clock(clock)}

    def trades(self) -> Fields:
        rng = self.rng
        batch = []
        symbols = rng.choice([SYMBOLS[:1], SYMBOLS[:1], SYMBOLS[:2], SYMBOLS[2:]])
        for _ in range(rng.choice([1, 1, 2, 8])):
            symbol = rng.choice(symbols)
            made = self.trade(symbol)
            if symbol != UNNUMBERED and rng.random() < 0.12:
                due_us = self.now_us + rng.choice([1, 5, 9, 12, 60, 10**6]) * SECOND_US
                self.missing.append((due_us, made))
            else:
                batch.append(made)
        if rng.random() < 0.1:
            rng.shuffle(batch)
        return self.batch(batch)

    def trade(self, symbol: str) -> Trade:
        rng = self.rng
        self.ids[symbol] += rng.choice([1, 5]) if symbol == UNNUMBERED else 1
        self.now_us += rng.choice([0, 1000, 400_000])
        self.prices[symbol] = max(500, self.prices[symbol] + rng.choice([-25, -3, -1, 0, 1, 3, 22]))
        event_us = self.now_us - rng.choice([0, 0, 0, 0, 900_000])
        price, size = f"{self.prices[symbol]}.{rng.randrange(10)}0", str(rng.randrange(1, 9))
        return Trade("binance", symbol, self.ids[symbol], price, size, "buy", event_us, self.now_us)

    def batch(self, trades: list[Trade]) -> Fields:
        if not trades:
            return {}
        field = wire.UNNUMBERED if trades[0].symbol == UNNUMBERED else wire.TRADES
        return {field: wire.encode_trades(trades)}

    def late(self) -> Fields:
        due = [delayed for delayed in self.missing if delayed[0] <= self.now_us]
        self.missing = [delayed for delayed in self.missing if delayed[0] > self.now_us]
        if due and self.rng.random() < 0.3:
            self.missing.append(due.pop())
        return self.batch([made for _, made in due])

    def clock(self) -> Fields:
        symbols = self.rng.choice([SYMBOLS, SYMBOLS[:1], SYMBOLS[1:]])
        time_us = self.now_us + self.rng.choice([-2_000_000, -500_000, 0])
        return {wire.CLOCK: wire.encode_clock(wire.Clock("binance", symbols, time_us))}

    def verdict(self) -> Fields:
        if not self.missing:
            return {}
        _, made = self.rng.choice(self.missing)
        kind: wire.VerdictKind = self.rng.choice(["void", "unrecoverable", "backfilling"])
        if kind == "void" and self.rng.random() < 0.8:
            self.missing = [delayed for delayed in self.missing if delayed[1] is not made]
        verdict = wire.Verdict("binance", made.symbol, made.trade_id, made.trade_id, kind, None)
        return {wire.VERDICT: wire.encode_verdict(verdict)}

    def past(self) -> Fields:
        """What history has before the first trade, so that it opens no gaps."""
        if self.ids["AAAUSDT"] < 101 or self.first < 10:
            return {}
        self.first -= 5
        trades = [
            Trade(
                "binance",
                "AAAUSDT",
                trade_id,
                "777.5",
                "1",
                None,
                self.begun_us + trade_id * 20 * SECOND_US,
                self.now_us,
            )
            for trade_id in range(self.first, self.first + 5)
        ]
        return {wire.HISTORICAL: wire.encode_trades(trades)}

    def wrong(self) -> Fields:
        """Trades that can't be true, or only together: wild ids and times, no price, ids that begin anew."""
        rng = self.rng
        symbol = rng.choice(SYMBOLS)
        batch = [self.trade(symbol) for _ in range(rng.choice([1, 2, 8]))]
        kind = rng.choice(["id", "time", "zero", "jump", "anew", "price", "price"])
        place = rng.randrange(len(batch))
        if kind == "id":
            batch.insert(place, replace(batch[place], trade_id=rng.choice([10**6, 10**7, 9 * 10**18])))
        elif kind == "time":
            ahead_us = rng.choice([10 * MINUTE_US, 10**12, 10**14])
            batch[place] = replace(batch[place], event_time_us=self.now_us + ahead_us)
        elif kind == "zero":
            batch[place] = replace(batch[place], **{rng.choice(["price", "size"]): "0.00"})
        elif kind == "price":
            price = rng.choice(["1000000.5", "0.25"])
            for at in range(place, min(len(batch), place + rng.choice([1, 1, 1, 2]))):
                batch[at] = replace(batch[at], price=price)
        elif symbol != UNNUMBERED:
            self.missing = [delayed for delayed in self.missing if delayed[1].symbol != symbol]
            self.ids[symbol] = 0 if kind == "anew" else self.ids[symbol] + 100_000
            batch = [self.trade(symbol) for _ in batch]
        return self.batch(batch)

    def change(self) -> Fields:
        rng = self.rng
        if rng.random() < 0.2:
            self.switch += 1
            return {wire.CHANGE: wire.encode_change(BotSwitch(rng.random() < 0.7, self.switch))}
        alert_id = str(rng.randrange(8))
        symbol = rng.choice(SYMBOLS)
        known = self.alerts.get(alert_id)
        version = known.version + 1 if known else 1
        kind = rng.choice(["above", "crosses_below", "percent_change", "silence", "gap", "gap"])
        fields: dict[str, Any] = {"repeat": True, "cooldown_s": rng.choice([0, 0, 30]), "begun": version}
        if kind == "percent_change":
            fields |= {"percent": rng.choice(["1", "-1"]), "window_s": rng.choice([60, 300])}
        elif kind == "silence":
            fields |= {"silence_s": rng.choice([3, 20, 70])}
        elif kind != "gap":
            fields |= {"price": str(self.prices[symbol] + rng.choice([-5, 5])), "hysteresis": "0.001"}
        if known:
            symbol = known.symbol
        made = alert(
            alert_id, kind, symbol=symbol, version=version, webhook_url="https://example.com/x", **fields
        )
        self.alerts[alert_id] = made
        return {wire.CHANGE: wire.encode_change(AlertChange(made, deleted=rng.random() < 0.1))}


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database_url, size=1, application="test") as opened:
        yield opened


@on_one_variant
async def test_crashes_change_nothing_of_what_is_stored(pool: asyncpg.Pool) -> None:
    for seed in SEEDS:
        entries = list(Market(Random(seed)).entries(150))
        await play(pool, entries, Random(seed), crashes=0)
        expected = await read_all(pool)
        await play(pool, entries, Random(seed), crashes=0.2)
        found = await read_all(pool)
        for table, rows in expected.items():
            lost = [row for row in rows if row not in found[table]]
            made = [row for row in found[table] if row not in rows]
            assert (lost, made) == ([], []), f"seed {seed}, {table}"
        assert expected["averages"], seed
        assert expected["signals"], seed


async def play(pool: asyncpg.Pool, entries: list[tuple[str, Fields]], rng: Random, *, crashes: float) -> None:
    """Absorb entries into an empty database, with commits now and then, and crashes so often."""
    await pool.execute(f"delete from lease; {';'.join(f'delete from {table}' for table in WRITTEN)}")
    lease = await take_lease(pool, CANDLES_ROLE, 0, "test", 600)
    assert lease is not None
    state = await load(pool)
    committed, place, after = lease.entry_id, 0, 0
    commits = 0.35 if crashes else 0.05
    while place < len(entries):
        entry_id, fields = entries[place]
        place += 1
        try:
            state.absorb(entry_id, fields, published="0-0")
        except PoisonError:
            assert wire.VERDICT in fields
        if rng.random() < commits or place == len(entries):
            batch = state.take_batch()
            await commit(pool, lease, committed, batch)
            committed, after = batch.entry_id, place
            assert not state.take_failures()
        if rng.random() < crashes and place < len(entries):
            state, place = await load(pool), after


async def load(pool: asyncpg.Pool) -> PartitionState:
    ledger = await read_ledger(pool, 0)
    candles = await read_open_candles(pool, 0)
    roles = await load_roles(pool, 0, ROLES, ledger, candles)
    return PartitionState(0, 1, ledger, candles, roles, await load_admissions(pool, 0))


TABLES = {
    "trades": "*",
    "candles": 'venue, symbol, "interval", open_time, open, high, low, close, volume, quote_volume,'
    " trade_count, first_event_time, first_trade_id, last_event_time, last_trade_id, revision, closed,"
    " taker_buy_volume, taker_buy_quote_volume",
    "ledger": "symbol, first_trade_id, last_trade_id, missing, void",
    "waiting": "*",
    "suspects": "*",
    "outliers": "symbol, trade_id, price, last_price, confirmed",
    "series": "venue, symbol, first_trade_id, id_offset, first_event_time",
    "averages": "*",
    "statistics": "*",
    "strategy_state": "*",
    "signals": 'symbol, strategy, number, event_time, trade_id, price, side, strength, "values"',
    "alert_state": "alert_id, version, definition, deleted, armed, done, number, fired_at",
    "firings": "alert_id, number, event_time, trade_id, price, value, threshold",
    "webhooks": "alert_id, number, url",
    "bot_accounts": "*",
    "bot_orders": "*",
    "bot_fills": "*",
    "bot_equity": "*",
    "bot_switched": "*",
}
WRITTEN = [*TABLES.keys() - {"candles"}, "closed_candles", "open_candle_rows"]
"""The same, with the tables behind the view `candles`."""


async def read_all(pool: asyncpg.Pool) -> dict[str, list[Any]]:
    found = {}
    for table, what in TABLES.items():
        rows = await pool.fetch(f"select {what} from {table}")
        found[table] = sorted((tuple(row) for row in rows), key=repr)
    return found
