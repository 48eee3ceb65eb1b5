"""One symbol of a running plant: its venue's history, what is stored of it, and waiting for its commits."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from db.leases import read_leases
from db.ledger import LedgerRow, read_ledger
from db.pool import OUTAGE, Pool, database_error, open_pool, snapshot
from db.provenance import claim_database_source, read_database_source
from db.retention import read_horizon, read_retention_limit
from db.symbols import read_committed_entry
from db.trades import MIN_TRADE_ID, TradeBound, read_trades
from ingest.history.client import VenueHistory, make_history, open_history_client
from ingest.history.ranges import IdRange, subtract_ranges
from ingest.history.search import HistorySearch
from ingest.publisher import Publisher
from ingest.venues import make_adapter
from ingest.venues.base import VenueAdapter
from ingest.venues.base_rest import HistoryAdapter, KlineAdapter
from maintenance.last_entries import read_last_entry_ids
from tickplant.errors import FatalError, SettingsError, UsageError
from tickplant.intervals import MINUTE_US, floor
from tickplant.klines import Kline
from tickplant.local.addresses import print_data_folder, running_database, running_redis
from tickplant.market import Gap, SymbolId, Trade
from tickplant.provenance import DataSource
from tickplant.proxies import Proxies
from tickplant.redis_agreement import agree_on_partitions, read_redis_source
from tickplant.redis_client import RedisClient, open_redis
from tickplant.redis_errors import redis_error
from tickplant.settings import Settings, variable
from tickplant.streams import CANDLES_ROLE, START, entry_order, gaps_key, partition_of
from tickplant.wire import encode_gaps

_POLL_S: Final = 0.1
_READ_S: Final = 30.0
_WORKER_S: Final = 15.0
"""How long a partition may be without a worker: one may just be taking it over."""
_LATEST_US: Final = 4_102_444_800_000_000


class SymbolMaintenance(NamedTuple):
    """One symbol of a running plant."""

    symbol: SymbolId
    partition: int
    venue: HistoryAdapter
    history: VenueHistory
    search: HistorySearch
    publisher: Publisher
    redis: RedisClient
    pool: Pool

    async def read_ledger(self) -> LedgerRow | None:
        """Return the ledger of the symbol; None where nothing is stored."""
        rows = await read_ledger(self.pool, self.partition)
        return next((row for row in rows if (row.venue, row.symbol) == self.symbol), None)

    async def find_ids(self, start_us: int, end_us: int) -> IdRange | None:
        """Return the ids of a time range, extended to what is stored; None where the venue has no trades.

        Raises:
            FatalError: the venue refuses to give its history.
        """
        first, last = await self.search.find(start_us), await self.search.find(end_us) - 1
        if first > last:
            return None
        ledger = await self.read_ledger()
        if ledger is not None:
            first, last = min(first, ledger.last_trade_id + 1), max(last, ledger.first_trade_id - 1)
        return first, last

    async def read_missing(self, ids: IdRange) -> list[IdRange]:
        """Return those of some ids that are neither stored nor known not to exist."""
        return subtract_ranges(ids, stored_ids(await self.read_ledger()))

    async def read_klines(self, start_us: int, end_us: int) -> AsyncIterator[tuple[Kline, ...]]:
        """Yield the venue's own candles of one minute, request by request.

        Args:
            start_us: start of a minute.
            end_us: start of another, exclusive.

        Raises:
            FatalError: the venue has no candles, or refuses to give them.
        """
        if not isinstance(self.venue, KlineAdapter):
            raise FatalError(f"{self.venue.name} serves no candles")
        step_us = self.venue.klines_at_once * MINUTE_US
        for request_us in range(start_us, end_us, step_us):
            yield await self.search.read_klines(request_us, min(request_us + step_us, end_us))

    async def read_first_minute(self) -> int:
        """Return the start of the minute of the first stored trade.

        Raises:
            FatalError: all were removed by age.
        """
        edges = await _read_edges(self.pool, self.symbol)
        if not edges:
            raise FatalError(
                f"all trades of {self.symbol} have been removed by age: set the first moment with --from"
            )
        return floor(edges[0].event_time_us, MINUTE_US)

    async def read_horizon(self) -> datetime | None:
        """Return the event time before which the symbol's trades were removed by age; None if none were."""
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_horizon(connection, self.symbol)

    async def read_limit(self) -> datetime | None:
        """Return the event time before which trades are removed by age; None where they are kept forever."""
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_retention_limit(connection)

    async def claim_database_source(self) -> None:
        """Record in the database the source that Redis has, before rows are stored that no worker stores.

        Raises:
            MixedSourcesError: the database holds trades of another source.
        """
        source = await read_redis_source(self.redis)
        if source is not None:
            await claim_database_source(self.pool, source)

    async def publish_gaps(self, gaps: Sequence[Gap]) -> None:
        """Write the symbol's gaps to where ingest reads them."""
        await self.redis.hset(gaps_key(self.partition), str(self.symbol), encode_gaps(gaps))

    async def wait_for_commit(self) -> None:
        """Wait until everything in the symbol's stream so far is committed.

        Raises:
            FatalError: no worker owns the partition.
        """
        last = (await read_last_entry_ids(self.redis, [self.partition])).get(self.partition, START)
        while entry_order(await self._read_committed()) < entry_order(last):
            await self.require_worker()
            await asyncio.sleep(_POLL_S)

    async def close_until(self, end_us: int) -> None:
        """Close the candles that end by a time, and wait until everything published is committed.

        Args:
            end_us: a time that the venue has passed, and before which all trades have been published, or are
                known to be missing; workers ignore one in the future.

        Raises:
            FatalError: no worker owns the partition.
        """
        ledger = await self.read_ledger()
        if ledger is not None and ledger.watermark_us < end_us:
            await self.publisher.publish_clock(self.symbol.venue, [self.symbol.symbol], end_us)
        await self.wait_for_commit()

    async def require_worker(self) -> None:
        """Wait a moment for a worker to own the symbol's partition.

        Raises:
            FatalError: none does.
        """
        deadline_s = time.monotonic() + _WORKER_S
        while not await self._is_owned():
            if time.monotonic() > deadline_s:
                raise FatalError(
                    f"no worker owns partition {self.partition}, so nothing would be stored:"
                    " start `tickplant worker`, or `tickplant up`"
                )
            await asyncio.sleep(_POLL_S)

    async def _is_owned(self) -> bool:
        return any(
            lease.alive and lease.partition == self.partition and lease.role == CANDLES_ROLE
            for lease in await read_leases(self.pool)
        )

    async def _read_committed(self) -> str:
        async with snapshot(self.pool, timeout_s=_READ_S) as connection:
            return await read_committed_entry(connection, CANDLES_ROLE, self.partition) or START


@asynccontextmanager
async def open_symbol(
    settings: Settings, text: str, *, application: str, pace_trades: int | None = None
) -> AsyncIterator[SymbolMaintenance]:
    """Connect to the servers that the settings name, or to those of a running `tickplant up`.

    Args:
        settings: addresses, partitions, budget.
        text: `venue:SYMBOL`.
        application: shown in pg_stat_activity.
        pace_trades: the most uncommitted trades that are written ahead of the workers, where the trades come
            from files; None: they are the venue's own answers, and the budget is that of the settings.

    Raises:
        UsageError: the symbol's venue is unknown or has no trade ids.
        FatalError: a server is unavailable.
    """
    venue, symbol = parse_symbol(settings, text)
    print_data_folder(settings)
    redis_url, database_url = running_redis(settings), running_database(settings)
    redis = open_redis(redis_url)
    budget_trades = min(settings.stream_budget_trades, pace_trades or settings.stream_budget_trades)
    publisher = Publisher(
        redis, partitions=settings.partitions, budget_trades=budget_trades, paces=pace_trades is not None
    )
    base_url = getattr(settings, f"{venue.name}_rest_url", venue.rest_url)
    try:
        async with (
            open_pool(database_url, size=2, application=application) as pool,
            open_history_client(publisher, [base_url], Proxies()) as client,
        ):
            await agree_on_partitions(redis, settings.partitions)
            if pace_trades is None:
                _require_source_of_venue(await read_database_source(pool), venue, base_url)
            history = make_history(venue, rest_url=base_url, redis=redis, client=client, publisher=publisher)
            search = HistorySearch(venue, symbol.symbol, history, await _read_edges(pool, symbol))
            partition = partition_of(*symbol, settings.partitions)
            yield SymbolMaintenance(symbol, partition, venue, history, search, publisher, redis, pool)
    except OUTAGE as error:
        if isinstance(error, OSError) and not isinstance(error, (ConnectionError, TimeoutError)):
            raise  # a file's
        raise database_error(error) from error
    except RedisError as error:
        raise redis_error(error) from error
    finally:
        await redis.aclose()


def stored_ids(ledger: LedgerRow | None) -> list[IdRange]:
    """Return the ids that are stored, or that the venue doesn't have, ascending."""
    if ledger is None:
        return []
    return subtract_ranges((ledger.first_trade_id, ledger.last_trade_id), ledger.missing)


def parse_symbol(settings: Settings, text: str) -> tuple[HistoryAdapter, SymbolId]:
    """Return the venue and the id of a symbol whose history can be stored.

    Raises:
        UsageError: the venue is unknown or has no trade ids.
    """
    try:
        name, symbol = SymbolId.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    venue: VenueAdapter | None = None
    with suppress(SettingsError):  # it needs a key, as none with a history does
        venue = make_adapter(name, api_key=getattr(settings, f"{name}_api_key", None))
    if not isinstance(venue, HistoryAdapter):
        raise UsageError(f"{name} has neither trade ids nor a history of trades: nothing can be fetched")
    return venue, SymbolId(name, venue.normalize_symbol(symbol))


def _require_source_of_venue(source: DataSource | None, venue: HistoryAdapter, base_url: str) -> None:
    """Check that the venue itself is not asked for trades of a sandbox.

    Raises:
        FatalError: the database holds synthetic or replayed trades, and the address is the venue's own.
    """
    if source not in (None, "live") and base_url == venue.rest_url:
        raise FatalError(
            f"the trades of this plant are not {venue.name}'s ({source}), so {base_url} can't complete them;"
            f" {variable(venue.name + '_rest_url')} may name the sandbox that they come from, whose address"
            " `tickplant up` reports"
        )


async def _read_edges(pool: Pool, symbol: SymbolId) -> list[Trade]:
    """Return the first and the last stored trade."""
    after, before = TradeBound(0, MIN_TRADE_ID), TradeBound(_LATEST_US, MIN_TRADE_ID)
    async with snapshot(pool, timeout_s=_READ_S) as connection:
        return [
            trade
            for newest in (False, True)
            for trade in await read_trades(
                connection, symbol, after=after, before=before, limit=1, newest=newest
            )
        ]
