"""A venue's past: found by time and read by id, at venues that are asked by id and at one asked by time."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.history.client import HistoryRefusedError
from ingest.history.fill import split_ranges
from ingest.history.page import PAGE_IDS, HistoryPage, TimeBounds, check_page
from ingest.history.ranges import IdRange, subtract_ranges
from ingest.history.search import HistorySearch
from ingest.venues import make_adapter
from ingest.venues.base import ParsedRows
from ingest.venues.base_rest import MissingRange
from tickplant.errors import FatalError
from tickplant.market import Trade

PAGE = 1000
VENUES = ("binance", "coinbase", "kraken")
FIRST_US = 1_700_000_000_000_000


class FakeHistory:
    """Answers as the venues do: from the trade before the gap on, up to an id, or from a time; and counts."""

    def __init__(self, trades: Sequence[Trade], venue: str) -> None:
        self._trades = trades
        self._venue = venue
        self.requests = 0

    async def read_page(self, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
        self.requests += 1
        return check_page(ParsedRows(self._answer(gap), ()), gap, bounds)

    def _answer(self, gap: MissingRange) -> tuple[Trade, ...]:
        if self._venue == "coinbase":
            before = max(0, gap.first_id - 1) + min(PAGE, gap.last_id - max(0, gap.first_id - 1) + 2)
            return tuple([trade for trade in self._trades if trade.trade_id < before][-PAGE:])
        if self._venue == "kraken":
            later = [trade for trade in self._trades if trade.event_time_us >= gap.after_time_us]
        else:
            later = [trade for trade in self._trades if trade.trade_id >= gap.first_id - 1]
        return tuple(later[:PAGE])


def make_trades(ids: Sequence[int], waits_us: Sequence[int]) -> list[Trade]:
    time_us, trades = FIRST_US, []
    for trade_id, wait_us in zip(ids, waits_us, strict=True):
        time_us += wait_us
        trades.append(Trade("binance", "X", trade_id, "1", "1", "buy", time_us, time_us))
    return trades


def make_past(trades: Sequence[Trade], venue: str, known: Sequence[Trade] = ()) -> HistorySearch:
    return HistorySearch(make_adapter(venue), "X", FakeHistory(trades, venue), known, reread_delay_s=0)  # type: ignore[arg-type]


@st.composite
def pasts(draw: st.DrawFn) -> list[Trade]:
    count = draw(st.sampled_from([1, 2, 50, 1_500, 3_000]))
    rng = draw(st.randoms(use_true_random=False))
    first = draw(st.sampled_from([0, 1, 7_000, 3_735_683_259]))
    ids, next_id = [], first
    for _ in range(count):
        ids.append(next_id)
        next_id += 1 if rng.random() > 0.002 else rng.choice([2, 30, 900])
    waits = [rng.choice([1, 5, 1_000, 1_000_000]) if rng.random() > 0.001 else 10**10 for _ in ids]
    return make_trades(ids, waits)


@pytest.mark.parametrize("venue", VENUES)
@given(trades=pasts(), data=st.data())
@settings(max_examples=40, deadline=None)
async def test_the_first_id_of_a_time_is_found(venue: str, trades: list[Trade], data: st.DataObject) -> None:
    time_us = data.draw(st.sampled_from(trades)).event_time_us + data.draw(st.sampled_from([-1, 0, 1]))
    known = data.draw(st.lists(st.sampled_from(trades), max_size=2))
    found = await make_past(trades, venue, known).find(time_us)
    after = [trade.trade_id for trade in trades if trade.event_time_us >= time_us]
    assert found == (after[0] if after else trades[-1].trade_id + 1)


@pytest.mark.parametrize("venue", VENUES)
@given(trades=pasts(), data=st.data())
@settings(max_examples=40, deadline=None)
async def test_all_trades_and_gaps_of_a_range_are_read(
    venue: str, trades: list[Trade], data: st.DataObject
) -> None:
    ids = [trade.trade_id for trade in trades]
    first, last = sorted(data.draw(st.tuples(st.sampled_from(ids), st.sampled_from(ids))))
    past = make_past(trades, venue, [trades[0], trades[-1]])
    fetched = await past.read(first, last)
    assert fetched.trades == [trade for trade in trades if first <= trade.trade_id <= last]
    within = [trade.trade_id for trade in fetched.trades]
    assert fetched.void == [(a + 1, b - 1) for a, b in pairwise(within) if b > a + 1]


async def test_a_moment_among_a_billion_trades_takes_few_requests() -> None:
    class Steady(FakeHistory):
        def _answer(self, gap: MissingRange) -> tuple[Trade, ...]:
            ids = range(max(0, gap.first_id - 1), min(gap.first_id - 1 + PAGE, 10**9))
            return tuple(make_trades([i], [i * 1_000])[0] for i in ids)

    history = Steady([], "binance")
    past = HistorySearch(make_adapter("binance"), "X", history)  # type: ignore[arg-type]
    assert await past.find(FIRST_US + 123_456_789_000 + 1) == 123_456_790
    assert history.requests < 20


async def test_a_refusal_and_an_empty_history_are_reported() -> None:
    class Refusing(FakeHistory):
        async def read_page(self, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
            raise HistoryRefusedError("Invalid symbol.")

    with pytest.raises(FatalError, match=r"binance:X: the venue refuses its history: Invalid symbol\."):
        await HistorySearch(make_adapter("binance"), "X", Refusing([], "binance")).find(1)  # type: ignore[arg-type]
    for venue in VENUES:
        with pytest.raises(FatalError, match="no trades"):
            await make_past([], venue).find(FIRST_US)


ranges = st.lists(st.integers(0, 60), unique=True, max_size=12).map(
    lambda edges: [(a, b - 1) for a, b in zip(*[iter(sorted(edges))] * 2, strict=False)]
)


@given(st.tuples(st.integers(0, 60), st.integers(0, 60)), ranges)
def test_what_is_held_is_subtracted(wanted: IdRange, held: list[IdRange]) -> None:
    left = {i for low, high in subtract_ranges(wanted, held) for i in range(low, high + 1)}
    assert left == set(range(wanted[0], wanted[1] + 1)) - {
        i for low, high in held for i in range(low, high + 1)
    }


def test_chunks_grow_away_from_what_is_stored() -> None:
    wanted = [(0, 2_500), (5_000, 5_100), (9_000, 10_999)]
    assert list(split_ranges(wanted, 8_999)) == [
        (9_000, 9_997, True),
        (9_998, 10_995, True),
        (10_996, 10_999, True),
        (5_000, 5_100, False),
        (1_503, 2_500, False),
        (505, 1_502, False),
        (0, 504, False),
    ]
    alone = list(split_ranges([(1, 3 * PAGE_IDS)], None))
    assert [rising for _, _, rising in alone] == [False] * 3
    assert alone[0][1] == 3 * PAGE_IDS
