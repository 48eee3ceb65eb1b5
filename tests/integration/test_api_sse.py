"""Server-sent events: the websocket's messages, resumed by the id of the last event."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_plant import BTC, PARTITIONS, Plant, candle, live, running_plant, trade, update
from browser import browser, needs_chromium
from conftest import OwnRedis, on_one_variant
from events import Events, streaming
from keyed import new_key, revoke
from live_messages import CHANNELS, change_everything
from msgspec.structs import replace
from working import until

from api.access.rate_limits import RequestLimit
from api.live.event_stream import EventStream
from api.live.gate import WebsocketLimits
from api.open_services import AccessSettings
from tickplant.market import SymbolId

pytestmark = on_one_variant

PRICE = "price:binance:BTCUSDT"
TRADES = "trades:binance:BTCUSDT"
CANDLES = "candles:binance:BTCUSDT:1m"
NEW = SymbolId("kraken", "NEW/EUR")


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


async def clients(plant: Plant, number: int) -> None:
    """Wait until the API has so many clients."""

    async def are() -> bool:
        return len(plant.services.hub.clients) == number

    await until(are, f"{number} clients")


async def test_a_stream_has_the_messages_of_the_websocket(plant: Plant) -> None:
    await plant.store(trade(1), trade(2))
    await plant.publish(update(trade(1), trade(2)))
    async with plant.socket() as socket, streaming(plant.http, *CHANNELS) as events:
        await socket.subscribe(*CHANNELS)
        assert (await events.until("ack")).message["channels"] == CHANNELS
        assert events.retry_ms
        for _ in CHANNELS:
            assert (await events.until("snapshot")).message == await socket.receive_until("snapshot")
        await change_everything(plant)
        awaited = {"price", "trades", "candle", "gap", "signal", "firing", "account", "unified", "status"}
        awaited |= {"stats", "connections"}
        messages: dict[str, dict[str, Any]] = {}
        while awaited - messages.keys():
            event = await events.next()
            assert event is not None
            messages[event.message["type"]] = event.message
            if "cursor" in event.message:
                assert event.id == event.message["cursor"]
        assert messages["price"] == await socket.receive_until("price")
        assert messages["trades"] == await socket.receive_until("trades")


async def test_a_stream_continues_after_the_last_event(plant: Plant) -> None:
    async with streaming(plant.http, PRICE, TRADES) as events:
        await events.until("ack")
        await plant.publish(update(trade(1)))
        last_id = (await events.until("trades")).id
    for number in (2, 3):
        await plant.publish(update(trade(number), entry=f"{number}-0"))
    async with streaming(plant.http, TRADES, PRICE, last_id=last_id, since="ignored") as events:
        found = [await events.until("trades") for _ in range(2)]
        assert [event.message["data"][0]["trade_id"] for event in found] == [2, 3]
        assert found[1].id == found[1].message["cursor"]


async def test_a_stream_starts_where_history_ends(plant: Plant) -> None:
    await plant.store(trade(1))
    await plant.publish(update(trade(1)))
    await plant.caught_up()
    cursor = (await plant.get("/api/v1/trades/BTCUSDT"))["cursor"]
    await plant.publish(update(trade(2), entry="2-0"))
    async with streaming(plant.http, TRADES, since=cursor) as events:
        assert (await events.until("resumed")).message["recovered"]
        assert (await events.until("trades")).message["data"][0]["trade_id"] == 2


async def test_what_is_no_longer_available_starts_with_a_snapshot(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    async with streaming(plant.http, TRADES, last_id="3.5-0") as events:
        assert (await events.until("snapshot")).message["recovered"] is False


async def test_a_wildcard_is_resumed_in_all_partitions(plant: Plant) -> None:
    async with streaming(plant.http, "trades:*", snapshot="false") as events:
        ack = await events.until("ack")
        assert ack.id == ack.message["cursor"]
        assert len((ack.id or "").split(",")) == PARTITIONS
        await plant.publish(update(replace(trade(1), venue=NEW.venue, symbol=NEW.symbol)), NEW)
        assert (await events.until("joined")).message["channel"] == f"trades:{NEW}"
        last_id = (await events.until("trades")).id
    await plant.publish(update(trade(5)))
    await plant.publish(update(replace(trade(2), venue=NEW.venue, symbol=NEW.symbol), entry="2-0"), NEW)
    async with streaming(plant.http, "trades:*", snapshot="false", last_id=last_id) as events:
        found = [(await events.until("trades")).message for _ in range(2)]
        numbers = {message["channel"]: message["data"][0]["trade_id"] for message in found}
        assert numbers == {TRADES: 5, f"trades:{NEW}": 2}


async def test_changes_are_sent_once_in_an_interval(plant: Plant) -> None:
    async with streaming(plant.http, PRICE, every="200ms") as events:
        await events.until("snapshot")
        for number in range(1, 50):
            await plant.publish(update(trade(number)))
        received = 0
        while (await events.until("price")).message["data"]["trade_id"] != 49:
            received += 1
        assert received < 48


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({}, 400, "bad_request"),
        ({"channels": ""}, 400, "bad_parameter"),
        ({"channels": ","}, 400, "invalid_request"),
        ({"channels": PRICE, "chanels": PRICE}, 400, "bad_parameter"),
        ({"channels": PRICE, "last_event_id": "3.1-1"}, 400, "bad_parameter"),
        ({"channels": f"{PRICE},books:BTCUSDT"}, 400, "unknown_channel"),
        ({"channels": "trades:*,candles:BTCUSDT:7m"}, 400, "unknown_interval"),
        ({"channels": f"{PRICE},price:BTCUSD"}, 404, "unknown_symbol"),
        ({"channels": PRICE, "since": "yesterday"}, 400, "bad_cursor"),
        ({"channels": PRICE, "every": "1ms"}, 400, "invalid_request"),
        ({"channels": PRICE, "snapshot": "perhaps"}, 400, "bad_parameter"),
        ({"channels": PRICE, "api_key": "x"}, 400, "key_in_address"),
    ],
)
async def test_a_stream_that_cannot_begin_is_a_problem(
    plant: Plant, parameters: dict[str, str], status: int, code: str
) -> None:
    async with asyncio.timeout(10):
        answer = await plant.http.get("/sse", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert not plant.services.hub.clients
    if code == "unknown_symbol":
        assert answer.json()["near"][0] == str(BTC)


async def test_an_id_that_is_no_cursor_is_a_problem(plant: Plant) -> None:
    answer = await plant.http.get("/sse", params={"channels": PRICE}, headers={"Last-Event-ID": "7"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


async def test_head_ends_at_once(plant: Plant) -> None:
    answer = await plant.http.head("/sse", params={"channels": PRICE})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")


async def test_streams_and_websockets_have_one_limit(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, limits=WebsocketLimits(clients=1)) as plant:
        async with streaming(plant.http, PRICE):
            answer = await plant.http.get("/sse", params={"channels": PRICE})
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        await clients(plant, 0)
        async with plant.socket():
            answer = await plant.http.get("/sse", params={"channels": PRICE})
            assert answer.headers["Retry-After"]


async def test_pages_of_allowed_origins_and_hosts_only(redis_url: str, database_url: str) -> None:
    async with running_plant(redis_url, database_url, origins=["https://example.org"]) as plant:
        for header, status in (("Origin", 403), ("Host", 421)):
            answer = await plant.http.get(
                "/sse", params={"channels": PRICE}, headers={header: "https://evil.example"}
            )
            assert answer.status_code == status
        given = {"Origin": "https://example.org"}
        async with plant.http.stream("GET", "/sse", params={"channels": PRICE}, headers=given) as response:
            assert response.headers["access-control-allow-origin"] == given["Origin"]


async def test_a_key_is_needed_and_one_that_is_revoked_ends_the_stream(
    redis_url: str, database_url: str
) -> None:
    key = await new_key(database_url, "read")
    await new_key(database_url, "read", name="another")
    access = AccessSettings(host="0.0.0.0", poll_s=0.05)
    async with running_plant(redis_url, database_url, access=access) as plant:
        await live(plant)
        asked = {"channels": PRICE}
        answer = await plant.http.get("/sse", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        plant.http.headers["Authorization"] = f"Bearer {key.text}"
        answer = await plant.http.get("/sse", params={"channels": "alerts"})
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        async with streaming(plant.http, PRICE) as events:
            await events.until("snapshot")
            await revoke(database_url, key)
            closed = (await events.until("closed")).message
            assert (closed["code"], "revoked" in closed["reason"]) == (3000, True)
            assert await events.next() is None


async def test_an_api_that_stops_ends_its_streams(redis_url: str, database_url: str) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        async with running_plant(redis_url, database_url) as plant:
            await live(plant)
            http.base_url = httpx.URL(plant.address)
            stream = streaming(http, PRICE)
            events = await stream.__aenter__()
            await events.until("snapshot")
        assert (await events.until("closed")).message["code"] == 1012
        assert await events.next() is None
        await stream.__aexit__(None, None, None)


async def test_a_client_that_is_gone_is_forgotten(plant: Plant) -> None:
    async with streaming(plant.http, PRICE, TRADES, "gaps:*") as events:
        await events.until("snapshot")
        await clients(plant, 1)
    await clients(plant, 0)
    topics = [topic for partition in plant.services.hub._partitions for topic in partition.topics.values()]
    assert [topic.name for topic in topics if topic.users or topic.sinks] == []
    assert not plant.services.event_gate._streams


async def test_clients_that_leave_while_a_stream_begins_are_no_error(
    redis_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    limited = AccessSettings(rate=RequestLimit(1000))  # so that a request waits for Redis
    async with running_plant(redis_url, database_url, access=limited, proxies=["127.0.0.1"]) as plant:
        host, _, port = plant.address.removeprefix("http://").partition(":")
        head = f"GET /sse?channels=price:* HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        for turns in range(40):  # of the event loop, in which the request is handled
            with socket.create_connection((host, int(port))) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(head.encode())
                for _ in range(turns):
                    await asyncio.sleep(0)
        assert (await plant.http.get("/health/live")).status_code == 200
        await clients(plant, 0)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_comment_is_sent_if_nothing_else_is(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.live.event_stream.KEEP_ALIVE_S", 0.02)
    async with streaming(plant.http, PRICE) as events:
        await events.until("snapshot")
        reading = asyncio.create_task(events.next())
        await until(lambda: _heard(events), "comments")
        await plant.publish(update(trade(1)))
        event = await reading
        assert event is not None
        assert event.message["type"] == "price"


async def _heard(events: Events) -> bool:
    return events.comments > 2


async def raw_stream(plant: Plant, channels: str) -> socket.socket:
    """Open a stream that takes in little of what it doesn't read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    host, port = plant.address.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    await loop.sock_sendall(raw, f"GET /sse?channels={channels} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return raw


async def test_a_client_that_does_not_read_gets_the_newest_states(plant: Plant) -> None:
    with await raw_stream(plant, f"{PRICE},{CANDLES}") as raw:
        await clients(plant, 1)
        (client,) = plant.services.hub.clients
        most_bytes = 0
        for number in count(1):
            await plant.publish(update(prices=[trade(number)], candles=[candle(count=1, trade_count=number)]))
            await plant.caught_up()
            most_bytes = max(most_bytes, client._size_bytes)
            if client.waiting and number > 3000:
                break
        assert 0 < most_bytes < 2_000  # one price and one candle
        text = b""
        while b'"trade_id":%d,' % number not in text:
            text = text[-100:] + await asyncio.get_running_loop().sock_recv(raw, 65_536)


async def test_a_client_that_does_not_read_trades_is_closed(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.event_stream.LINGER_S", 0.1)
    limits = WebsocketLimits(queue_bytes=200_000)
    async with running_plant(redis_url, database_url, limits=limits) as plant:
        await live(plant)
        with await raw_stream(plant, TRADES):
            await clients(plant, 1)
            async with asyncio.timeout(30):
                for number in count():
                    if not plant.services.hub.clients:
                        break
                    trades = [trade(number * 500 + index) for index in range(500)]
                    await plant.publish(update(*trades, entry=f"{number + 1}-0"))
                    await plant.caught_up()


async def test_a_slow_client_that_reads_on_is_told_why_it_is_closed(
    redis_url: str, database_url: str
) -> None:
    limits = WebsocketLimits(queue_bytes=200_000)
    async with running_plant(redis_url, database_url, limits=limits) as plant:
        await live(plant)
        with await raw_stream(plant, TRADES) as raw:
            await clients(plant, 1)
            (client,) = plant.services.hub.clients
            for number in count():
                if client.closed:
                    break
                trades = [trade(number * 500 + index) for index in range(500)]
                await plant.publish(update(*trades, entry=f"{number + 1}-0"))
                await plant.caught_up()
            text = b""
            while not text.endswith(b"0\r\n\r\n"):
                data = await asyncio.get_running_loop().sock_recv(raw, 65_536)
                assert data
                text = text[-1000:] + data
            assert b'data: {"type":"closed","code":4008,"reason":"too slow' in text


async def test_a_stream_that_is_resumed_during_an_outage_ends_so_that_browsers_try_again(
    own_redis: OwnRedis, database_url: str
) -> None:
    server = await own_redis()
    async with running_plant(server.url, database_url) as plant:
        await live(plant)
        await plant.publish(update(trade(1)))
        async with streaming(plant.http, TRADES) as events:
            last_id = (await events.until("snapshot")).id
            assert last_id
            await server.stop()
            assert (await events.until("status")).message["state"] == "stalled"
            async with asyncio.timeout(20):
                answer = await plant.http.get("/sse", params={"channels": CANDLES})
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["Retry-After"]
            async with streaming(plant.http, TRADES, last_id=last_id) as again:
                assert (await again.until("error")).message["code"] == "unavailable"
                assert await again.next() is None
                assert again.retry_ms
            await server.start()
            assert (await events.until("status")).message["state"] == "live"


@needs_chromium
async def test_a_browser_connects_again_by_itself(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """Its page is of another origin, and its connection is lost with the API."""
    limits = WebsocketLimits(origins=("*",), retry_ms=(10, 20))
    script = """
        window.ids = []; window.opened = 0;
        const source = new EventSource(ADDRESS);
        source.onopen = () => window.opened++;
        source.onmessage = (event) => {
            const message = JSON.parse(event.data);
            if (message.type === 'trades') window.ids.push(...message.data.map((trade) => trade.trade_id));
        };
    """
    async with browser(tmp_path, 800) as tab:
        async with running_plant(redis_url, database_url, limits=limits, origins=["*"]) as plant:
            await live(plant)
            address = f"'{plant.address}/sse?channels={TRADES},{PRICE}'"
            port = int(plant.address.rpartition(":")[2])
            await tab.run(script.replace("ADDRESS", address))
            await tab.until("window.opened === 1")
            await clients(plant, 1)
            await plant.publish(update(trade(1)))
            await tab.until("window.ids.length === 1")
            for number in range(2, 7):
                (stream,) = plant.services.event_gate._streams
                assert isinstance(stream, EventStream)
                stream._abort()
                await plant.publish(update(trade(number), entry=f"{number}-0"))
                await tab.until(f"window.ids.length === {number} && window.opened === {number}")
        async with running_plant(redis_url, database_url, limits=limits, origins=["*"], port=port) as plant:
            await live(plant)
            await plant.publish(update(trade(7), entry="7-0"))
            await tab.until("window.ids.length === 7")
        assert await tab.run("window.ids.join()") == "1,2,3,4,5,6,7"
