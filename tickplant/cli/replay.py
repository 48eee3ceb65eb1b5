"""Watch a replay until its last trade is committed, and sum up what was done."""

import asyncio
import math
import time
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

import msgspec
from msgspec import Struct

from db.pool import OUTAGE, Pool, open_pool
from db.progress import Committed, read_committed, read_totals
from tickplant.cli.summary import Outcome, Show, print_summary, progress
from tickplant.cli.terminal import Terminal
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.redis_client import OUTAGE as REDIS_OUTAGE
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import START, entry_order, trades_stream
from tickplant.wire import TRADES

if TYPE_CHECKING:
    from tickplant.cli.plan import Plan

_POLL_S: Final = 0.1
_STUCK_S: Final = {"waiting": 120.0, "playing": math.inf, "finished": 30.0}
"""How long nothing may move in each state of the sandbox; a tape that is played at a speed may be quiet."""
_SETTLE_S: Final = 2.0
_LAST_ENTRIES: Final = 8


class SymbolStatus(Struct, frozen=True):
    """A symbol on the sandbox's tape."""

    trades: int
    last_trade_id: int | None
    sent: int


class Status(Struct, frozen=True):
    """What the sandbox says of itself."""

    state: str
    sent: int
    total: int
    symbols: dict[str, SymbolStatus]


class Seen(Struct, frozen=True):
    """How far a replay has come, as of one look."""

    status: Status
    last_trade_ids: dict[SymbolId, int]
    """The last id on the tape of each symbol that is to be stored."""
    last_entry_ids: dict[int, str]
    """The last entry to wait for in each partition's stream, read before `committed`; once all is sent."""
    committed: Committed

    def count_stored(self) -> int:
        """Count the trades of the tape that are committed."""
        sent = self.status.symbols
        return sum(min(self.committed.trades.get(it, 0), sent[str(it)].sent) for it in self.last_trade_ids)

    def is_complete(self) -> bool:
        """Say whether everything was sent and is committed."""
        return self.status.state == "finished" and not self._missing()

    def explain(self) -> str:
        """Say what is missing."""
        if self.status.state == "waiting":
            return "ingest has not subscribed to all symbols on the tape; its lines above may say why"
        lines = self._missing() or ["nothing, but the sandbox has stopped sending"]
        return "for too long nothing more was committed; what is missing:\n  " + "\n  ".join(lines)

    def _missing(self) -> list[str]:
        reached = self.committed.last_trade_ids
        lines = [
            f"{symbol}: committed up to trade id {reached.get(symbol, 'none')} of {last}"
            for symbol, last in self.last_trade_ids.items()
            if reached.get(symbol, -1) < last
        ]
        entry_ids = self.committed.entry_ids
        lines += [
            f"partition {partition}: committed up to entry {entry_ids.get(partition, 'none')} of {last}"
            for partition, last in self.last_entry_ids.items()
            if entry_order(entry_ids.get(partition, START)) < entry_order(last)
        ]
        return lines


class Replay:
    """A replay under way."""

    def __init__(
        self, rest_url: str, redis_url: str, database_url: str, terminal: Terminal, plan: "Plan"
    ) -> None:
        self._rest_url = rest_url
        self._redis_url = redis_url
        self._database_url = database_url
        self._terminal = terminal
        self._plan = plan

    async def run(self) -> None:
        """Wait until the last trade is committed, showing the progress, and print a summary.

        Raises:
            FatalError: nothing moves any more; the message says what is missing.
        """
        redis = open_redis(self._redis_url)
        try:
            async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
                with progress(self._terminal) as show:
                    outcome = await self._watch(pool, redis, show)
                totals = await read_totals(pool)
        finally:
            await redis.aclose()
        print_summary(totals, outcome)

    async def _watch(self, pool: Pool, redis: RedisClient, show: Show) -> Outcome:
        """Look again and again until all is committed."""
        before = await read_committed(pool)
        started_s = moved_s = time.monotonic()
        last: object = None
        while True:
            seen = await self._look(pool, redis)
            now_s = time.monotonic()
            if seen.status.state == "waiting":
                started_s = now_s
            stored = seen.count_stored()
            show(stored, seen.status.total)
            if last != (last := (seen.status.state, seen.status.sent, stored)):
                moved_s = now_s
            # What was stored before can't tell how far this time's sending has come: let it settle.
            settled = not before.trades or now_s - moved_s > _SETTLE_S
            if seen.is_complete() and settled:
                new = sum(seen.committed.trades.values()) - sum(before.trades.values())
                return Outcome(seen.status.total, new, (moved_s if before.trades else now_s) - started_s)
            if now_s - moved_s > _STUCK_S[seen.status.state]:
                raise FatalError(seen.explain())
            await asyncio.sleep(_POLL_S)

    async def _look(self, pool: Pool, redis: RedisClient) -> Seen:
        """Look at the sandbox, Redis and the database, in this order; wait for one that is away."""
        while True:
            try:
                status = await self._read_status()
                finished = status.state == "finished"
                last_entry_ids = await self._read_last_entry_ids(redis) if finished else {}
                committed = await read_committed(pool)
            except (*OUTAGE, *REDIS_OUTAGE):  # it is being started again
                await asyncio.sleep(_POLL_S)
            else:
                return Seen(status, self._last_trade_ids(status), last_entry_ids, committed)

    async def _read_status(self) -> Status:
        def read() -> bytes:
            with urlopen(f"{self._rest_url}/sandbox/status", timeout=10) as answer:  # noqa: S310 - our own
                body: bytes = answer.read()
                return body

        return msgspec.json.decode(await asyncio.to_thread(read), type=Status)

    async def _read_last_entry_ids(self, redis: RedisClient) -> dict[int, str]:
        """Return, of each partition's stream, the last entry with trades, or a clock entry after it.

        Clock entries alone are committed without haste, and not waited for.
        """
        partitions = range(self._plan.settings.partitions)
        pipe = redis.pipeline(transaction=False)
        for partition in partitions:
            pipe.xrevrange(trades_stream(partition), count=_LAST_ENTRIES)
        streams: list[list[tuple[bytes, dict[bytes, bytes]]]] = await pipe.execute()
        return {
            partition: next(
                (entry_id for entry_id, fields in entries if TRADES in fields), entries[-1][0]
            ).decode()
            for partition, entries in zip(partitions, streams, strict=True)
            if entries
        }

    def _last_trade_ids(self, status: Status) -> dict[SymbolId, int]:
        """Return the last id of each symbol that is on the tape and asked for."""
        asked = None if self._plan.takes_symbols else set(self._plan.settings.symbols)
        tape = {SymbolId.parse(name): symbol.last_trade_id for name, symbol in status.symbols.items()}
        return {
            symbol: last
            for symbol, last in tape.items()
            if last is not None and (not asked or symbol in asked)
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
