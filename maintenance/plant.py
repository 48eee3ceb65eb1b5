"""What the commands share that ask a venue for its past: getting at all it takes, waiting, and progress."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from db.commit import LedgerRow, read_ledger
from db.leases import read_leases
from db.pool import OUTAGE, Pool, open_pool, refused, snapshot
from db.retention import read_horizon, read_limit
from db.symbols import read_committed
from db.trades import LEAST_ID, TradeBound, read_trades
from ingest.history.client import VenueHistory, open_client
from ingest.history.fill import fill, split
from ingest.history.ranges import Range, count_ids, subtract
from ingest.history.search import Past
from ingest.publisher import Publisher
from ingest.rate import Rate
from ingest.venues import make_venue
from ingest.venues.base import KlineVenue, Venue
from tickplant.errors import FatalError
from tickplant.intervals import MINUTE_US, floor
from tickplant.klines import Kline
from tickplant.local.addresses import running_database, running_redis, tell_database
from tickplant.market import Gap, SymbolId, Trade
from tickplant.proxies import Proxies
from tickplant.redis_client import RedisClient, agree_on_partitions, open_redis
from tickplant.settings import Settings
from tickplant.streams import GAPS, START, entry_order, partition_of, trades_stream
from tickplant.wire import CLOCK, encode_gaps
from workers.partition_state import ROLE

_POLL_S: Final = 0.1
_READ_S: Final = 30.0
_WORKER_S: Final = 15.0
"""How long a partition may be without a worker: one may just be taking it over."""
_LAST_ENTRIES: Final = 8
_LINE_S: Final = 5.0
"""How often a line tells the progress where nobody sees a bar."""
_LATEST_US: Final = 4_102_444_800_000_000

Show = Callable[[int], None]
"""Takes how many more ids have been asked for."""


class Plant(NamedTuple):
    """A running plant, and one symbol of it."""

    symbol: SymbolId
    partition: int
    venue: Venue
    history: VenueHistory
    past: Past
    publisher: Publisher
    redis: RedisClient
    pool: Pool

    async def read_ledger(self) -> LedgerRow | None:
        """Return the ledger of the symbol; None where nothing is stored."""
        rows = await read_ledger(self.pool, self.partition)
        return next((row for row in rows if (row.venue, row.symbol) == self.symbol), None)

    async def find_ids(self, start_us: int, end_us: int) -> Range | None:
        """Return the ids of a stretch of time and up to what is stored; None where the venue has none.

        Raises:
            FatalError: the venue won't tell.
        """
        first, last = await self.past.find(start_us), await self.past.find(end_us) - 1
        if first > last:
            return None
        ledger = await self.read_ledger()
        if ledger is not None:
            first, last = min(first, ledger.last_trade_id + 1), max(last, ledger.first_trade_id - 1)
        return first, last

    async def read_wanted(self, ids: Range) -> list[Range]:
        """Return those of some ids that are neither stored nor known not to exist."""
        return subtract(ids, held_ids(await self.read_ledger()))

    async def fetch(self, wanted: Sequence[Range], show: Show) -> int:
        """Fetch ranges of ids, publish them and wait until they are committed; return how many trades came.

        Raises:
            FatalError: the venue won't give them, or there is no worker.
        """
        ledger = await self.read_ledger()
        trades = 0

        def on_progress(ids: int, new: int) -> None:
            nonlocal trades
            trades += new
            show(ids)

        await fill(
            symbol=self.symbol,
            past=self.past,
            publisher=self.publisher,
            chunks=split(wanted, ledger.last_trade_id if ledger else None),
            on_progress=on_progress,
            **({"at_once": 1} if self.venue.history_by_time else {}),
        )
        await self.settle()
        return trades

    async def read_klines(self, start_us: int, end_us: int) -> AsyncIterator[tuple[Kline, ...]]:
        """Yield the venue's own candles of one minute, request by request.

        Args:
            start_us: the begin of a minute.
            end_us: the begin of another, exclusive.

        Raises:
            FatalError: the venue gives none.
        """
        if not isinstance(self.venue, KlineVenue):
            raise FatalError(f"{self.venue.name}: there are no candles to compare with")
        step_us = self.venue.klines_at_once * MINUTE_US
        for begin_us in range(start_us, end_us, step_us):
            yield await self.past.read_klines(begin_us, min(begin_us + step_us, end_us))

    async def read_first_minute(self) -> int:
        """Return the begin of the minute of the first trade stored.

        Raises:
            FatalError: all were removed by age.
        """
        edges = await _read_edges(self.pool, self.symbol)
        if not edges:
            raise FatalError(
                f"all trades of {self.symbol} have been removed by age: say where to begin, with --from"
            )
        return floor(edges[0].event_time_us, MINUTE_US)

    async def read_horizon(self) -> datetime | None:
        """Return the event time before which the symbol's trades were removed by age; None if none were."""
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_horizon(connection, self.symbol)

    async def read_limit(self) -> datetime | None:
        """Return the event time before which trades are removed by age; None where they are kept for ever."""
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_limit(connection)

    async def tell_gaps(self, gaps: Sequence[Gap]) -> None:
        """Tell ingest all that is missing of the symbol."""
        await self.redis.hset(GAPS, str(self.symbol), encode_gaps(gaps))

    async def settle(self) -> None:
        """Wait until what is in the symbol's stream by now is committed.

        Raises:
            FatalError: no worker has the partition.
        """
        entries: Any = await self.redis.xrevrange(trades_stream(self.partition), count=_LAST_ENTRIES)
        if not entries:
            return
        # Clock entries alone are committed without haste, and not waited for.
        last = next(
            (entry_id for entry_id, fields in entries if CLOCK not in fields), entries[-1][0]
        ).decode()
        while entry_order(await self._committed()) < entry_order(last):
            await self.expect_worker()
            await asyncio.sleep(_POLL_S)

    async def expect_worker(self) -> None:
        """Make sure that a worker has the symbol's partition.

        Raises:
            FatalError: none has.
        """
        deadline_s = time.monotonic() + _WORKER_S
        while not await self._worked():
            if time.monotonic() > deadline_s:
                raise FatalError(
                    f"no worker has partition {self.partition}, so nothing would be stored:"
                    " start `tickplant worker`, or `tickplant up`"
                )
            await asyncio.sleep(_POLL_S)

    async def _worked(self) -> bool:
        return any(
            lease.alive and lease.partition == self.partition and lease.role == ROLE
            for lease in await read_leases(self.pool)
        )

    async def _committed(self) -> str:
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_committed(connection, ROLE, self.partition) or START


@asynccontextmanager
async def open_plant(settings: Settings, text: str, *, application: str) -> AsyncIterator[Plant]:
    """Open what runs at the settings' addresses, or under `tickplant up`.

    Args:
        settings: addresses, partitions, budget.
        text: `venue:SYMBOL`.
        application: shown in pg_stat_activity.

    Raises:
        FatalError: the symbol's venue numbers no trades or is unknown; a server is away.
    """
    venue, symbol = _parse_symbol(settings, text)
    tell_database(settings)
    redis_url, database_url = running_redis(settings), running_database(settings)
    redis = open_redis(redis_url)
    publisher = Publisher(redis, partitions=settings.partitions, budget_trades=settings.stream_budget_trades)
    per_s = venue.limits.requests_per_s
    rate = Rate(redis, venue=venue.name, what="requests", per_s=per_s, burst=5, bannable=True)
    base_url = getattr(settings, f"{venue.name}_rest_url", venue.rest_url)
    try:
        async with (
            open_pool(database_url, size=2, application=application) as pool,
            open_client(publisher, [base_url], Proxies()) as client,
        ):
            await agree_on_partitions(redis, settings.partitions)
            keep = publisher.keep_dead_letter
            history = VenueHistory(venue, base_url=base_url, client=client, rate=rate, keep=keep)
            past = Past(venue, symbol.symbol, history, await _read_edges(pool, symbol))
            partition = partition_of(*symbol, settings.partitions)
            yield Plant(symbol, partition, venue, history, past, publisher, redis, pool)
    except OUTAGE as error:
        raise refused(error) from error
    finally:
        await redis.aclose()


def held_ids(ledger: LedgerRow | None) -> list[Range]:
    """Return the ids that are stored, or that the venue doesn't have, ascending."""
    if ledger is None:
        return []
    return subtract((ledger.first_trade_id, ledger.last_trade_id), ledger.missing)


@contextmanager
def progress(what: str, wanted: Sequence[Range]) -> Iterator[Show]:
    """Show a bar with an estimate, or a line now and then where no person looks."""
    total = count_ids(wanted)
    if not sys.stderr.isatty():
        yield _tell_at_times(what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda ids: bar.advance(task, ids)


def _tell_at_times(what: str, total: int) -> Show:
    started_s = said_s = time.monotonic()
    done = 0

    def show(ids: int) -> None:
        nonlocal done, said_s
        done += ids
        now_s = time.monotonic()
        if now_s - said_s >= _LINE_S:
            said_s = now_s
            left_s = (now_s - started_s) * (total - done) / done
            print(f"{what}: {done:,} of {total:,}, about {left_s:,.0f} s left", file=sys.stderr, flush=True)

    return show


def _parse_symbol(settings: Settings, text: str) -> tuple[Venue, SymbolId]:
    try:
        name, symbol = SymbolId.parse(text)
    except ValueError as error:
        raise FatalError(str(error)) from error
    venue = make_venue(name, api_key=getattr(settings, f"{name}_api_key", None))
    if not venue.numbered:
        raise FatalError(f"{name} numbers no trades and has no history of them: nothing can be fetched")
    return venue, SymbolId(name, venue.spell(symbol))


async def _read_edges(pool: Pool, symbol: SymbolId) -> list[Trade]:
    """Return the first and the last trade that are stored."""
    after, before = TradeBound(0, LEAST_ID), TradeBound(_LATEST_US, LEAST_ID)
    async with snapshot(pool, timeout_s=_READ_S) as connection:
        return [
            trade
            for newest in (False, True)
            for trade in await read_trades(
                connection, symbol, after=after, before=before, limit=1, newest=newest
            )
        ]
