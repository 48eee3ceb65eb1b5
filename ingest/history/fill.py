"""Fetches ranges of ids from a venue's history and publishes them in an order that opens no gaps."""

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
"""Concurrent requests; the venue's rate limit applies all the same."""

Chunk = tuple[int, int, bool]
"""First and last id, and whether the chunk is above all stored ids."""

OnProgress = Callable[[int, int], None]
"""Receives the number of ids requested and of trades received."""


def split_ranges(wanted: Sequence[IdRange], stored_last: int | None) -> Iterator[Chunk]:
    """Split ranges into chunks of a page, each adjacent to stored ids or to the chunk before.

    Ids above all stored ones come in ascending order, all others in descending order.

    Args:
        wanted: ascending, disjoint.
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
    """Fetch chunks concurrently and publish them in order, as fast as the workers follow.

    Args:
        symbol: of the trades.
        history: of the symbol.
        publisher: writes them.
        chunks: from `split_ranges`.
        at_once: how many are fetched concurrently.
        on_progress: called after every chunk.

    Raises:
        FatalError: the venue refuses to give them.
    """
    void: list[IdRange] = []
    async with aclosing(_fetch(history, chunks, at_once)) as fetched_ranges:
        async for (first, last, rising), fetched in fetched_ranges:
            # Void ids are published again with the next chunk: those at an edge open a gap only then.
            again = FetchedRange(fetched.trades, [*void, *fetched.void])
            await publish_fetched(publisher, symbol, again, rising=rising)
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
