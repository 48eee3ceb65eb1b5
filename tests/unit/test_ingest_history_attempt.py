"""An attempt at missing ids: which trades it publishes, and which ids are unavailable after it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ingest.history.attempt import FetchAttempt
from ingest.history.client import HistoryUnavailableError
from ingest.history.gap_fetch import GapFetch
from ingest.history.page import TimeBounds, UnavailableCause, UnavailableIds
from ingest.history.reader import HistoryPart
from ingest.venues.base_rest import MissingRange
from tickplant.clock import now_us
from tickplant.market import Trade

HOUR_US = 3_600_000_000


class FakeReader:
    """Yields parts of 10 trades; fails at an id, or starts with one."""

    def __init__(self, *, fails_at: int | None = None, starts_at: int = 0, trade_time_us: int = 1) -> None:
        self.requests = 0
        self._fails_at = fails_at
        self._starts_at = starts_at
        self._trade_time_us = trade_time_us

    async def read(self, first_id: int, last_id: int, bounds: TimeBounds) -> AsyncIterator[HistoryPart]:
        self.requests += 1
        if last_id < self._starts_at:
            ids = UnavailableIds(first_id, last_id, UnavailableCause.EARLY, "")
            yield HistoryPart(first_id, last_id, (), [ids], self._starts_at)
            return
        for low in range(first_id, last_id + 1, 10):
            if self._fails_at is not None and low >= self._fails_at:
                raise HistoryUnavailableError("status 503")
            high = min(low + 9, last_id)
            trades = [make_trade(trade_id, self._trade_time_us) for trade_id in range(low, high + 1)]
            yield HistoryPart(low, high, tuple(trades), [])


def make_trade(trade_id: int, time_us: int) -> Trade:
    return Trade("binance", "X", trade_id, "1", "1", "buy", time_us, time_us)


def make_attempt(
    reader: Any, published: list[int], *ids: tuple[int, int], suspected: bool = False
) -> FetchAttempt:
    async def publish(trades: Sequence[Trade]) -> None:
        published.extend(trade.trade_id for trade in trades)

    fetches = [GapFetch(MissingRange("X", *gap, 0), due_s=0.0, suspected=suspected) for gap in ids]
    return FetchAttempt(reader, fetches, None, publish)


async def test_only_missing_ids_are_published_though_near_gaps_are_read_together() -> None:
    published: list[int] = []
    assert await make_attempt(FakeReader(), published, (1, 5), (21, 30)).run() == []
    assert published == [*range(1, 6), *range(21, 31)]


async def test_after_an_outage_all_unread_ids_are_unavailable() -> None:
    published: list[int] = []
    attempt = make_attempt(FakeReader(fails_at=21), published, (1, 40), (5_000, 5_009))
    with pytest.raises(HistoryUnavailableError) as raised:
        await attempt.run()
    assert published == list(range(1, 21))
    found = attempt.found_before(raised.value)
    assert [(ids.first_id, ids.last_id) for ids in found] == [(21, 40), (5_000, 5_009)]
    assert {(ids.cause, ids.reason) for ids in found} == {(UnavailableCause.LATE, "status 503")}


async def test_one_request_shows_that_all_gaps_before_the_start_of_history_are_unavailable() -> None:
    published: list[int] = []
    reader = FakeReader(starts_at=500_000)
    early = [(first, first + 9) for first in range(10, 400_000, 4_000)]
    found = await make_attempt(reader, published, *early, (500_001, 500_005)).run()
    assert [(ids.first_id, ids.last_id, ids.cause) for ids in found] == [
        (*ids, UnavailableCause.EARLY) for ids in early
    ]
    assert published == list(range(500_001, 500_006))
    assert reader.requests == 2


@pytest.mark.parametrize("suspected", [True, False])
async def test_a_guess_is_not_followed_beyond_the_present_but_a_gap_is(*, suspected: bool) -> None:
    published: list[int] = []
    reader = FakeReader(trade_time_us=now_us() + HOUR_US)
    found = await make_attempt(reader, published, (1, 40), suspected=suspected).run()
    assert [(ids.first_id, ids.last_id) for ids in found] == ([(11, 40)] if suspected else [])
    assert published == list(range(1, 11 if suspected else 41))
