"""Fetches ranges of ids from a venue's history, and publishes them in an order that opens no gaps."""

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

CONCURRENT_CHUNKS: Final = 4
"""Chunks fetched concurrently, within the venue's rate limit."""

Chunk = tuple[int, int, bool]
"""First and last id, and whether the chunk is above all stored ids."""

OnProgress = Callable[[int, int], None]
"""Receives the numbers of requested ids and of fetched trades."""


def split_ranges(wanted: Sequence[IdRange], stored_last: int | None) -> Iterator[Chunk]:
    """Split ranges into chunks of a page, each adjacent to stored ids or to the chunk before.

    Ids above all stored ones come in ascending order, all others in descending order.

    Args:
        wanted: ascending, disjoint.
        stored_last: the greatest stored id; None if none is stored.
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
    at_once: int = CONCURRENT_CHUNKS,
    on_progress: OnProgress,
) -> None:
    """Fetch chunks concurrently and publish them in order, as fast as workers follow.

    Args:
        symbol: of the trades.
        history: of the symbol.
        publisher: writes the trades.
        chunks: from `split_ranges`.
        at_once: how many are fetched concurrently.
        on_progress: called after every chunk.

    Raises:
        FatalError: the venue refuses them.
    """
    void: list[IdRange] = []
    async with aclosing(_fetch(history, chunks, at_once)) as fetched_ranges:
        async for (first, last, rising), fetched in fetched_ranges:
            # Void ids at the edge of a chunk open a gap only with the next one, so they are published again.
            published = FetchedRange(fetched.trades, [*void, *fetched.void])
            await publish_fetched(publisher, symbol, published, rising=rising)
            void = fetched.void
            on_progress(last - first + 1, len(fetched.trades))


async def publish_fetched(
    publisher: Publisher, symbol: SymbolId, fetched: FetchedRange, *, rising: bool
) -> None:
    """Publish trades in adjacent entries, then the void ids; wait while workers lag.

    Args:
        publisher: writes them.
        symbol: of the trades.
        fetched: the trades and void ids.
        rising: whether the first entry is adjacent to stored ids; else the last one is.
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
    """Yield the fetched range of each chunk, in order."""
    pending: deque[tuple[Chunk, asyncio.Task[FetchedRange]]] = deque()
    remaining = iter(chunks)
    try:
        while True:
            while len(pending) < at_once and (chunk := next(remaining, None)) is not None:
                pending.append((chunk, asyncio.create_task(history.read(chunk[0], chunk[1]))))
            if not pending:
                return
            chunk, task = pending[0]
            fetched = await task
            pending.popleft()
            yield chunk, fetched
    finally:
        for _, task in pending:
            task.cancel()
        await asyncio.gather(*(task for _, task in pending), return_exceptions=True)
