"""Wildcards, intervals of sending, and subscriptions without snapshots."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_plant import BTC, ETH, PARTITIONS, Plant, Socket, candle, live, running_plant, trade, update
from conftest import on_one_variant
from msgspec.structs import replace
from working import until

from api.live.follower import Follower
from api.live.gate import WebsocketLimits
from api.live.sinks import PacedSink
from tickplant import wire
from tickplant.derived import Unified
from tickplant.market import Candle, SymbolId
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveUpdate

pytestmark = on_one_variant

NEW = SymbolId("kraken", "NEW/EUR")
SYMBOLS = [BTC, ETH, NEW, *(SymbolId("binance", f"S{number}USDT") for number in range(12))]
TRADES = "trades:*"
CANDLES = "candles:*:1m"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def candle_of(symbol: SymbolId, minute: int, *, count: int, closed: bool) -> Candle:
    return replace(candle(minute, count=count, closed=closed), venue=symbol.venue, symbol=symbol.symbol)


class Received:
    """What a client has got, and the cursors at which it resumes, as docs/websocket.md says."""

    def __init__(self) -> None:
        self.trades: defaultdict[str, list[int]] = defaultdict(list)
        self.closed: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.cursors: dict[str, str] = {}
        self.lost = False

    @property
    def since(self) -> str:
        return ",".join(self.cursors.values())

    def take(self, message: dict[str, Any]) -> None:
        for cursor in message.get("cursor", "").split(","):
            partition, _, position = cursor.partition(".")
            if position:
                assert order(cursor) >= order(self.cursors.get(partition, "0.0-0")), (cursor, self.cursors)
                self.cursors[partition] = cursor
        self.lost |= message.get("recovered") is False
        channel, kind = message.get("channel", ""), message["type"]
        if channel.startswith("trades:") and kind in ("trades", "snapshot"):
            self.trades[channel] += [view["trade_id"] for view in message["data"]]
        elif kind == "candle" and message["data"]["closed"]:
            self.closed[channel][message["data"]["open_time"]] = message["data"]["revision"]


def order(cursor: str) -> tuple[int, int, int]:
    position, _, number = cursor.partition(".")[2].partition(".n")
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence), int(number) if number else 2**31


async def test_a_partition_that_is_resumed_before_a_new_process_follows_it_has_lost_nothing(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = Received()
    async with running_plant(redis_url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.store(trade(1))
        received.take(await socket.subscribe(TRADES))
        await plant.publish(update(trade(1)))
        received.take(await socket.receive_until("trades"))
    followed = asyncio.Event()
    connect = Follower._connect

    async def connect_later(self: Follower) -> None:
        await followed.wait()
        await connect(self)

    monkeypatch.setattr(Follower, "_connect", connect_later)
    async with running_plant(redis_url, database_url, followed=False) as plant, plant.socket() as socket:
        await plant.publish(update(trade(2), entry="2-0"))
        await socket.ask(op="subscribe", channels=[TRADES], since=received.since)

        async def waiting() -> bool:
            return any(partition._waiters for partition in plant.services.hub._partitions)

        await until(waiting, "a partition that is not followed yet is waited for")
        followed.set()
        messages = [await socket.receive()]
        while messages[-1]["type"] != "trades":
            messages.append(await socket.receive())
        assert [view["trade_id"] for view in messages[-1]["data"]] == [2]
        assert all(each.get("recovered") is not False for each in messages)


async def test_a_wildcard_that_can_not_be_resumed_in_one_partition_is_unavailable_and_harms_nothing_else(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, stopped, going_on = Follower._step, asyncio.Event(), asyncio.Event()

    async def stop(self: Follower) -> None:
        stopped.set()
        await going_on.wait()
        await step(self)

    eth = replace(trade(1), symbol=ETH.symbol)
    async with running_plant(redis_url, database_url) as plant, plant.socket() as socket:
        await live(plant)
        await plant.store(trade(1))
        await plant.store(eth)
        known = await plant.publish(update(eth), ETH)
        await plant.caught_up(ETH)
        monkeypatch.setattr(Follower, "_step", stop)
        await stopped.wait()
        unread = await plant.publish(update(trade(1)))
        monkeypatch.setattr("api.live.catch_up.TIMEOUT_S", 0.1)
        numbers = [partition_of(*symbol, PARTITIONS) for symbol in (BTC, ETH)]
        since = f"{numbers[0]}.{unread},{numbers[1]}.{known}"
        await socket.subscribe(TRADES, since=since)
        error = await socket.receive_until("error")
        assert (error["code"], error["channel"]) == ("unavailable", TRADES)
        going_on.set()
        await socket.subscribe(f"trades:{ETH}")
        await plant.publish(update(replace(eth, trade_id=2)), ETH)
        (view,) = (await socket.receive_until("trades", f"trades:{ETH}"))["data"]
        assert view["trade_id"] == 2


async def test_channels_that_are_known_start_and_new_ones_join(plant: Plant) -> None:
    await plant.store(trade(1))
    async with plant.socket() as socket:
        ack = await socket.subscribe(TRADES, "price:kraken:*")
        assert ack["channels"] == [TRADES, "price:kraken:*"]
        assert len(ack["cursor"].split(",")) == PARTITIONS
        snapshots = [await socket.receive_until("snapshot") for _ in (BTC, ETH)]
        assert [snapshot["channel"] for snapshot in snapshots] == [f"trades:{BTC}", f"trades:{ETH}"]
        for number in (1, 2):
            made = trade(number, symbol=NEW)
            await plant.publish(update(made, entry=f"{number}-0"), NEW)
        messages = [await socket.receive() for _ in range(6)]
        assert [(message["type"], message["channel"]) for message in messages] == [
            ("joined", f"price:{NEW}"),
            ("joined", f"trades:{NEW}"),
            ("price", f"price:{NEW}"),
            ("trades", f"trades:{NEW}"),
            ("price", f"price:{NEW}"),
            ("trades", f"trades:{NEW}"),
        ]
        assert messages[1]["wildcard"] == TRADES
        assert messages[1]["recovered"] is True


async def test_the_cursor_of_a_channel_that_joins_leaves_out_nothing_that_is_read_with_it(
    plant: Plant,
) -> None:
    """The notice comes before the changes of an older update that is read at once."""
    partition = partition_of(*BTC, PARTITIONS)
    new = next(each for each in SYMBOLS[3:] if partition_of(*each, PARTITIONS) == partition)
    request = {"op": "subscribe", "channels": [TRADES], "snapshot": False}
    async with plant.socket() as socket:
        await socket.ask(**request)
        await socket.receive_until("ack")
        pipeline = plant.redis.pipeline(transaction=True)
        for number, symbol in enumerate((BTC, new), 1):
            live_update = update(trade(1, symbol=symbol), entry=f"{number}-0")
            pipeline.xadd(live_stream(partition), {wire.UPDATE: wire.encode_update(live_update)})
        await pipeline.execute()
        joined = await socket.receive_until("joined")
        assert joined["channel"] == f"trades:{new}"
    async with plant.socket() as socket:
        await socket.ask(**request, since=joined["cursor"])
        missed = [await socket.receive_until("trades") for _ in range(2)]
    assert [message["channel"] for message in missed] == [f"trades:{BTC}", f"trades:{new}"]


async def test_a_wildcard_of_a_venue_has_its_symbols_only(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=["candles:Binance:*:1m"], snapshot=False)
        assert (await socket.receive())["channels"] == ["candles:binance:*:1m"]
        for symbol in (NEW, ETH, SYMBOLS[5]):
            await plant.publish(LiveUpdate(candles=(candle_of(symbol, 0, count=1, closed=False),)), symbol)
        channels = {(await socket.receive_until("candle"))["channel"] for _ in range(2)}
        assert channels == {f"candles:{ETH}:1m", f"candles:{SYMBOLS[5]}:1m"}


async def test_unsubscribing_ends_all_channels_of_a_wildcard(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=["price:*"], snapshot=False)
        await socket.receive_until("ack")
        await socket.ask(op="unsubscribe", channels=["price:*"])
        assert (await socket.receive_until("ack"))["channels"] == ["price:*"]
        await plant.publish(update(trade(1)))
        await plant.publish(update(trade(1, symbol=NEW)), NEW)
        await socket.ask(op="unsubscribe", channels=["price:*"])
        error = await socket.receive()
        assert (error["type"], error["code"]) == ("error", "not_subscribed")
        assert not plant.services.hub.wildcards._subscribers


@pytest.mark.parametrize("name", ["stats:*", "candles:*:3m", "connections:*", "price:*:*", "*:BTCUSDT", "*"])
async def test_what_is_no_wildcard_is_refused(plant: Plant, name: str) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=[name])
        assert (await socket.receive())["code"] in ("unknown_channel", "unknown_symbol")


async def test_odd_names_open_no_channel(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=["price:*", "unified:*", CANDLES], snapshot=False)
        await socket.receive_until("ack")
        odd = [trade(1, symbol=SymbolId(*names)) for names in (("", "A"), ("v", "A B"), ("v", "A" * 65))]
        unified = tuple(Unified(name, "1", 1, "", {}, {}) for name in ("", "A", ":", "v:", " : "))
        wrong_interval = replace(candle(), interval="7m")
        await plant.publish(LiveUpdate(prices=tuple(odd), unified=unified, candles=(wrong_interval,)))
        await plant.publish(update(trade(2)))
        assert (await socket.receive_until("price"))["data"]["trade_id"] == 2
        channels = [str(channel) for client in plant.services.hub.clients for channel in client.channels]
        assert len(channels) == 6
    assert sum("no channel is opened" in record.message for record in caplog.records) == 1


async def test_a_client_has_no_more_channels_than_allowed(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, limits=WebsocketLimits(all_channels=3)) as plant:
        await live(plant)
        async with plant.socket() as socket:
            await socket.ask(op="subscribe", channels=["price:*", TRADES], snapshot=False)
            error, ack = [await socket.receive() for _ in range(2)]
            assert (error["code"], error["channel"]) == ("too_many_channels", TRADES)
            assert ack["channels"] == ["price:*"]
            for symbol in SYMBOLS[2:5]:
                await plant.publish(update(trade(1, symbol=symbol)), symbol)
            error = await socket.receive_until("error")
            assert (error["code"], error["channel"]) == ("too_many_channels", "price:*")


async def publish_market(plant: Plant, seed: int, steps: int, entry: int) -> int:
    """Publish trades and candles of symbols, ever more of them; return the last number."""
    choose = random.Random(seed)
    for step in range(steps):
        symbol = choose.choice(SYMBOLS[: 1 + step * len(SYMBOLS) // steps])
        entry += 1
        trades = [trade(entry * 10 + index, symbol=symbol) for index in range(choose.randint(1, 3))]
        candles = [candle_of(symbol, entry, count=1, closed=choose.random() < 0.5)]
        await plant.publish(update(*trades, entry=f"{entry}-0", candles=candles), symbol)
        await asyncio.sleep(0)
    return entry


async def receive_until_last(socket: Socket, received: Received, last: int) -> None:
    """Take messages until the last trade of each symbol has come."""
    names = [f"trades:{symbol}" for symbol in SYMBOLS]
    while any(received.trades[name][-1:] != [last] for name in names):
        received.take(await socket.receive())


async def receive_some(socket: Socket, received: Received, most: int) -> None:
    """Take so many messages, or until the answer to a ping, which follows all that was missed."""
    await socket.ask(op="ping")
    for _ in range(most):
        message = await socket.receive()
        if message["type"] == "pong":
            return
        received.take(message)


@pytest.mark.parametrize("every", [None, "20ms"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_client_cut_off_at_random_gets_what_an_uninterrupted_one_gets(
    plant: Plant, seed: int, every: str | None
) -> None:
    choose = random.Random(seed)
    whole, cut = Received(), Received()
    request = {"op": "subscribe", "channels": [TRADES, CANDLES], "snapshot": False, "every": every}
    async with plant.socket() as quiet, plant.socket() as first:
        await quiet.ask(**request)
        whole.take(await quiet.receive_until("ack"))
        await first.ask(**request)
        cut.take(await first.receive_until("ack"))
        first.connection.transport.abort()
        publishing = asyncio.create_task(publish_market(plant, seed, 300, 1))
        for _ in range(30):
            async with plant.socket() as socket:
                await socket.ask(**request, since=cut.since)
                await receive_some(socket, cut, choose.randint(0, 25))
                socket.connection.transport.abort()
        await publishing
        last = 10**6
        for symbol in SYMBOLS:
            await plant.publish(update(trade(last, symbol=symbol), entry="9999-0"), symbol)
        await receive_until_last(quiet, whole, last)
    async with plant.socket() as socket:
        await socket.ask(**request, since=cut.since)
        await receive_until_last(socket, cut, last)
    assert not cut.lost
    assert not whole.lost
    assert cut.trades == whole.trades
    assert cut.closed == whole.closed
    assert {partition_of(*symbol, PARTITIONS) for symbol in SYMBOLS} == set(range(PARTITIONS))


async def test_an_interval_sends_the_newest_state_and_every_trade(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(
            op="subscribe", channels=[f"price:{BTC}", f"trades:{BTC}"], snapshot=False, every="60s"
        )
        await socket.receive_until("ack")
        for number in range(1, 4):
            await plant.publish(update(trade(number), entry=f"{number}-0"))
            if number == 1:  # nothing was sent before, so that the first goes at once
                assert (await socket.receive())["data"]["trade_id"] == 1
                assert (await socket.receive())["type"] == "trades"
        await plant.caught_up()
        (client,) = plant.services.hub.clients
        (sink,) = client.paces.values()
        assert isinstance(sink, PacedSink)
        sink._release_due()
        assert (await socket.receive())["data"][0]["trade_id"] == 2
        assert (await socket.receive())["data"]["trade_id"] == 3
        assert (await socket.receive())["data"][0]["trade_id"] == 3


@pytest.mark.parametrize("every", ["", "1", "0ms", "9ms", "61s", "-1s", "1.5s", "250 ms"])
async def test_what_is_no_interval_is_refused(plant: Plant, every: str) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=[f"price:{BTC}"], every=every)
        error = await socket.receive()
        assert error["code"] == "invalid_request"
        assert "10ms to 60s" in error["message"]


async def test_different_intervals_of_a_client_are_few(plant: Plant) -> None:
    async with plant.socket() as socket:
        for number in range(9):
            await socket.ask(op="subscribe", channels=[f"price:{BTC}"], every=f"{number + 10}ms")
        assert "8 different intervals" in (await socket.receive_until("error"))["message"]


async def test_updates_lost_are_reported_for_wildcards(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=[TRADES], snapshot=False)
        await socket.receive_until("ack")
        await plant.redis.xadd(live_stream(3), {b"u": b"\xc1"})
        notice = await socket.receive()
        assert (notice["type"], notice["channel"], notice["recovered"]) == ("resumed", TRADES, False)
        await socket.receive_until("snapshot")
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=[TRADES], since="3.1-1,999.1-1")
        await socket.receive_until("ack")
        notice = await socket.receive()
        assert (notice["type"], notice["channel"], notice["recovered"]) == ("resumed", TRADES, False)
