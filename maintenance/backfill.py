"""Backfill: fetches the missing trades of a time range from the venue's history."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ingest.history.fill import fill_ranges, split_ranges
from ingest.history.page import PAGE_IDS
from ingest.history.ranges import IdRange, count_ids
from maintenance.symbol import SymbolMaintenance
from tickplant.times import to_us

_PASSES: Final = 3
"""How often trades that have not arrived are fetched: a crash of Redis may have lost some."""


class BackfillPlan(NamedTuple):
    """What a backfill is going to fetch."""

    ids: IdRange
    """Of the whole time range."""
    missing: list[IdRange]
    """Those to be fetched."""
    kept_from: datetime | None
    """Trades before this event time are removed by age again; None where all are kept."""

    @property
    def missing_count(self) -> int:
        """How many ids are to be fetched."""
        return count_ids(self.missing)

    @property
    def requests(self) -> int:
        """How many requests that takes at least."""
        return -(-self.missing_count // PAGE_IDS)


async def plan_backfill(target: SymbolMaintenance, start: datetime, end: datetime) -> BackfillPlan | None:
    """Compare the venue's ids of a time range with what is stored; None where the venue has no trades.

    Args:
        target: the symbol.
        start: inclusive.
        end: exclusive.

    Raises:
        FatalError: no worker would store trades, or the venue refuses to give its history.
    """
    await target.require_worker()
    ids = await target.find_ids(to_us(start), to_us(end))
    if ids is None:
        return None
    limit = await target.read_limit()
    kept_from = limit if limit is not None and start < limit else None
    return BackfillPlan(ids, await target.read_missing(ids), kept_from)


async def backfill(
    target: SymbolMaintenance, plan: BackfillPlan, on_progress: Callable[[int, int], None]
) -> int:
    """Fetch what a plan found missing, and wait until it is stored.

    Args:
        target: the symbol.
        plan: from `plan_backfill`.
        on_progress: takes the ids that have been requested, and those that are requested in all.

    Returns:
        How many ids are still missing.

    Raises:
        FatalError: the venue refuses to give its history, or no worker stores the trades.
    """
    missing = plan.missing
    for _ in range(_PASSES):
        if not missing:
            break
        await _fetch(target, missing, on_progress)
        missing = await target.read_missing(plan.ids)
    return count_ids(missing)


async def _fetch(
    target: SymbolMaintenance, missing: Sequence[IdRange], on_progress: Callable[[int, int], None]
) -> None:
    ledger = await target.read_ledger()
    done, total = 0, count_ids(missing)

    def on_chunk(ids: int, trades: int) -> None:
        nonlocal done
        done += ids
        on_progress(done, total)

    await fill_ranges(
        symbol=target.symbol,
        history=target.search,
        publisher=target.publisher,
        chunks=split_ranges(missing, ledger.last_trade_id if ledger else None),
        on_progress=on_chunk,
        **({"at_once": 1} if target.venue.history_by_time else {}),
    )
    await target.wait_for_commit()
