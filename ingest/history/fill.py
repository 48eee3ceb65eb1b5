"""Ranges of ids fetched from a venue's history and sent down the stream, in an order that opens no gaps."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from ingest.history.page import PAGE_IDS
from ingest.history.ranges import IdRange
from ingest.history.search import FetchedRange, HistorySearch
from ingest.publisher import MAX_TRADES_PER_ENTRY, Publisher
from tickplant.market import SymbolId
from tickplant.wire import Verdict

AT_ONCE: Final = 4
"""Requests under way at one time; the venue's budget is kept all the same."""

Chunk = tuple[int, int, bool]
"""First and last id, and whether it lies above what is stored."""

OnProgress = Callable[[int, int], None]
"""Takes how many ids have been asked for, and how many trades came."""


def split_ranges(wanted: Sequence[IdRange], stored_last: int | None) -> Iterator[Chunk]:
    """Cut ranges into chunks of a page, so that each, as it comes, touches what is stored or was before it.

    What lies above all that is stored comes upwards, all else from the top down.

    Args:
        wanted: ascending and apart.
        stored_last: the greatest id stored; None where nothing is.
    """
    above = stored_last + 1 if stored_last is not None else None
    for low, high in wanted:
        if above is not None:
            for start in range(max(low, above), high + 1, PAGE_IDS):
                yield start, min(start + PAGE_IDS - 1, high), True
    for low, high in reversed(wanted):
        top = high if above is None else min(high, above - 1)
        for end in range(top, low - 1, -PAGE_IDS):
            yield max(low, end - PAGE_IDS + 1), end, False


async def fill_ranges(
    *,
    symbol: SymbolId,
    history: HistorySearch,
    publisher: Publisher,
    chunks: Iterable[Chunk],
    at_once: int = AT_ONCE,
    on_progress: OnProgress,
) -> None:
    """Fetch chunks side by side and publish them in their order, as fast as the workers follow.

    Args:
        symbol: whose trades.
        history: where to fetch them.
        publisher: where they go.
        chunks: as `split` gives them.
        at_once: how many are fetched at one time.
        on_progress: told after every chunk.

    Raises:
        FatalError: the venue won't give them.
    """
    void: list[IdRange] = []
    async with aclosing(_fetch(history, chunks, at_once)) as fetched_ranges:
        async for (first, last, rising), fetched in fetched_ranges:
            # Holes once more with the next chunk: one at an edge opens only when what is beyond it comes.
            again = FetchedRange(fetched.trades, [*void, *fetched.void])
            await publish_fetched(publisher, symbol, again, rising=rising)
            void = fetched.void
            on_progress(last - first + 1, len(fetched.trades))


async def publish_fetched(
    publisher: Publisher, symbol: SymbolId, fetched: FetchedRange, *, rising: bool
) -> None:
    """Write entry by entry, each next to the one before, then the holes; wait for workers that lag.

    Args:
        publisher: where to.
        symbol: whose trades.
        fetched: the trades and holes.
        rising: whether the first entry is next to what is stored, or else the last one is.
    """
    starts = range(0, len(fetched.trades), MAX_TRADES_PER_ENTRY)
    for start in starts if rising else reversed(starts):
        await publisher.publish(fetched.trades[start : start + MAX_TRADES_PER_ENTRY], historical=True)
    for low, high in fetched.void:
        await publisher.publish_verdict(Verdict(*symbol, low, high, "void"))
    await publisher.wait_for_budget()


async def _fetch(
    history: HistorySearch, chunks: Iterable[Chunk], at_once: int
) -> AsyncGenerator[tuple[Chunk, FetchedRange]]:
    """Yield what the venue has of each chunk, in the chunks' order."""
    under_way: deque[tuple[Chunk, asyncio.Task[FetchedRange]]] = deque()
    waiting = iter(chunks)
    try:
        while True:
            while len(under_way) < at_once and (chunk := next(waiting, None)) is not None:
                under_way.append((chunk, asyncio.create_task(history.read(chunk[0], chunk[1]))))
            if not under_way:
                return
            chunk, task = under_way[0]
            fetched = await task
            under_way.popleft()
            yield chunk, fetched
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
