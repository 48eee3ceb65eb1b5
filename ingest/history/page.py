"""Checks a page of history: returns the trades of the requested ids, and the unavailable ids. Pure.

A page is reduced to the requested ids, so that no other trade enters the stream. A row is refused as
implausible if its time is far from the times of the known trades around it, or if its id is farther from its
neighbours than the ids that a venue omits. A page of many trades that continue one another, all of them after
the requested ids, is plausible: it shows where the venue's history starts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import Enum
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from ingest.history.ranges import IdRange, intersect_ranges
from ingest.venues.base import BadRow, ParsedRows
from ingest.venues.base_rest import MissingRange
from tickplant.market import Trade
from tickplant.trade_rules import LATEST_US

PAGE_IDS: Final = 998
"""Ids of one request; with the trades before and after them, these are the 1,000 trades of a venue's page."""
FARTHEST_IDS: Final = 1_000
"""The most ids that a venue may omit between two trades of a page; rows beyond are refused."""
_START_TRADES: Final = 20
"""The fewest trades that show where a venue's history starts, if that is farther from the requested ids."""
SLACK_US: Final = 60_000_000
"""How far the times of trades may contradict the order of their ids."""


class UnavailableCause(Enum):
    """Why a trade is unavailable."""

    OMITTED = "the venue's history omits it between two others"
    REFUSED = "its row in the venue's history is malformed or implausible"
    EARLY = "the venue's history starts after it"
    LATE = "the venue's history ends before it"


class UnavailableIds(NamedTuple):
    """Ids whose trades a venue's history does not have."""

    first_id: int
    last_id: int
    cause: UnavailableCause
    reason: str

    def within(self, whole: IdRange) -> "UnavailableIds | None":
        """Return the part inside a range; None if there is none."""
        part = intersect_ranges((self.first_id, self.last_id), whole)
        return None if part is None else self._replace(first_id=part[0], last_id=part[1])


class TimeBounds(NamedTuple):
    """The times of known trades between which requested trades must lie."""

    after_us: int = 0
    before_us: int = LATEST_US

    def hold(self, time_us: int) -> bool:
        """Return whether a time is between or near the bounds; True if they contradict each other."""
        if self.after_us > self.before_us:
            return True
        return self.after_us - SLACK_US <= time_us <= self.before_us + SLACK_US


class HistoryPage(NamedTuple):
    """A page after the check."""

    trades: tuple[Trade, ...]
    """The trades of the requested ids, ascending."""
    unavailable: list[UnavailableIds]
    """The requested ids that the page proves to be unavailable, ascending."""
    around: tuple[Trade, ...]
    """All plausible trades of the page, requested or not, ascending."""
    first: Trade | None
    """The first plausible trade near the requested ids; None if there is none."""
    last: Trade | None
    """The last of them."""
    refused: list[BadRow]
    """Malformed and implausible rows."""


def check_page(rows: ParsedRows, gap: MissingRange, bounds: TimeBounds) -> HistoryPage:
    """Check the rows of an answer to a request for a gap."""
    requested = gap.first_id, gap.last_id
    implausible = {
        trade.trade_id: f"its time is far from those of known trades around it: {trade.event_time_us} us"
        for trade in rows.trades
        if gap.first_id <= trade.trade_id <= gap.last_id and not bounds.hold(trade.event_time_us)
    }
    ordered = [trade for trade in rows.trades if trade.trade_id not in implausible]
    for trade in _out_of_order(ordered):
        implausible[trade.trade_id] = (
            f"its time is far from those of its neighbours: {trade.event_time_us} us"
        )
    run, far = _nearest_run([trade for trade in ordered if trade.trade_id not in implausible], gap)
    if not run and _shows_start(far, bounds):
        run, far = far, []
    for trade in far:
        implausible[trade.trade_id] = (
            f"its id is far from the requested ones, {gap.first_id} to {gap.last_id}"
        )
    refused = [*rows.bad_rows]
    refused += [
        BadRow(repr(trade).encode(), f"implausible: {implausible[trade.trade_id]}", trade.trade_id)
        for trade in rows.trades
        if trade.trade_id in implausible
    ]
    return HistoryPage(
        tuple([trade for trade in run if gap.first_id <= trade.trade_id <= gap.last_id]),
        _unavailable(run, requested, refused),
        tuple([trade for trade in rows.trades if trade.trade_id not in implausible]),
        run[0] if run else None,
        run[-1] if run else None,
        refused,
    )


def early(ids: IdRange, history_start: int) -> UnavailableIds:
    """Return ids that are lower than the first one of the venue's history."""
    return UnavailableIds(*ids, UnavailableCause.EARLY, f"the venue's history starts with {history_start}")


def _out_of_order(trades: Sequence[Trade]) -> list[Trade]:
    """Return the trades whose times contradict most others; times rise with ids."""
    times = [trade.event_time_us for trade in trades]
    latest = accumulate(times, max)
    if all(before - time_us <= SLACK_US for before, time_us in zip(latest, times, strict=True)):
        return []
    rising = _longest_non_decreasing(times)
    contradicting = []
    for place, trade in enumerate(trades):
        after = bisect_left(rising, place)
        before_us = times[rising[after - 1]] if after else 0
        after_us = times[rising[after]] if after < len(rising) else LATEST_US
        if not TimeBounds(before_us, after_us).hold(trade.event_time_us):
            contradicting.append(trade)
    return contradicting


def _longest_non_decreasing(times: Sequence[int]) -> list[int]:
    """Return the indices of a longest non-decreasing subsequence."""
    ends: list[int] = []  # by length, the index of the least last time of a subsequence
    before: list[int] = []
    for place, time_us in enumerate(times):
        length = bisect_right(ends, time_us, key=times.__getitem__)
        before.append(ends[length - 1] if length else -1)
        ends[length : length + 1] = [place]
    places = []
    place = ends[-1] if ends else -1
    while place >= 0:
        places.append(place)
        place = before[place]
    return places[::-1]


def _nearest_run(trades: Sequence[Trade], gap: MissingRange) -> tuple[Sequence[Trade], Sequence[Trade]]:
    """Return the trades around the first requested id up to large jumps, and those far above the last id."""
    ids = [trade.trade_id for trade in trades]
    place = bisect_left(ids, gap.first_id - 1)
    below = place and gap.first_id - ids[place - 1]
    if place == len(ids) or (place and below < ids[place] - gap.first_id):
        place -= 1  # the trade below is nearer
    start = end = max(0, place)
    while start > 0 and ids[start] - ids[start - 1] <= FARTHEST_IDS + 1:
        start -= 1
    while end < len(ids) and (end == start or ids[end] - ids[end - 1] <= FARTHEST_IDS + 1):
        end += 1
    far = [trade for trade in trades[end:] if trade.trade_id > gap.last_id + FARTHEST_IDS]
    if start < len(ids) and ids[start] > gap.last_id + FARTHEST_IDS:
        return [], [*trades[start:end], *far]
    return trades[start:end], far


def _shows_start(far: Sequence[Trade], bounds: TimeBounds) -> bool:
    """Return whether trades, all far above the requested ids, are the start of the venue's history."""
    return (
        len(far) >= _START_TRADES
        and all(bounds.hold(trade.event_time_us) for trade in far)
        and all(after.trade_id - before.trade_id <= FARTHEST_IDS + 1 for before, after in pairwise(far))
    )


def _unavailable(run: Sequence[Trade], requested: IdRange, refused: Sequence[BadRow]) -> list[UnavailableIds]:
    """Return the ids that a page proves to be unavailable."""
    by_id = {row.trade_id: row.reason for row in refused if row.trade_id is not None}
    without_id = next((row.reason for row in refused if row.trade_id is None), None)
    omitted: list[tuple[IdRange, UnavailableCause, str]] = []
    if run and run[0].trade_id > requested[0]:
        lacking = early((requested[0], run[0].trade_id - 1), run[0].trade_id)
        omitted.append(((lacking.first_id, lacking.last_id), lacking.cause, lacking.reason))
    cause, reason = UnavailableCause.OMITTED, "the venue's history omits it"
    if without_id is not None:  # its id may be any of those that seem to be omitted
        cause, reason = UnavailableCause.REFUSED, without_id
    for before, after in pairwise(run):
        if after.trade_id > before.trade_id + 1:
            omitted.append(((before.trade_id + 1, after.trade_id - 1), cause, reason))
    unavailable: list[UnavailableIds] = []
    for part, cause, reason in omitted:
        clipped = intersect_ranges(part, requested)
        if clipped is not None:
            unavailable += _split_refused(UnavailableIds(*clipped, cause, reason), by_id)
    reached = run[-1].trade_id if run else -1
    unavailable += [
        UnavailableIds(trade_id, trade_id, UnavailableCause.REFUSED, by_id[trade_id])
        for trade_id in sorted(by_id)
        if max(requested[0], reached + 1) <= trade_id <= requested[1]
    ]
    return unavailable


def _split_refused(ids: UnavailableIds, by_id: dict[int, str]) -> list[UnavailableIds]:
    """Split off the ids whose rows were refused."""
    parts: list[UnavailableIds] = []
    low = ids.first_id
    for trade_id in sorted(by_id):
        if low <= trade_id <= ids.last_id:
            if low < trade_id:
                parts.append(ids._replace(first_id=low, last_id=trade_id - 1))
            parts.append(UnavailableIds(trade_id, trade_id, UnavailableCause.REFUSED, by_id[trade_id]))
            low = trade_id + 1
    return [*parts, ids._replace(first_id=low)] if low <= ids.last_id else parts
