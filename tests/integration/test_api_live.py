"""The websocket: snapshots, updates, resuming, and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest
from api_plant import BTC, ETH, PARTITIONS, T0, Plant, Socket, candle, live, running_plant, trade, update
from conftest import on_one_variant
from msgspec import Raw
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed, InvalidStatus
from working import until

from api.live.gate import WebsocketLimits
from tickplant import wire
from tickplant.derived import Unified
from tickplant.kernel import encode_trades
from tickplant.streams import live_stream, partition_of, trades_stream
from tickplant.wire import LiveEntry, LiveUpdate

pytestmark = on_one_variant

PRICE = "price:binance:BTCUSDT"
TRADES = "trades:binance:BTCUSDT"
CANDLES = "candles:binance:BTCUSDT:1m"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def ids(message: dict[str, Any]) -> list[int]:
    return [view["trade_id"] for view in message["data"]]


async def trades_until(socket: Socket, last: int) -> list[int]:
    """The ids of trades received, up to the last that is awaited."""
    found: list[int] = []
    while not found or found[-1] != last:
        message = await socket.receive()
        if message["type"] == "trades" or (message["type"] == "snapshot" and message["channel"] == TRADES):
            found += ids(message)
    return found


# subscribing


async def test_a_snapshot_first_and_then_what_changes(plant: Plant) -> None:
    await plant.store(trade(1), trade(2))
    await plant.publish(update(trade(1), trade(2), candles=[candle(count=2)]))
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", id="a", channels=[CANDLES, PRICE, TRADES])
        ack, *snapshots = [await socket.receive() for _ in range(4)]
        assert ack == {"type": "ack", "id": "a", "op": "subscribe", "channels": [CANDLES, PRICE, TRADES]}
        assert [(message["type"], message["channel"]) for message in snapshots] == [
            ("snapshot", CANDLES),
            ("snapshot", PRICE),
            ("snapshot", TRADES),
        ]
        assert all("recovered" not in message for message in snapshots)
        assert [view["trade_count"] for view in snapshots[0]["data"]] == [2]
        assert snapshots[1]["data"]["trade_id"] == 2
        assert ids(snapshots[2]) == [1, 2]

        await plant.publish(update(trade(3), entry="2-0", candles=[candle(count=3)]))
        messages = {message["channel"]: message for message in [await socket.receive() for _ in range(3)]}
        assert messages[CANDLES]["type"] == "candle"
        assert messages[CANDLES]["data"]["trade_count"] == 3
        assert messages[PRICE]["type"] == "price"
        assert messages[PRICE]["data"]["trade_id"] == 3
        assert messages[TRADES]["type"] == "trades"
        assert ids(messages[TRADES]) == [3]
        assert len({message["cursor"] for message in messages.values()}) == 3


async def test_nothing_is_known_yet(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(PRICE, TRADES, CANDLES)
        assert [(await socket.receive())["data"] for _ in range(3)] == [None, [], []]


async def test_symbols_are_named_as_in_messages(plant: Plant) -> None:
    async with plant.socket() as socket:
        assert (await socket.subscribe("candles:btcusdt:1m", "price:Binance:btcusdt"))["channels"] == [
            CANDLES,
            PRICE,
        ]


async def test_a_candle_opens_closes_and_is_corrected(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(CANDLES)
        await socket.receive_until("snapshot")
        states = [
            candle(count=1),
            candle(count=5),
            candle(count=5, closed=True),
            candle(count=6, closed=True, revision=1),
        ]
        for state in states:
            await plant.publish(update(candles=[state]))
            view = (await socket.receive_until("candle"))["data"]
            assert (view["trade_count"], view["closed"], view["revision"]) == (
                state.trade_count,
                state.closed,
                state.revision,
            )


async def test_a_closed_candle_and_the_next_in_one_update_are_both_sent(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(CANDLES)
        await socket.receive_until("snapshot")
        await plant.publish(update(candles=[candle(0, count=5, closed=True), candle(1)]))
        views = [(await socket.receive_until("candle"))["data"] for _ in range(2)]
        assert [(view["open_time"][14:16], view["closed"]) for view in views] == [("54", True), ("55", False)]


async def test_a_newcomer_sees_what_is_live_but_not_stored_yet(plant: Plant) -> None:
    await plant.store(trade(1), entry="1-0")
    await plant.publish(update(trade(1), entry="1-0", candles=[candle(count=1)]))
    await plant.publish(update(trade(2), entry="2-0", candles=[candle(count=2)]))
    await plant.publish(update(trade(3), entry="3-0", candles=[candle(count=3)]))
    await plant.caught_up()
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, CANDLES)
        assert ids(await socket.receive_until("snapshot", TRADES)) == [1, 2, 3]
        assert (await socket.receive_until("snapshot", CANDLES))["data"][0]["trade_count"] == 3


async def test_a_hub_that_began_late_still_knows_what_is_not_stored(
    redis_url: str, database_url: str
) -> None:
    async with running_plant(redis_url, database_url) as first:
        await first.store(trade(1), trade(2), entry="1-0")
        # An update that is stored only in part, as after the takeover of a partition.
        await first.publish(
            LiveUpdate(
                update(trade(1), trade(2), entry="1-0").entries + update(trade(3), entry="1-1").entries
            )
        )
        await first.publish(update(trade(4), entry="2-0"))
    async with running_plant(redis_url, database_url) as second, second.socket() as socket:
        await live(second)
        await socket.subscribe(TRADES)
        assert ids(await socket.receive_until("snapshot")) == [1, 2, 3, 4]


async def test_subscribers_come_and_go_while_trades_flow(plant: Plant) -> None:
    """Every client's snapshot and updates join without gaps and duplicates."""
    count = 400
    consumers: list[asyncio.Task[list[int]]] = []

    async def produce() -> None:
        stored = 0
        for number in range(1, count + 1):
            if number % 50 == 25:
                consumers.append(asyncio.create_task(consume()))
            await plant.publish(update(trade(number), entry=f"{number}-0"))
            if number % 20 == 0:  # what is stored lags behind what is live
                new = range(stored + 1, number - 5)
                stored = new[-1]
                await plant.store(*(trade(each) for each in new), entry=f"{stored}-0")

    async def consume() -> list[int]:
        async with plant.socket() as socket:
            await socket.subscribe(TRADES)
            return await trades_until(socket, count)

    await produce()
    for numbers in await asyncio.gather(*consumers):
        assert numbers == list(range(numbers[0], count + 1))


async def test_unsubscribing_ends_a_channel_only(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(PRICE, TRADES)
        await socket.ask(op="unsubscribe", id=2, channels=[TRADES])
        assert (await socket.receive_until("ack"))["channels"] == [TRADES]
        await plant.publish(update(trade(1)))
        await plant.publish(update(trade(2), entry="2-0"))
        assert [(await socket.receive())["channel"] for _ in range(2)] == [PRICE, PRICE]
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot", TRADES)


async def test_a_second_subscription_sends_a_new_snapshot(plant: Plant) -> None:
    async with plant.socket() as socket:
        for _ in range(3):
            await socket.subscribe(PRICE)
            await socket.receive_until("snapshot", PRICE)
        await plant.publish(update(trade(1)))
        assert (await socket.receive())["type"] == "price"
        await socket.ask(op="ping", id=9)
        assert await socket.receive() == {"type": "pong", "id": 9}


# resuming


async def test_a_reconnected_client_gets_exactly_what_it_missed(plant: Plant) -> None:
    await plant.publish(update(trade(1), candles=[candle(count=1)]))
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, PRICE)
        cursor = (await socket.receive_until("snapshot", TRADES))["cursor"]
    for number in range(2, 250):
        await plant.publish(update(trade(number), entry=f"{number}-0"))
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, since=cursor)
        assert await socket.receive() == {
            "type": "resumed",
            "channel": TRADES,
            "cursor": cursor,
            "recovered": True,
        }
        await plant.publish(update(trade(250), entry="250-0"))
        assert await trades_until(socket, 250) == list(range(2, 251))


async def test_a_client_resumes_in_the_middle_of_an_update(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    both = LiveUpdate(update(trade(2), entry="2-0").entries + update(trade(3), entry="3-0").entries)
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot")
        await plant.publish(both)
        first = await socket.receive_until("trades")
        assert ids(first) == [2]
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, since=first["cursor"])
        await socket.receive_until("resumed")
        assert ids(await socket.receive_until("trades")) == [3]


async def test_one_cursor_serves_all_channels_of_a_symbol(plant: Plant) -> None:
    """The last cursor received, whatever the channel, loses nothing in any of them."""
    await plant.publish(update(trade(1), candles=[candle(count=1)]))
    async with plant.socket() as socket:
        await socket.subscribe(PRICE, CANDLES, TRADES)
        for _ in range(3):
            await socket.receive_until("snapshot")
        await plant.publish(update(trade(2), entry="2-0", candles=[candle(count=2)]))
        seen = [await socket.receive() for _ in range(3)]
    for have in range(1, 3):
        async with plant.socket() as socket:
            await socket.subscribe(PRICE, CANDLES, TRADES, since=seen[have - 1]["cursor"])
            for _ in range(3):
                await socket.receive_until("resumed")
            missed = [await socket.receive() for _ in range(3 - have)]
            assert missed == seen[have:]


async def test_history_and_live_join_at_the_cursor_of_a_rest_answer(plant: Plant) -> None:
    await plant.publish(update(trade(1), entry="1-0"))
    await plant.publish(update(trade(2), entry="2-0"))
    await plant.store(trade(1), entry="1-0")
    await plant.caught_up()
    page = await plant.get("/api/v1/trades/BTCUSDT")
    assert ids({"data": page["trades"]}) == [1]
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, since=page["cursor"])
        await socket.receive_until("resumed")
        await plant.publish(update(trade(3), entry="3-0"))
        assert await trades_until(socket, 3) == [2, 3]


async def test_history_that_is_ahead_of_the_live_updates_read_joins_them_without_duplicates(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = asyncio.Event()
    reading.set()
    streams = plant.services.hub._streams
    tail = streams.tail

    async def held(*positions: Any, **options: Any) -> Any:
        reply = await tail(*positions, **options)
        await reading.wait()
        return reply

    monkeypatch.setattr(streams, "tail", held)
    await plant.store(trade(1), entry="1-0")
    await plant.publish(update(trade(1), entry="1-0"))
    await plant.caught_up()
    reading.clear()
    await plant.publish(update(trade(2), entry="2-0"))
    await plant.store(trade(2), entry="2-0")
    page = await plant.get("/api/v1/trades/BTCUSDT")
    assert ids({"data": page["trades"]}) == [1, 2]
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", id=1, channels=[TRADES], since=page["cursor"])
        asyncio.get_running_loop().call_later(0.2, reading.set)
        await socket.receive_until("resumed")
        await plant.publish(update(trade(3), entry="3-0"))
        assert await trades_until(socket, 3) == [3]


async def test_a_price_cursor_resumes_with_the_next_price(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    cursor = (await plant.get("/api/v1/price/BTCUSDT"))["cursor"]
    await plant.publish(update(trade(2), entry="2-0"))
    async with plant.socket("/ws/price/BTCUSDT?since=" + cursor) as socket:
        await socket.receive_until("resumed")
        assert (await socket.receive_until("price"))["data"]["trade_id"] == 2


async def test_updates_that_can_no_longer_be_recovered_are_reported(plant: Plant) -> None:
    await plant.store(trade(1))
    cursors = ["3.1-1", "3.99999999999999-0", "0.1-1"]
    async with plant.socket() as socket:
        for cursor in cursors:
            await socket.subscribe(TRADES, since=cursor)
            snapshot = await socket.receive_until("snapshot")
            assert snapshot["recovered"] is False
            assert ids(snapshot) == [1]


async def test_each_channel_may_have_a_cursor_of_its_own(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    await plant.publish(update(trade(1, symbol=ETH)), ETH)
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, "trades:ETHUSDT")
        cursors = {}
        for _ in range(2):
            message = await socket.receive_until("snapshot")
            cursors[message["channel"]] = message["cursor"]
    await plant.publish(update(trade(2), entry="2-0"))
    await plant.publish(update(trade(3, symbol=ETH), entry="2-0"), ETH)
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, "trades:ETHUSDT", PRICE, since=cursors)
        messages = [await socket.receive() for _ in range(5)]
    kinds = sorted((message["type"], message["channel"]) for message in messages)
    assert kinds == [
        ("resumed", TRADES),
        ("resumed", "trades:binance:ETHUSDT"),
        ("snapshot", PRICE),
        ("trades", TRADES),
        ("trades", "trades:binance:ETHUSDT"),
    ]
    assert all("recovered" not in message for message in messages if message["type"] == "snapshot")


# what is refused


WRONG: list[tuple[str | bytes, str, int | None]] = [
    ("{", "malformed", None),
    (b"\xff\xfe", "malformed", None),
    ("17", "invalid_request", None),
    ('{"id": 1}', "invalid_request", 1),
    ('{"op": "subscribe", "id": 1}', "invalid_request", 1),
    ('{"op": "shout", "id": 1}', "unknown_op", 1),
    ('{"op": "subscribe", "id": 1, "channels": ["book:BTCUSDT"]}', "unknown_channel", 1),
    ('{"op": "subscribe", "id": 1, "channels": ["price:BTCUSD"]}', "unknown_symbol", 1),
    ('{"op": "subscribe", "id": 1, "channels": ["candles:BTCUSDT:7m"]}', "unknown_interval", 1),
    ('{"op": "subscribe", "id": 1, "channels": ["price:BTCUSDT"], "since": "x"}', "bad_cursor", 1),
    ('{"op": "unsubscribe", "id": 1, "channels": ["price:BTCUSDT"]}', "not_subscribed", 1),
]


async def test_an_invalid_request_is_answered_and_the_socket_stays_open(plant: Plant) -> None:
    async with plant.socket() as socket:
        for text, code, request_id in WRONG:
            await socket.connection.send(text)
            error = await socket.receive()
            assert (error["type"], error["code"], error["id"]) == ("error", code, request_id)
            assert (error.get("near") or [None])[0] == (
                "binance:BTCUSDT" if code == "unknown_symbol" else None
            )
        await socket.ask(op="ping")
        assert await socket.receive() == {"type": "pong", "id": None}


async def test_wrong_channels_do_not_keep_the_others_from_being_served(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", id=1, channels=["x", PRICE, "price:QQQ"])
        messages = [await socket.receive() for _ in range(4)]
    assert [message["type"] for message in messages] == ["error", "error", "ack", "snapshot"]
    assert [message.get("channel") for message in messages[:2]] == ["x", "price:QQQ"]
    assert messages[2]["channels"] == [PRICE]


async def test_a_request_that_is_too_long_closes_the_socket(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.ask(op="subscribe", channels=["x" * 70_000])
        with pytest.raises(ConnectionClosed) as closed:
            await socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_limits_of_a_client(redis_url: str, database_url: str) -> None:
    limits = WebsocketLimits(channels=2, burst=5, per_s=0.001)
    async with running_plant(redis_url, database_url, limits=limits) as plant, plant.socket() as socket:
        await live(plant)
        await socket.ask(op="subscribe", id=1, channels=[PRICE, TRADES, CANDLES, PRICE])
        assert (await socket.receive_until("error"))["code"] == "too_many_channels"
        assert (await socket.receive_until("ack"))["channels"] == [PRICE, TRADES]
        for _ in range(10):
            await socket.ask(op="ping")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.receive_until("nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_no_more_clients_than_allowed(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, limits=WebsocketLimits(clients=1)) as plant:
        async with plant.socket():
            with pytest.raises(InvalidStatus) as refused:
                async with plant.socket():
                    pass
        assert refused.value.response.status_code == 503
        assert "Retry-After" in refused.value.response.headers
        async with asyncio.timeout(10):
            while plant.services.hub.clients:  # noqa: ASYNC110 - a condition of the server's
                await asyncio.sleep(0.01)
        async with plant.socket():
            pass


async def test_origins(redis_url: str, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_plant(redis_url, database_url, origins=["https://example.org"]) as plant:
        for origin in (plant.address, "https://example.org"):
            async with plant.socket(origin=origin):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with plant.socket(origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["code"] == "origin_refused"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


# shortcuts


async def test_the_shortcut_to_a_price(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    async with plant.socket("/ws/price/btcusdt") as socket:
        assert (await socket.receive())["type"] == "ack"
        assert (await socket.receive())["data"]["trade_id"] == 1
        await plant.publish(update(trade(2)))
        assert (await socket.receive())["data"]["trade_id"] == 2


async def test_the_shortcut_to_candles(plant: Plant) -> None:
    for query in ("", "?interval=1m", "?window=1m"):
        async with plant.socket("/ws/ohlcv/BTCUSDT" + query) as socket:
            assert (await socket.receive())["channels"] == [CANDLES]


async def test_shortcuts_refuse_like_rest(plant: Plant) -> None:
    for path, status, code in [
        ("/ws/price/BTCUSD", 404, "unknown_symbol"),
        ("/ws/ohlcv/BTCUSDT?interval=2m", 400, "bad_parameter"),
        ("/ws/ohlcv/BTCUSDT?interval=1s", 400, "bad_parameter"),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            async with plant.socket(path):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["code"] == code


# the end of a process, and bad input


async def test_clients_are_notified_of_the_shutdown(redis_url: str, database_url: str) -> None:
    async with AsyncExitStack() as stack:
        async with running_plant(redis_url, database_url) as plant:
            socket = await stack.enter_async_context(plant.socket())
        with pytest.raises(ConnectionClosed) as closed:
            await socket.receive_until("nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


async def test_an_unreadable_update_makes_clients_start_from_a_snapshot(plant: Plant) -> None:
    await plant.store(trade(1))
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot")
        await plant.redis.xadd(live_stream(3), {wire.UPDATE: b"\xc1"})
        snapshot = await socket.receive_until("snapshot")
        assert snapshot["recovered"] is False
        await plant.publish(update(trade(2), entry="2-0"))
        assert ids(await socket.receive_until("trades")) == [2]


async def test_odd_content_of_redis_harms_nothing_but_itself(plant: Plant) -> None:
    await plant.store(trade(1))
    huge = replace(trade(5), event_time_us=2**62)
    odd = [
        LiveUpdate(unified=(Unified("BTCUSDT", "1", 1, "", {}, {}), Unified(" : ", "1", 1, "", {}, {}))),
        LiveUpdate(prices=(huge, replace(huge, venue="", symbol="\0"))),
        LiveUpdate(
            candles=(replace(candle(), open_time_us=2**62), replace(candle(), close=Decimal("1E+999999999")))
        ),
        update(replace(trade(6), price="NaN"), trade(7), huge, entry="3-0"),
    ]
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, PRICE, CANDLES, "unified:BTCUSDT")
        for content in odd:
            await plant.publish(content)
        await plant.publish(update(trade(8), entry="4-0", candles=[candle(count=2)]))
        assert await trades_until(socket, 8) == [1, 7, 8]
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, PRICE, CANDLES, "unified:BTCUSDT")
        messages = [await socket.receive_until("snapshot") for _ in range(4)]
        assert ids(messages[0]) == [1, 7, 8]
        assert messages[1]["data"]["trade_id"] == 8
        assert [view["trade_count"] for view in messages[2]["data"]] == [2]


async def test_a_live_stream_of_another_type_stops_its_partition_only(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    eth = replace(trade(1), symbol=ETH.symbol)
    await plant.store(trade(1))
    stream, other = (live_stream(partition_of(*symbol, PARTITIONS)) for symbol in (BTC, ETH))
    assert stream != other
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot")
        await plant.redis.set(stream, "x")
        await socket.subscribe(f"trades:{ETH}")
        assert await socket.receive_until("status") == {
            "type": "status",
            "state": "stalled",
            "channels": [TRADES],
        }
        await plant.publish(update(eth), ETH)
        assert ids(await socket.receive_until("trades", f"trades:{ETH}")) == [1]

        async def noticed() -> bool:
            return "holds another type than a stream" in caplog.text

        await until(noticed, "the API has found which stream it is")
        await plant.get("/api/v1/price/binance:BTCUSDT", 503)
        await socket.ask(op="subscribe", id=1, channels=[PRICE])
        assert (await socket.receive_until("error"))["code"] == "unavailable"
        await plant.redis.delete(stream)
        status = await socket.receive_until("status")
        assert (status["state"], status["channels"]) == ("live", [TRADES])
        assert (await socket.receive_until("snapshot", TRADES))["recovered"] is False
        await plant.publish(update(trade(2), entry="2-0"))
        assert ids(await socket.receive_until("trades", TRADES)) == [2]


async def test_clients_are_told_once_that_a_key_of_their_partition_is_taken(plant: Plant) -> None:
    await plant.store(trade(1))
    key = trades_stream(partition_of(*BTC, PARTITIONS))
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, PRICE, f"trades:{ETH}")
        await plant.redis.set(key, "taken")
        stalled = await socket.receive_until("status")
        assert (stalled["state"], stalled["channels"]) == ("stalled", [PRICE, TRADES])
        await plant.redis.delete(key)
        live = await socket.receive_until("status")
        assert (live["state"], live["channels"]) == ("live", [PRICE, TRADES])
        await plant.publish(update(trade(2), entry="2-0"))
        while (message := await socket.receive())["type"] != "trades":
            assert message["type"] != "snapshot"  # nothing was lost
        assert ids(message) == [2]


async def test_an_update_of_no_entry_makes_clients_start_from_a_snapshot(plant: Plant) -> None:
    await plant.store(trade(1))
    first = await plant.publish(update(trade(1), entry="1-0"))
    async with plant.socket() as socket:
        await socket.subscribe(TRADES)
        await socket.receive_until("snapshot")
        entries = (LiveEntry("now", Raw(encode_trades([trade(2)]))), LiveEntry("2-0", Raw(b"\xc1")))
        for entry in entries:
            await plant.publish(LiveUpdate(entries=(entry,)))
            assert (await socket.receive_until("snapshot"))["recovered"] is False
    async with plant.socket() as socket:
        await socket.subscribe(TRADES, since=f"3.{first}")
        assert (await socket.receive_until("snapshot"))["recovered"] is False


async def test_late_trades_change_the_candle_of_a_past_minute(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(CANDLES)
        await socket.receive_until("snapshot")
        await plant.publish(update(candles=[candle(5)]))
        await socket.receive_until("candle")
        late = candle(0, count=2, closed=True, revision=1)
        await plant.publish(update(trade(9, at_us=T0), candles=[late]))
        view = (await socket.receive_until("candle"))["data"]
        assert (view["open_time"], view["revision"]) == ("2024-08-08T23:54:00.000000Z", 1)
    async with plant.socket() as socket:
        await socket.subscribe(CANDLES)
        views = (await socket.receive_until("snapshot"))["data"]
        assert views[-1]["open_time"] == "2024-08-08T23:59:00.000000Z"


async def test_clients_are_counted(plant: Plant) -> None:
    async with plant.socket(), plant.socket() as socket:
        await socket.ask(op="ping")
        await socket.receive()
        assert (await plant.get("/health"))["clients"] == 2
        text = (await plant.http.get("/metrics")).text
        assert "\ntickplant_api_clients 2.0\n" in text
