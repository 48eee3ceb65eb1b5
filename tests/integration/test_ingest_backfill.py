"""Gaps and a venue's history, asked over real HTTP, whatever it gives or doesn't give."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from conftest import PARTITIONS
from msgspec.structs import replace
from working import publishing, until

from ingest.history.backfill import Backfill
from ingest.history.client import VenueHistory
from ingest.history.gap_fetch import PATIENCE_S
from ingest.history.page import UnavailableCause
from ingest.rate_limits import RateLimit
from ingest.venues import make_adapter
from ingest.venues.base_rest import HistoryAdapter, MissingRange
from sandbox.audience import SandboxAudience
from sandbox.faults import RETRY_AFTERS, Fault, FaultPlan
from sandbox.history import SandboxHistory, TapeColumns
from sandbox.server import SandboxOptions, serve
from sandbox.source import SourceStatus, SymbolTape
from sandbox.venue import SandboxVenue
from sandbox.venues import VENUES
from tickplant import market, wire
from tickplant.clock import now_us
from tickplant.kernel import decode_trades
from tickplant.market import SymbolId, Trade
from tickplant.redis_client import open_redis
from tickplant.streams import DEAD_LETTERS, gaps_key, partition_of, prices_key, trades_stream

SYMBOLS = {"binance": "AAAUSDT", "coinbase": "AAA-USD", "kraken": "AAA/USD"}
_CALLS = 10
"""After so many looks at the clock it has been seen to all that is due."""
LAST_US = now_us() - 10_000_000


def time_us(trade_id: int) -> int:
    """Return when a trade happened: the last one, 5000, ten seconds ago, the others a millisecond apart."""
    return LAST_US - (5_000 - trade_id) * 1_000


class PastOnly:
    """A venue whose trades have all happened."""

    def __init__(self, venue: SandboxVenue, symbol: SymbolId, ids: Collection[int]) -> None:
        self.venue = venue
        self.provenance = "synthetic"
        self.symbols = [symbol]
        history = TapeColumns(symbol, self._read)
        for trade_id in sorted(ids):
            history.append(trade_id, time_us(trade_id), "10.5", "buy")
        self._history = history

    def now_us(self) -> int:
        return now_us()

    def status(self) -> SourceStatus:
        return SourceStatus("finished", 0, 0, {})

    def tape(self) -> dict[str, SymbolTape]:
        return {}

    def history(self, symbol: SymbolId) -> SandboxHistory:
        return SandboxHistory(self._history, len(self._history))

    async def run(self, audience: SandboxAudience) -> None:
        await asyncio.Event().wait()

    def _read(self, index: int) -> Trade:
        at_us = self._history.times_us[index]
        return Trade(*self._history.symbol, self._history.ids[index], "10.5", "1", "buy", at_us, at_us)


class Busy(PastOnly):
    """A venue that trades more often than it is asked."""

    requests = 0

    def history(self, symbol: SymbolId) -> SandboxHistory:
        self.requests += 1
        self._history.append(self._history.ids[-1] + 1, now_us(), "10.5", "buy")
        return super().history(symbol)


class CountedPast(PastOnly):
    """Counts requests."""

    requests = 0

    def history(self, symbol: SymbolId) -> SandboxHistory:
        CountedPast.requests += 1
        return super().history(symbol)


class Clock:
    """A clock that the test advances."""

    now_s = 0.0
    calls = 0

    def __call__(self) -> float:
        self.calls += 1
        return self.now_s


class Healing:
    """A backfill at work on one gap, with a clock of its own."""

    def __init__(self, redis: Any, symbol: SymbolId, backfill: Backfill, clock: Clock) -> None:
        self.redis = redis
        self.symbol = symbol
        self.backfill = backfill
        self.clock = clock
        partition = partition_of(*symbol, PARTITIONS)
        self._stream = trades_stream(partition)
        self.gaps_key = gaps_key(partition)

    async def stored(self) -> list[int]:
        entries = [fields.get(wire.TRADES) for _, fields in await self.redis.xrange(self._stream)]
        trades = [trade for entry in entries if entry for trade in decode_trades(entry)]
        return sorted({trade.trade_id for trade in trades})

    async def verdicts(self) -> list[tuple[str, int, int]]:
        entries = [fields.get(wire.VERDICT) for _, fields in await self.redis.xrange(self._stream)]
        found = [wire.decode_verdict(entry) for entry in entries if entry]
        return [(row.verdict, row.first_id, row.last_id) for row in found if row.verdict != "backfilling"]

    def gap(self, first: int, last: int) -> market.Gap:
        at_us = time_us(first - 1)
        return market.Gap(*self.symbol, first, last, at_us, at_us, "open", "ours", None, last - first + 1)

    async def dead_letters(self) -> list[str]:
        return [fields[b"reason"].decode() for _, fields in await self.redis.xrange(DEAD_LETTERS)]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass a little at a time, as looks become due; return when the last has been taken."""
        step_s = 0.5 if seconds < 30 else seconds / 60
        until_s = self.clock.now_s + seconds
        while self.clock.now_s < until_s:
            self.clock.now_s = min(until_s, self.clock.now_s + step_s)
            await self._idle()

    async def _idle(self) -> None:
        before = self.clock.calls

        async def idle() -> bool:
            return self.clock.calls >= before + _CALLS and not self.backfill.busy

        await until(idle, "the looks that were due are over")


@asynccontextmanager
async def healing(
    redis_url: str,
    name: str,
    ids: Collection[int],
    gap: tuple[int, int],
    *,
    after_us: int | None = None,
    faults: dict[Fault, float] | None = None,
    seed: int = 1,
    last_id: int = 5_000,
    missing: int | None = None,
    make_past: type[PastOnly] = PastOnly,
) -> AsyncIterator[Healing]:
    symbol = SymbolId(name, SYMBOLS[name])
    redis: Any = open_redis(redis_url)
    first, last = gap
    at_us = time_us(first - 1) if after_us is None else after_us
    count = last - first + 1 if missing is None else missing
    known = market.Gap(*symbol, first, last, at_us, at_us, "open", "ours", None, count)
    await redis.hset(gaps_key(partition_of(*symbol, PARTITIONS)), str(symbol), wire.encode_gaps([known]))
    newest = Trade(*symbol, last_id, "10.5", "1", "buy", time_us(last_id), time_us(last_id))
    await redis.hset(prices_key(partition_of(*symbol, PARTITIONS)), str(symbol), wire.encode_trade(newest))
    limits = {name: replace(VENUES[name].limits, requests=10**6)}
    options = SandboxOptions(plan=FaultPlan(seed, faults) if faults else None, limits=limits)
    source: Any = make_past(VENUES[name], symbol, ids)
    async with (
        serve([source], options=options) as running,
        httpx.AsyncClient() as client,
        publishing(redis_url) as publisher,
    ):
        rate = RateLimit(redis, venue=name, what="requests", per_s=10_000, burst=1_000, bannable=True)
        url = running.addresses[name].rest_url
        write_dead_letter = publisher.write_dead_letter
        venue, clock = make_adapter(name), Clock()
        assert isinstance(venue, HistoryAdapter)
        history = VenueHistory(
            venue, base_url=url, client=client, rate=rate, write_dead_letter=write_dead_letter
        )
        backfill = Backfill(
            name=f"{name}/test/history",
            venue=venue,
            symbols=[symbol.symbol],
            history=history,
            publisher=publisher,
            clock_s=clock,
            poll_s=0.005,
        )
        case = Healing(redis, symbol, backfill, clock)
        stop = asyncio.Event()
        task = asyncio.create_task(backfill.run(stop))
        try:
            yield case
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)
            await redis.aclose()


ALL = range(1, 5_001)
each_venue = pytest.mark.parametrize("name", SYMBOLS)


@each_venue
async def test_a_gap_of_several_pages_is_fetched_whole_and_nothing_else(redis_url: str, name: str) -> None:
    async with healing(redis_url, name, ALL, (1_000, 3_499)) as case:
        await case.pass_time(1)
        assert await case.stored() == list(range(1_000, 3_500))
        assert await case.verdicts() == []


@each_venue
async def test_history_that_lags_is_asked_again_within_seconds(redis_url: str, name: str) -> None:
    async with healing(redis_url, name, range(1, 4_980), (4_985, 4_990)) as case:
        await case.pass_time(PATIENCE_S[UnavailableCause.LATE] - 100)
        assert await case.verdicts() == []
        await case.pass_time(200)
        assert await case.verdicts() == [("unrecoverable", 4_985, 4_990)]


@each_venue
async def test_lagging_requests_give_their_trades_in_the_end(redis_url: str, name: str) -> None:
    lagging = {Fault.HISTORY_LAGGING: 0.8}
    recent = (4_998, 4_999)
    async with healing(redis_url, name, ALL, recent, faults=lagging) as case:
        await case.pass_time(70)
        assert await case.stored() == [4_998, 4_999]
        assert await case.verdicts() == []


@each_venue
async def test_ids_that_stay_left_out_are_void_after_a_second_look(redis_url: str, name: str) -> None:
    ids = set(ALL) - {1_003, 1_004}
    async with healing(redis_url, name, ids, (1_000, 1_010)) as case:
        await case.pass_time(PATIENCE_S[UnavailableCause.OMITTED] - 1)
        assert await case.verdicts() == []
        await case.pass_time(5)
        assert await case.verdicts() == [("void", 1_003, 1_004)]


@each_venue
async def test_a_page_that_leaves_ids_out_once_makes_none_void(redis_url: str, name: str) -> None:
    async with healing(
        redis_url, name, ALL, (1_000, 1_010), faults={Fault.HISTORY_OMITTING: 0.5}, seed=4
    ) as case:
        await case.pass_time(5)
        assert await case.stored() == list(range(1_000, 1_011))
        assert await case.verdicts() == []


@each_venue
async def test_foreign_rows_never_reach_the_stream(redis_url: str, name: str) -> None:
    async with healing(
        redis_url, name, range(1, 1_006), (1_000, 1_004), faults={Fault.HISTORY_FOREIGN: 1}, last_id=1_005
    ) as case:
        await case.pass_time(20)
        assert await case.stored() == list(range(1_000, 1_005))
        assert await case.verdicts() == []
        assert any("far from the requested ones" in reason for reason in await case.dead_letters())


@each_venue
async def test_a_foreign_row_voids_no_gap_of_millions(redis_url: str, name: str) -> None:
    wild = 4_000_000
    async with healing(
        redis_url, name, range(1, 1_006), (1_000, wild - 1), faults={Fault.HISTORY_FOREIGN: 1}, last_id=wild
    ) as case:
        await case.pass_time(60)
        assert await case.stored() == list(range(1_000, 1_006))
        assert not [verdict for verdict in await case.verdicts() if verdict[0] == "void"]


@pytest.mark.parametrize("name", ["binance", "kraken"])
async def test_gaps_before_the_start_of_history_cost_few_requests_and_no_dead_letter(
    redis_url: str, name: str
) -> None:
    """They must not delay the gap that history can fill."""
    async with healing(redis_url, name, range(3_000, 5_001), (4_000, 4_004), make_past=CountedPast) as case:
        CountedPast.requests = 0
        gaps = [case.gap(first, first + 4) for first in (*range(10, 1_010, 10), 4_000)]
        await case.redis.hset(
            gaps_key(partition_of(*case.symbol, PARTITIONS)), str(case.symbol), wire.encode_gaps(gaps)
        )
        await case.pass_time(1)
        assert await case.stored() == list(range(4_000, 4_005))
        await case.pass_time(PATIENCE_S[UnavailableCause.EARLY] + 20)
        assert len([row for row in await case.verdicts() if row[0] == "unrecoverable"]) == 100
        assert await case.dead_letters() == []
        assert CountedPast.requests < 100


@each_venue
async def test_a_broken_row_costs_itself_alone(redis_url: str, name: str) -> None:
    async with healing(
        redis_url, name, ALL, (1_000, 1_100), faults={Fault.HISTORY_BROKEN: 1}, seed=2
    ) as case:
        await case.pass_time(0.5)
        assert len(await case.stored()) >= 100
        await case.pass_time(20)
        assert await case.stored() == list(range(1_000, 1_101))
        assert not [verdict for verdict in await case.verdicts() if verdict[0] == "void"]
        assert any("a trade" in reason for reason in await case.dead_letters())


@each_venue
async def test_pages_that_are_cut_are_asked_for_again(redis_url: str, name: str) -> None:
    async with healing(
        redis_url, name, ALL, (1_000, 1_100), faults={Fault.HISTORY_UNREADABLE: 0.3}, seed=3
    ) as case:
        await case.pass_time(30)
        assert await case.stored() == list(range(1_000, 1_101))


@each_venue
@pytest.mark.parametrize("after_us", [0, 1, 1_500_000_000_000_000])
async def test_a_gap_is_found_whatever_its_time(redis_url: str, name: str, after_us: int) -> None:
    async with healing(redis_url, name, ALL, (2_000, 2_002), after_us=after_us) as case:
        await case.pass_time(1)
        assert await case.stored() == [2_000, 2_001, 2_002]


@pytest.mark.parametrize("seed", range(len(RETRY_AFTERS)))
async def test_no_retry_after_ends_history_or_bans_for_longer_than_the_longest(
    redis_url: str, seed: int
) -> None:
    faults = {Fault.REST_RETRY_AFTER: 1.0}
    async with healing(redis_url, "coinbase", ALL, (1_000, 1_010), faults=faults, seed=seed) as case:

        async def banned() -> bool:
            return bool(0 < await case.redis.pttl("ban:coinbase") <= 600_000)

        await until(banned, "the ban is noted")
        assert await case.verdicts() == []


@each_venue
async def test_what_is_suspected_is_asked_for_twice_and_never_judged(redis_url: str, name: str) -> None:
    async with healing(redis_url, name, range(1, 4_980), (4_985, 4_990), missing=0) as case:
        await case.redis.delete(case.gaps_key)
        case.backfill.suspect(MissingRange(case.symbol.symbol, 4_970, 14_969, time_us(4_969)))
        await case.pass_time(20)
        assert await case.stored() == list(range(4_970, 4_980))
        assert await case.verdicts() == []


@each_venue
async def test_a_busy_symbol_is_not_followed_to_the_end_of_what_is_suspected(
    redis_url: str, name: str
) -> None:
    """The one id that is left out is known to be missing, and is not kept waiting."""
    ids = set(ALL) - {3_000}
    async with healing(redis_url, name, ids, (3_000, 3_000), make_past=Busy) as case:
        case.backfill.suspect(MissingRange(case.symbol.symbol, 5_001, 15_000, time_us(5_000)))
        await case.pass_time(20)
        stored = await case.stored()
        assert stored == list(range(5_001, 5_001 + len(stored)))
        assert 0 < len(stored) < 50
        assert await case.verdicts() == [("void", 3_000, 3_000)]


@each_venue
async def test_what_workers_suspect_is_fetched_and_never_judged(redis_url: str, name: str) -> None:
    """A wild id waits for others, and each live trade moves the start of the suspected gap."""
    wild = 9 * 10**18
    async with healing(redis_url, name, range(1, 4_980), (1, 2), missing=0, last_id=4_969) as case:
        for first in range(4_970, 4_975):
            at_us = time_us(first - 1)
            gap = market.Gap(
                *case.symbol, first, wild - 1, at_us, at_us, "suspected", "ours", None, wild - first
            )
            await case.redis.hset(
                gaps_key(partition_of(*case.symbol, PARTITIONS)), str(case.symbol), wire.encode_gaps([gap])
            )
            await case.pass_time(1)
        await case.pass_time(PATIENCE_S[UnavailableCause.LATE] + 100)
        assert await case.stored() == list(range(4_970, 4_980))
        assert [verdict for verdict in await case.verdicts() if verdict[2] > 2] == []
