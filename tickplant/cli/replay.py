"""Watch a replay until all its trades are committed, and compare the database with the tape."""

import asyncio
import math
import time
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Final

from msgspec import Struct

from db.pool import OUTAGE, Pool, open_pool
from db.progress import (
    TapeTrades,
    count_between,
    count_known,
    count_rows,
    read_committed,
    read_totals,
)
from tickplant.cli.summary import Outcome, Row, Show, print_summary, progress
from tickplant.cli.tape import Selection, Status, read_status, read_tape
from tickplant.cli.terminal import Terminal
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.redis_client import OUTAGE as REDIS_OUTAGE
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import START, entry_order, trades_stream
from tickplant.wire import PAST, TRADES, UNNUMBERED

_POLL_S: Final = 0.1
_LOOKING_SHARE: Final = 0.25
"""How much of the time may be spent counting."""
_STUCK_S: Final = {"waiting": 120.0, "playing": math.inf, "finished": 30.0}
"""How long nothing may move in each state of the sandbox; a tape that is played at a speed may be quiet."""
_LAST_ENTRIES: Final = 64
_OF_TRADES: Final = (TRADES, UNNUMBERED, PAST)


class Seen(Struct, frozen=True):
    """How far a replay has come, as of one look."""

    status: Status
    stored: dict[SymbolId, int]
    """Trades of the tape that are committed."""
    last_entry_ids: dict[int, str]
    """The last entry to wait for in each partition's stream, once all is sent; read before `entry_ids`."""
    entry_ids: dict[int, str]
    """Of each partition, the last entry committed."""

    def is_complete(self, tape: Sequence[TapeTrades]) -> bool:
        """Say whether everything was sent and is committed."""
        return (
            self.status.state == "finished"
            and all(self.stored[trades.symbol] >= trades.trades for trades in tape)
            and not self.behind()
        )

    def behind(self) -> list[str]:
        """Say which partitions have not committed their last entry."""
        return [
            f"partition {partition}: committed up to entry {self.entry_ids.get(partition, 'none')} of {last}"
            for partition, last in self.last_entry_ids.items()
            if entry_order(self.entry_ids.get(partition, START)) < entry_order(last)
        ]


class Replay:
    """A replay under way; `open` it before anything is sent.

    Args:
        rest_url: of the sandbox.
        redis_url: of the plant.
        database_url: of the plant.
        partitions: of the plant.
        terminal: shows the progress.
        selection: the symbols.
        patience_s: how long nothing may move in each state of the sandbox.
    """

    def __init__(
        self,
        *,
        rest_url: str,
        redis_url: str,
        database_url: str,
        partitions: int,
        terminal: Terminal,
        selection: Selection,
        patience_s: Mapping[str, float] = _STUCK_S,
    ) -> None:
        self._rest_url = rest_url
        self._redis_url = redis_url
        self._database_url = database_url
        self._partitions = partitions
        self._terminal = terminal
        self._selection = selection
        self._patience_s = patience_s
        self._tape: list[TapeTrades] = []
        self._before: dict[SymbolId, int] = {}

    async def open(self) -> None:
        """Learn what the tape holds, and what of it is stored already.

        Raises:
            FatalError: trades without ids would be stored a second time.
        """
        self._tape = await read_tape(self._rest_url, self._selection.stored)
        async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
            self._before = await count_known(pool, self._tape)
            for trades in self._tape:
                if trades.ids is None and (count := await count_between(pool, trades)):
                    raise FatalError(
                        f"{count:,} trades of {trades.symbol} from the capture's time are stored already, and"
                        f" trades of {trades.symbol.venue} have no ids: a replay would store them a second"
                        " time. Choose another folder with --data, or remove this one"
                    )

    async def run(self) -> None:
        """Wait until all trades are committed, showing the progress, and print a summary.

        Raises:
            FatalError: nothing moves any more, or the database differs from the tape; the message says how.
        """
        redis = open_redis(self._redis_url)
        try:
            async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
                with progress(self._terminal) as show:
                    seen, seconds = await self._watch(pool, redis, show)
                rows = await self._compare(pool)
        finally:
            await redis.aclose()
        new = sum(seen.stored.values()) - sum(self._stored(self._before).values())
        outcome = Outcome(sum(row.stored for row in rows), new, seconds)
        print_summary(rows, outcome, self._selection, self._terminal)
        different = [line for row in rows if (line := row.difference())]
        if different:
            behind = seen.behind()
            raise FatalError(
                "the database does not hold what the captures hold:\n  " + "\n  ".join(different + behind)
            )

    async def _watch(self, pool: Pool, redis: RedisClient, show: Show) -> tuple[Seen, float]:
        """Look again and again until all is committed, or nothing has moved for too long.

        Returns:
            The last look, and the seconds from the first trade sent to the last that was committed.

        Raises:
            FatalError: the tape has not begun.
        """
        total = sum(trades.trades for trades in self._tape)
        began_s = moved_s = time.monotonic()
        last: object = None
        while True:
            looked_s = time.monotonic()
            seen = await self._look(pool, redis)
            now_s = time.monotonic()
            if seen.status.state == "waiting":
                began_s = now_s
            stored = sum(seen.stored.values())
            show(stored, total)
            if last != (last := (seen.status.state, seen.status.sent, stored)):
                moved_s = now_s
            if seen.is_complete(self._tape):
                return seen, now_s - began_s
            if now_s - moved_s > self._patience_s[seen.status.state]:
                if seen.status.state == "waiting":
                    raise FatalError(
                        "ingest has not subscribed to all symbols of the captures; its lines above tell why"
                    )
                return seen, moved_s - began_s
            await asyncio.sleep(max(_POLL_S, (now_s - looked_s) / _LOOKING_SHARE))

    async def _look(self, pool: Pool, redis: RedisClient) -> Seen:
        """Look at the sandbox, Redis and the database, in this order; wait for one that is unavailable."""
        while True:
            try:
                status = await read_status(self._rest_url)
                finished = status.state == "finished"
                last_entry_ids = await self.read_last_entry_ids(redis) if finished else {}
                committed = await read_committed(pool)
                known = await count_known(pool, self._tape)
            except (*OUTAGE, *REDIS_OUTAGE):  # it is being started again
                await asyncio.sleep(_POLL_S)
            else:
                return Seen(status, self._stored(known), last_entry_ids, committed.entry_ids)

    async def read_last_entry_ids(self, redis: RedisClient) -> dict[int, str]:
        """Return, of each partition's stream, the last entry with trades, or a clock entry after it.

        Clock entries alone are committed without haste, and not waited for.
        """
        partitions = range(self._partitions)
        pipe = redis.pipeline(transaction=False)
        for partition in partitions:
            pipe.xrevrange(trades_stream(partition), count=_LAST_ENTRIES)
        streams: list[list[tuple[bytes, dict[bytes, bytes]]]] = await pipe.execute()
        return {
            partition: next(
                (entry_id for entry_id, fields in entries if any(field in fields for field in _OF_TRADES)),
                entries[-1][0],
            ).decode()
            for partition, entries in zip(partitions, streams, strict=True)
            if entries
        }

    async def _compare(self, pool: Pool) -> list[Row]:
        """Count, of each symbol, the rows that are stored and the trades that the tape holds."""
        rows = self._stored(await count_rows(pool, self._tape))
        totals = {row.symbol: row for row in await read_totals(pool, self._selection.stored)}
        return [
            Row(trades.symbol, totals.get(trades.symbol), trades.trades, rows[trades.symbol])
            for trades in self._tape
        ]

    def _stored(self, counts: Mapping[SymbolId, int]) -> dict[SymbolId, int]:
        """Return how many trades of the tape are stored; without ids, those that came since the beginning."""
        return {
            trades.symbol: counts.get(trades.symbol, 0)
            - (self._before.get(trades.symbol, 0) if trades.ids is None else 0)
            for trades in self._tape
        }


async def race(work: Coroutine[None, None, None], failure: Awaitable[None]) -> None:
    """Wait for the work to end, or for the failure that ends it early."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(failure)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
