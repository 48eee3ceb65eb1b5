"""Replays: waits until all trades of a tape are committed, and compares the database with the tape."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from db.pool import OUTAGE, Pool, open_pool
from db.progress import (
    SymbolTotals,
    TapeTrades,
    count_committed_trades,
    count_stored_trades,
    count_trades_in_period,
    read_committed_entries,
    read_totals,
)
from maintenance.last_entries import read_last_entry_ids
from maintenance.tape import TapeStatus, read_tape, read_tape_status
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_errors import OUTAGE as REDIS_OUTAGE
from tickplant.streams import START, entry_order

_POLL_S: Final = 0.1
_POLLING_SHARE: Final = 0.25
"""How much of the time may be spent counting."""
_PATIENCE_S: Final = {"waiting": 120.0, "playing": math.inf, "finished": 30.0}
"""The longest time without progress in each state of the sandbox; a tape played at a speed may be quiet."""


class ReplayProgress(Struct, frozen=True):
    """How far a replay has come."""

    status: TapeStatus
    stored: dict[SymbolId, int]
    """Trades of the tape that are committed."""
    last_entry_ids: dict[int, str]
    """The last entry to wait for in each partition's stream, once all is sent; read before `entry_ids`."""
    entry_ids: dict[int, str]
    """The last committed entry of each partition."""

    def is_complete(self, tape: Sequence[TapeTrades]) -> bool:
        """Return whether everything was sent and is committed."""
        return (
            self.status.state == "finished"
            and all(self.stored[trades.symbol] >= trades.trades for trades in tape)
            and not self.lagging()
        )

    def lagging(self) -> list[str]:
        """Return a line for each partition that has not committed its last entry."""
        return [
            f"partition {partition}: committed up to entry {self.entry_ids.get(partition, 'none')} of {last}"
            for partition, last in self.last_entry_ids.items()
            if entry_order(self.entry_ids.get(partition, START)) < entry_order(last)
        ]


class ReplayedSymbol(Struct, frozen=True):
    """What is stored of one symbol, compared with what the captures hold of it."""

    symbol: SymbolId
    totals: SymbolTotals | None
    """All that is stored of it; None: nothing."""
    on_tape: int
    """Trades that the captures hold, each id once where there are ids."""
    stored: int
    """How many of these are stored."""

    def difference(self) -> str:
        """Describe the difference; empty if there is none."""
        off = self.on_tape - self.stored
        if off == 0:
            return ""
        what = f"{off:,} missing" if off > 0 else f"{-off:,} too many"
        return f"{self.symbol}: {self.stored:,} of {self.on_tape:,} trades stored, {what}"


class ReplayResult(NamedTuple):
    """The result of a replay."""

    symbols: list[ReplayedSymbol]
    new: int
    """Trades that were not stored before."""
    seconds: float
    """From the first trade sent to the last one committed."""
    lagging: list[str]
    """A line for each partition that has not committed its last entry."""

    @property
    def trades(self) -> int:
        """Trades of the tape that are committed."""
        return sum(symbol.stored for symbol in self.symbols)

    def require_equal(self) -> None:
        """Make sure that the database holds what the tape holds.

        Raises:
            FatalError: it differs; the message describes how.
        """
        if different := [line for symbol in self.symbols if (line := symbol.difference())]:
            raise FatalError(
                "the database does not hold what the captures hold:\n  "
                + "\n  ".join(different + self.lagging)
            )


class Replay:
    """A replay of the sandbox into a plant.

    Call `open` before anything is sent, then `wait`.

    Args:
        rest_url: of the sandbox.
        redis_url: of the plant.
        database_url: of the plant.
        partitions: of the plant.
        symbols: of the tape, to be stored.
        patience_s: the longest time without progress in each state of the sandbox.
    """

    def __init__(
        self,
        *,
        rest_url: str,
        redis_url: str,
        database_url: str,
        partitions: int,
        symbols: Sequence[SymbolId],
        patience_s: Mapping[str, float] = _PATIENCE_S,
    ) -> None:
        self._rest_url = rest_url
        self._redis_url = redis_url
        self._database_url = database_url
        self._partitions = partitions
        self._symbols = symbols
        self._patience_s = patience_s
        self._tape: list[TapeTrades] = []
        self._before: dict[SymbolId, int] = {}

    async def open(self) -> None:
        """Read what the tape holds, and how much of it is stored already.

        Raises:
            FatalError: trades without ids would be stored a second time.
        """
        self._tape = await read_tape(self._rest_url, self._symbols)
        async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
            self._before = await count_committed_trades(pool, self._tape)
            for trades in self._tape:
                if trades.ids is None and (count := await count_trades_in_period(pool, trades)):
                    raise FatalError(
                        f"{count:,} trades of {trades.symbol} from the capture's time are stored already, and"
                        f" trades of {trades.symbol.venue} have no ids: a replay would store them a second"
                        " time. Choose another folder with --data, or remove this one"
                    )

    async def wait(self, on_progress: Callable[[int, int], None]) -> ReplayResult:
        """Wait until all trades are committed, or nothing has progressed for too long.

        Args:
            on_progress: takes the trades committed, and those on the tape.

        Raises:
            FatalError: the tape has not started.
        """
        redis = open_redis(self._redis_url)
        try:
            async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
                progress, seconds = await self._poll(pool, redis, on_progress)
                symbols = await self._compare(pool)
        finally:
            await redis.aclose()
        new = sum(progress.stored.values()) - sum(self._stored(self._before).values())
        return ReplayResult(symbols, new, seconds, progress.lagging())

    async def _poll(
        self, pool: Pool, redis: RedisClient, on_progress: Callable[[int, int], None]
    ) -> tuple[ReplayProgress, float]:
        """Read the progress until it is complete, or has not changed for too long.

        Returns:
            The last progress, and the seconds from the first trade sent to the last one committed.

        Raises:
            FatalError: the tape has not started.
        """
        total = sum(trades.trades for trades in self._tape)
        started_s = changed_s = time.monotonic()
        last: object = None
        while True:
            polled_s = time.monotonic()
            progress = await self._read_progress(pool, redis)
            now_s = time.monotonic()
            state = progress.status.state
            if state == "waiting":
                started_s = now_s
            stored = sum(progress.stored.values())
            on_progress(stored, total)
            if last != (last := (state, progress.status.sent, stored)):
                changed_s = now_s
            if progress.is_complete(self._tape):
                return progress, now_s - started_s
            if now_s - changed_s > self._patience_s[state]:
                if state == "waiting":
                    raise FatalError(
                        "ingest has not subscribed to all symbols of the captures; see its log lines above"
                    )
                return progress, changed_s - started_s
            await asyncio.sleep(max(_POLL_S, (now_s - polled_s) / _POLLING_SHARE))

    async def _read_progress(self, pool: Pool, redis: RedisClient) -> ReplayProgress:
        """Read from the sandbox, Redis and the database, in this order; wait for one that is unavailable."""
        while True:
            try:
                status = await read_tape_status(self._rest_url)
                finished = status.state == "finished"
                last_entry_ids = await read_last_entry_ids(redis, range(self._partitions)) if finished else {}
                entry_ids = await read_committed_entries(pool)
                known = await count_committed_trades(pool, self._tape)
            except (*OUTAGE, *REDIS_OUTAGE):  # it is being restarted
                await asyncio.sleep(_POLL_S)
            else:
                return ReplayProgress(status, self._stored(known), last_entry_ids, entry_ids)

    async def _compare(self, pool: Pool) -> list[ReplayedSymbol]:
        """Count each symbol's stored rows and the trades on the tape."""
        rows = self._stored(await count_stored_trades(pool, self._tape))
        totals = {row.symbol: row for row in await read_totals(pool, self._symbols)}
        return [
            ReplayedSymbol(trades.symbol, totals.get(trades.symbol), trades.trades, rows[trades.symbol])
            for trades in self._tape
        ]

    def _stored(self, counts: Mapping[SymbolId, int]) -> dict[SymbolId, int]:
        """Return how many trades of the tape are stored; without ids, those added since `open`."""
        return {
            trades.symbol: counts.get(trades.symbol, 0)
            - (self._before.get(trades.symbol, 0) if trades.ids is None else 0)
            for trades in self._tape
        }
