"""Watch a replay until its last trade is committed, and sum up what was done."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

import msgspec
from msgspec import Struct

from db.pool import OUTAGE, Pool, open_pool
from db.progress import Committed, read_committed, read_totals
from tickplant.cli.summary import print_summary, progress
from tickplant.cli.terminal import Terminal
from tickplant.errors import FatalError
from tickplant.market import SymbolId
from tickplant.redis_client import OUTAGE as REDIS_OUTAGE
from tickplant.redis_client import RedisClient, open_redis
from tickplant.streams import entry_order, trades_stream

if TYPE_CHECKING:
    from tickplant.cli.plan import Plan

_POLL_S: Final = 0.1
_STUCK_S: Final = 30.0
_SETTLE_S: Final = 2.0


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


class Missing(Struct, frozen=True):
    """What a replay still waits for."""

    symbols: dict[SymbolId, int]
    """Of each symbol that isn't committed to its end, the last id committed; 0 for none."""
    partitions: dict[int, str]
    """Of each partition with entries that aren't committed, the last entry in the stream."""

    def __bool__(self) -> bool:
        return bool(self.symbols or self.partitions)


def find_missing(
    last_trade_ids: dict[SymbolId, int], last_entry_ids: dict[int, str], committed: Committed
) -> Missing:
    """Compare what was sent with what is committed.

    Args:
        last_trade_ids: the last id on the tape of each symbol that is to be stored.
        last_entry_ids: the last entry in each partition's stream, read before `committed`.
        committed: what the database says.
    """
    symbols = {
        symbol: committed.last_trade_ids.get(symbol, 0)
        for symbol, last in last_trade_ids.items()
        if committed.last_trade_ids.get(symbol, 0) < last
    }
    partitions = {
        partition: last
        for partition, last in last_entry_ids.items()
        if entry_order(committed.entry_ids.get(partition, "0-0")) < entry_order(last)
    }
    return Missing(symbols, partitions)


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
            FatalError: everything was sent, and nothing moves any more; the message says what is missing.
        """
        redis = open_redis(self._redis_url)
        try:
            async with open_pool(self._database_url, size=1, application="tickplant up") as pool:
                with progress(self._terminal) as show:
                    trades, seconds = await self._watch(pool, redis, show)
                totals = await read_totals(pool)
        finally:
            await redis.aclose()
        print_summary(totals, trades, seconds)

    async def _watch(
        self, pool: Pool, redis: RedisClient, show: Callable[[int, int], None]
    ) -> tuple[int, float]:
        """Return the number of trades on the tape, and the seconds that it took to commit them."""
        before = await read_committed(pool)
        started_s = moved_s = time.monotonic()
        shown: object = None
        while True:
            try:
                status = await self._read_status()
                last_entry_ids = await self._read_last_entry_ids(redis)
                committed = await read_committed(pool)
            except (*OUTAGE, *REDIS_OUTAGE):  # a server is being started again
                await asyncio.sleep(_POLL_S)
                continue
            now_s = time.monotonic()
            if status.state == "waiting":
                started_s = now_s
            last_trade_ids = self._last_trade_ids(status)
            stored = sum(min(committed.trades.get(s, 0), status.symbols[str(s)].sent) for s in last_trade_ids)
            show(stored, status.total)
            if shown != (shown := (status.state, status.sent, stored)):
                moved_s = now_s
            if status.state == "finished":
                missing = find_missing(last_trade_ids, last_entry_ids, committed)
                # What was stored before can't tell how far this time's sending has come.
                settled = now_s - moved_s > _SETTLE_S or not before.last_trade_ids
                if not missing and settled:
                    return status.total, (moved_s if before.last_trade_ids else now_s) - started_s
                if now_s - moved_s > _STUCK_S:
                    raise FatalError(self._explain(missing, last_trade_ids, committed))
            await asyncio.sleep(_POLL_S)

    async def _read_status(self) -> Status:
        def read() -> bytes:
            with urlopen(f"{self._rest_url}/sandbox/status", timeout=10) as answer:  # noqa: S310 - our own
                body: bytes = answer.read()
                return body

        return msgspec.json.decode(await asyncio.to_thread(read), type=Status)

    async def _read_last_entry_ids(self, redis: RedisClient) -> dict[int, str]:
        partitions = range(self._plan.settings.partitions)
        pipe = redis.pipeline(transaction=False)
        for partition in partitions:
            pipe.xinfo_stream(trades_stream(partition))
        answers = await pipe.execute(raise_on_error=False)
        return {
            partition: answer["last-generated-id"].decode()
            for partition, answer in zip(partitions, answers, strict=True)
            if isinstance(answer, dict)  # a partition without symbols has no stream
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

    def _explain(self, missing: Missing, last_trade_ids: dict[SymbolId, int], committed: Committed) -> str:
        lines = [
            f"{symbol}: committed up to trade id {reached} of {last_trade_ids[symbol]}"
            for symbol, reached in missing.symbols.items()
        ]
        lines += [
            f"partition {partition}: committed up to entry"
            f" {committed.entry_ids.get(partition, 'none')} of {last}"
            for partition, last in missing.partitions.items()
        ]
        return (
            f"the venue has sent everything, and for {_STUCK_S:g} s nothing more was committed:\n  "
            + "\n  ".join(lines)
        )


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
