"""An API under test: rows and updates written by hand, and clients that talk to it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from copy import copy
from decimal import Decimal
from typing import Any, Final

import asyncpg
import httpx
import msgspec
from litestar import Litestar
from msgspec import Raw
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect

from api.app import Services, create_app
from api.http.tls import TlsFiles
from api.live.gate import WebsocketLimits
from api.open_services import AccessSettings, ServiceSettings, open_services
from api.service import PING_S, bind, serving
from db.commit import DerivedRows
from tickplant import wire
from tickplant.clock import now_us
from tickplant.hosts import Hosts
from tickplant.intervals import BASE, INTERVALS, MINUTE_US, floor
from tickplant.market import Candle, Gap, SymbolId, Trade, fold
from tickplant.redis_client import open_redis
from tickplant.streams import CONNECTIONS, live_stream, owner_key, partition_of, prices_key, unified_key
from tickplant.times import to_datetime
from tickplant.webhooks import WebhookSettings
from tickplant.wire import ConnectionStatus, LiveEntry, LiveUpdate

PARTITIONS = 4
BTC = SymbolId("binance", "BTCUSDT")
ETH = SymbolId("binance", "ETHUSDT")
T0 = 1_723_161_240_000_000
"""2024-08-08 23:54:00 UTC, in microseconds."""
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients without TLS: reading the usual authorities takes as long as a test."""

_idle_apps: dict[tuple[str, ...], list[tuple[Services, Litestar]]] = {}
"""Applications that no plant uses, with the services that they inject, by origins."""


def trade(
    number: int,
    *,
    at_us: int | None = None,
    price: str = "61837.63000000",
    size: str = "0.02000000",
    symbol: SymbolId = BTC,
) -> Trade:
    """A trade; one a second by default."""
    time_us = T0 + number * 1_000_000 if at_us is None else at_us
    side = "buy" if number % 2 else "sell"
    return Trade(*symbol, number, price, size, side, time_us, time_us + 1_342)  # type: ignore[arg-type]


def candle(
    number: int = 0, *, count: int = 1, closed: bool = False, revision: int = 0, **fields: Any
) -> Candle:
    """The candle of minute `number` after T0 of BTCUSDT, with `count` trades."""
    made = fold([trade(index, at_us=T0 + number * MINUTE_US + index) for index in range(count)])[0]
    return replace(made, closed=closed, complete=closed, revision=revision, **fields)


def gap(first_id: int, last_id: int, *, state: str = "open", symbol: SymbolId = BTC, **fields: Any) -> Gap:
    """A gap of some ids, detected `first_id` seconds after T0."""
    time_us = T0 + first_id * 1_000_000
    missing = 0 if state == "healed" else last_id - first_id + 1
    made = Gap(*symbol, first_id, last_id, time_us, time_us + 5, state, "ours", None, missing)
    return replace(made, **fields)


def update(
    *trades: Trade,
    entry: str = "1-0",
    candles: Sequence[Candle] = (),
    prices: Sequence[Trade] | None = None,
    gaps: Sequence[Gap] = (),
) -> LiveUpdate:
    """An update with one input entry, if there are trades, and the prices that they make."""
    last = {(made.venue, made.symbol): made for made in trades}
    entries = (LiveEntry(entry, Raw(wire.encode_trades(trades))),) if trades else ()
    return LiveUpdate(
        entries, tuple(last.values()) if prices is None else tuple(prices), tuple(candles), tuple(gaps)
    )


class Socket:
    """A websocket client that speaks JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def ask(self, **request: Any) -> None:
        await self.connection.send(json.dumps(request))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message = json.loads(await self.connection.recv())
        assert isinstance(message, dict)
        return message

    async def receive_until(self, kind: str, channel: str | None = None) -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        while True:
            message = await self.receive()
            if message["type"] == kind and channel in (None, message.get("channel")):
                return message

    async def subscribe(self, *channels: str, **others: Any) -> dict[str, Any]:
        """Subscribe, and return the acknowledgement."""
        await self.ask(op="subscribe", id=1, channels=list(channels), **others)
        return await self.receive_until("ack")


class Plant:
    """The servers and the API."""

    def __init__(
        self,
        address: str,
        services: Services,
        redis_url: str,
        database_url: str,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.services = services
        self.redis = open_redis(redis_url)
        self.database_url = database_url
        self._stored: dict[SymbolId, list[Trade]] = {}
        self.http = httpx.AsyncClient(base_url=address, timeout=30, verify=trusted or NO_AUTHORITIES)
        self.trusted = trusted

    async def close(self) -> None:
        await self.http.aclose()
        await self.redis.aclose()

    async def get(self, path: str, status: int = 200, /, **parameters: Any) -> Any:
        answer = await self.http.get(path, params=parameters)
        assert answer.status_code == status, answer.text
        return answer.json()

    @asynccontextmanager
    async def socket(self, path: str = "/ws", **options: Any) -> AsyncIterator[Socket]:
        url = self.address.replace("http", "ws", 1) + path
        options = {"ssl": self.trusted} | options if self.trusted else options
        async with connect(url, max_size=None, **options) as connection:
            yield Socket(connection)

    async def publish(self, live: LiveUpdate, symbol: SymbolId = BTC, **options: Any) -> str:
        """Publish as a worker does: the update and the prices at once. Returns the entry's id."""
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.xadd(
            live_stream(partition_of(*symbol, PARTITIONS)), {wire.UPDATE: wire.encode_update(live)}, **options
        )
        for price in live.prices:
            key = prices_key(partition_of(price.venue, price.symbol, PARTITIONS))
            pipeline.hset(key, f"{price.venue}:{price.symbol}", wire.encode_trade(price))
        entry_id: bytes = (await pipeline.execute())[0]
        return entry_id.decode()

    async def commit(self, *rows: DerivedRows, entry: str) -> None:
        """Store what roles have come to, as a worker's commit does."""
        connection = await asyncpg.connect(self.database_url)
        for each in rows:
            await each.write(connection, entry)
        await connection.close()

    async def publish_committed(self, live: LiveUpdate, symbol: SymbolId = BTC, *, committed: str) -> None:
        """Publish as a worker does after a commit: the update, what is unified, and how far that goes."""
        number = partition_of(*symbol, PARTITIONS)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.xadd(live_stream(number), {wire.UPDATE: wire.encode_update(live)})
        for unified in live.unified:
            pipeline.hset(unified_key(number), unified.symbol, msgspec.json.encode(unified))
        pipeline.hset(owner_key("candles", number), "told", committed)
        await pipeline.execute()

    async def caught_up(self, symbol: SymbolId = BTC) -> None:
        """Wait until the API's hub has taken everything published."""
        hub = self.services.hub
        number = partition_of(*symbol, PARTITIONS)
        async with asyncio.timeout(10):
            await hub._partitions[number].reached(await hub._streams.last_update(number))

    async def report(self, connection: ConnectionStatus, *, ago_us: int = 0) -> None:
        """Tell the state of a venue connection as ingest does, or did some time ago."""
        reported = replace(connection, reported_at_us=now_us() - ago_us)
        await self.redis.hset(CONNECTIONS, connection.name, wire.encode_connection(reported))

    async def store_gaps(self, *gaps: Gap) -> None:
        """Store gaps; the ledger lists what is missing."""
        connection = await asyncpg.connect(self.database_url)
        for gap in gaps:
            await connection.execute(
                "insert into gaps (venue, symbol, first_id, last_id, after_time, detected_at, state, cause,"
                " reason) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *(gap.venue, gap.symbol, gap.first_id, gap.last_id),
                *(
                    to_datetime(gap.after_time_us),
                    to_datetime(gap.detected_at_us),
                    gap.state,
                    gap.cause,
                    gap.reason,
                ),
            )
        await connection.close()

    async def store(
        self,
        *trades: Trade,
        entry: str = "1-0",
        closed_until_us: int | None = None,
        numbered: bool = True,
    ) -> None:
        """Store trades of one symbol, and the candles of all that are stored, as a worker's commit does."""
        symbol = SymbolId(trades[0].venue, trades[0].symbol)
        stored = self._stored[symbol] = [*self._stored.get(symbol, []), *trades]
        watermark_us = stored[-1].event_time_us if closed_until_us is None else closed_until_us
        ids = {made.trade_id for made in stored}
        missing = [f"[{number},{number}]" for number in range(min(ids), max(ids)) if number not in ids]
        connection = await asyncpg.connect(self.database_url)
        async with connection.transaction():
            await connection.copy_records_to_table("trades", records=[_trade_row(made) for made in trades])
            for table in ("closed_candles", "open_candle_rows"):
                await connection.execute(f"delete from {table} where venue = $1 and symbol = $2", *symbol)
            minute_us = floor(watermark_us, MINUTE_US)
            ended = [made for made in stored if made.event_time_us < minute_us]
            for interval, length_us in INTERVALS.items():
                rows: dict[bool, list[Any]] = {True: [], False: []}
                for made in fold(stored if interval == BASE else ended, interval, length_us):
                    closed = made.open_time_us + length_us <= watermark_us
                    complete = None if closed and not numbered else closed
                    rows[closed].append(_candle_row(replace(made, closed=closed, complete=complete)))
                await connection.copy_records_to_table("closed_candles", records=rows[True])
                await connection.copy_records_to_table("open_candle_rows", records=rows[False])
            await connection.execute(
                "insert into ledger (venue, symbol, partition, first_trade_id, last_trade_id, missing,"
                " watermark, numbered) values ($1, $2, $3, $4, $5, $6::text::int8multirange, $7, $8)"
                " on conflict (venue, symbol) do update set first_trade_id = excluded.first_trade_id,"
                " last_trade_id = excluded.last_trade_id, missing = excluded.missing,"
                " watermark = excluded.watermark",
                *symbol,
                partition_of(*symbol, PARTITIONS),
                min(ids),
                max(ids),
                "{" + ",".join(missing) + "}",
                to_datetime(watermark_us),
                numbered,
            )
            await connection.execute(
                "insert into lease values ('candles', $1, 'someone', 1, 'infinity', $2)"
                " on conflict (role, partition) do update set entry_id = excluded.entry_id",
                partition_of(*symbol, PARTITIONS),
                entry,
            )
        await connection.close()


@asynccontextmanager
async def application(services: Services, origins: Sequence[str]) -> AsyncIterator[Litestar]:
    """Lend an application to one plant at a time: making one takes longer than most tests."""
    idle = _idle_apps.setdefault(tuple(origins), [])
    if idle:
        injected, app = idle.pop()
        for name in Services.__struct_fields__:
            setattr(injected, name, getattr(services, name))
    else:
        injected = copy(services)
        app = create_app(injected, origins=origins)
    try:
        yield app
    finally:
        idle.append((injected, app))


@asynccontextmanager
async def running_plant(
    redis_url: str,
    database_url: str,
    *,
    limits: WebsocketLimits | None = None,
    symbols: Sequence[SymbolId] = (BTC, ETH),
    origins: Sequence[str] = (),
    hosts: Sequence[str] = (),
    alerts_per_user: int = 100,
    webhooks: WebhookSettings = WebhookSettings(None),  # noqa: B008 - it can't change
    notify_tags: Collection[str] = (),
    database_read_url: str | None = None,
    access: AccessSettings = AccessSettings(),  # noqa: B008 - likewise
    proxies: Sequence[str] = (),
    tls: TlsFiles | None = None,
    port: int = 0,
    ping_s: float = PING_S,
    followed: bool = True,
) -> AsyncIterator[Plant]:
    """Run the API on a port; 0 for any free one.

    Until it follows the live streams, answers have no cursors and streams begin with a notice: that is waited
    for, unless `followed` is False.
    """
    listener = bind("127.0.0.1", port)
    async with (
        open_services(
            ServiceSettings(
                redis_url=redis_url,
                database_url=database_url,
                database_read_url=database_read_url,
                partitions=PARTITIONS,
                symbols=symbols,
                alerts_per_user=alerts_per_user,
                webhooks=webhooks,
                notify_tags=notify_tags,
                access=access,
            ),
            limits or WebsocketLimits(origins=tuple(origins)),
            asyncio.Event(),
        ) as services,
        application(services, origins) as app,
        serving(
            services,
            listener,
            origins=origins,
            hosts=Hosts(hosts),
            proxies=proxies,
            tls=tls,
            ping_s=ping_s,
            app=app,
        ) as address,
    ):
        trusted = ssl.create_default_context(cafile=str(tls.certificate)) if tls else None
        plant = Plant(address, services, redis_url, database_url, trusted)
        try:
            if followed:
                await live(plant)
            yield plant
        finally:
            await plant.close()


async def all_pages(plant: Plant, path: str, key: str, **parameters: Any) -> list[list[Any]]:
    pages = []
    after: dict[str, Any] = {}
    while True:
        answer = await plant.get(path, **parameters, **after)
        pages.append(answer[key])
        if answer["next"] is None:
            return pages
        assert len(pages) < 100
        after = {"after": answer["next"]}


async def live(plant: Plant) -> None:
    """Wait until the hub follows the streams."""
    async with asyncio.timeout(10):
        while not plant.services.hub.live:  # noqa: ASYNC110 - a condition of the server's
            await asyncio.sleep(0.01)


def _trade_row(made: Trade) -> tuple[Any, ...]:
    return (
        made.venue,
        made.symbol,
        made.trade_id,
        Decimal(made.price),
        Decimal(made.size),
        made.side,
        to_datetime(made.event_time_us),
        to_datetime(made.ingest_time_us),
    )


def _candle_row(made: Candle) -> tuple[Any, ...]:
    return (
        made.venue,
        made.symbol,
        made.interval,
        to_datetime(made.open_time_us),
        made.open,
        made.high,
        made.low,
        made.close,
        made.volume,
        made.quote_volume,
        made.trade_count,
        to_datetime(made.first_event_time_us),
        made.first_trade_id,
        to_datetime(made.last_event_time_us),
        made.last_trade_id,
        made.revision,
        made.closed,
        made.complete,
        made.taker_buy_volume,
        made.taker_buy_quote_volume,
    )
