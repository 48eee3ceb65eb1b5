"""Waiting for workers without disturbing them: one cheap statement on `lease`, seldom.

The plant's own count of trades reads as many rows as there are symbols; polled often, it would cost the
server more than the commits that are measured. It is used once, when the leases show the end.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from bench.plant import STREAMS, BenchPlant
from db.pool import Pool
from db.progress import count_trades, read_committed_entries
from tickplant import wire
from tickplant.streams import START, entry_order

WAIT_S: Final = 300.0
_MIN_PAUSE_S: Final = 0.005
_SHARE: Final = 0.005
"""The pause between two polls, as a share of the time waited so far: what the result can be wrong by."""
_COST: Final = 50
"""The pause is at least so many times as long as the statement took."""
_NEWEST: Final = 16
"""Entries at the end of a stream among which its last trades are looked for; the others are clocks."""


async def wait_until_committed(plant: BenchPlant, pool: Pool, count: int) -> float:
    """Wait until so many trades are committed.

    Returns:
        `time.perf_counter()` of when the leases showed it.

    Raises:
        TimeoutError: they were not, within `WAIT_S`.
        RuntimeError: a process has died.
    """
    started_s = time.perf_counter()
    newest: Mapping[int, str] | None = None
    while True:
        plant.check()
        asked_s = time.perf_counter()
        committed = await read_committed_entries(pool)
        took_s = time.perf_counter() - asked_s
        if newest is None:
            newest = await _newest_trades(plant)
        if _covers(committed, newest):
            known, newest = newest, await _newest_trades(plant)
            if newest == known and await count_trades(pool) >= count:
                return asked_s
        waited_s = time.perf_counter() - started_s
        if waited_s > WAIT_S:
            raise TimeoutError(f"waited {WAIT_S:g} s for {count:,} trades to be committed")
        await asyncio.sleep(max(_MIN_PAUSE_S, _COST * took_s, _SHARE * waited_s))


async def wait_for_first_commit(plant: BenchPlant, pool: Pool) -> None:
    """Wait until a worker has committed something."""

    async def has_committed() -> bool:
        return any(entry_id != START for entry_id in (await read_committed_entries(pool)).values())

    await plant.until(has_committed, "the first commit", poll_s=_MIN_PAUSE_S)


async def wait_for_worker(plant: BenchPlant, pool: Pool) -> None:
    """Wait until workers have taken all partitions."""

    async def are_taken() -> bool:
        return len(await read_committed_entries(pool)) == len(STREAMS)

    await plant.until(are_taken, "workers to take the partitions", poll_s=_MIN_PAUSE_S)


async def _newest_trades(plant: BenchPlant) -> dict[int, str]:
    """Return the last entry with trades of each partition that still holds any."""
    found = {}
    for partition, stream in enumerate(STREAMS):
        entries: Any = await plant.redis.xrevrange(stream, count=_NEWEST)
        for entry_id, fields in entries:
            if wire.TRADES in fields:
                found[partition] = entry_id.decode()
                break
    return found


def _covers(committed: Mapping[int, str], newest: Mapping[int, str]) -> bool:
    return all(
        entry_order(committed.get(partition, START)) >= entry_order(entry_id)
        for partition, entry_id in newest.items()
    )
