"""Gaps over REST, and over websockets as they open and heal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_plant import BTC, ETH, PARTITIONS, Plant, all_pages, gap, live, running_plant, trade, update
from conftest import on_one_variant

from tickplant.streams import partition_of

pytestmark = on_one_variant

GAPS = "gaps:binance:BTCUSDT"
ETH_GAPS = "gaps:binance:ETHUSDT"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def ids(gaps: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(view["symbol"][-7:-4], view["first_id"], view["last_id"]) for view in gaps]


async def store_some(plant: Plant) -> None:
    """Four gaps of two symbols in all states; of one of them a part has come."""
    await plant.store(*(trade(number) for number in (1, 4, 6, 10, 20)))
    await plant.store(*(trade(number, symbol=ETH) for number in (1, 5)))
    await plant.store_gaps(
        gap(2, 3),
        gap(5, 9, state="unrecoverable", reason="too old"),
        gap(10, 10, state="healed"),
        gap(2, 4, state="backfilling", symbol=ETH),
    )


async def test_a_gap_with_all_its_fields(plant: Plant) -> None:
    await store_some(plant)
    (found,) = (await plant.get("/api/v1/gaps", state="unrecoverable"))["gaps"]
    assert found == {
        "symbol": "binance:BTCUSDT",
        "venue": "binance",
        "first_id": 5,
        "last_id": 9,
        "missing": 4,
        "state": "unrecoverable",
        "cause": "ours",
        "reason": "too old",
        "after_time": "2024-08-08T23:54:05.000000Z",
        "detected_at": "2024-08-08T23:54:05.000005Z",
    }


async def test_the_newest_first_page_by_page(plant: Plant) -> None:
    await store_some(plant)
    everything = [("BTC", 10, 10), ("BTC", 5, 9), ("ETH", 2, 4), ("BTC", 2, 3)]
    for limit in (1, 2, 3, 4, 1000):
        pages = await all_pages(plant, "/api/v1/gaps", "gaps", limit=limit)
        assert [each for page in pages for each in ids(page)] == everything
        assert max(map(len, pages)) <= limit


async def test_gaps_of_a_symbol_and_in_a_state(plant: Plant) -> None:
    await store_some(plant)
    for parameters, expected in (
        ({"symbol": "ethusdt"}, [("ETH", 2, 4)]),
        ({"symbol": "BTCUSDT", "state": "open"}, [("BTC", 2, 3)]),
        ({"symbol": "BTCUSDT", "state": "backfilling"}, []),
        ({"state": "healed"}, [("BTC", 10, 10)]),
    ):
        assert ids((await plant.get("/api/v1/gaps", **parameters))["gaps"]) == expected


async def test_wrong_parameters_are_named(plant: Plant) -> None:
    await store_some(plant)
    after = (await plant.get("/api/v1/gaps", limit=1))["next"]
    for parameters, parameter in (
        ({"state": "lost"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"status": "open"}, "status"),
        ({"state_": "open"}, "state_"),
    ):
        answer = await plant.get("/api/v1/gaps", 400, **parameters)
        assert (answer["code"], answer["parameter"]) == ("bad_parameter", parameter)
    await plant.get("/api/v1/gaps", 404, after=after, state="open")
    answer = await plant.get("/api/v1/gaps", 404, symbol="BTCUSD")
    assert (answer["code"], answer["near"][0]) == ("unknown_symbol", "binance:BTCUSDT")


async def test_what_is_not_healed_first_and_then_every_change(plant: Plant) -> None:
    await store_some(plant)
    async with plant.socket() as socket:
        assert (await socket.subscribe("gaps:btcusdt"))["channels"] == [GAPS]
        snapshot = await socket.receive()
        assert (snapshot["type"], ids(snapshot["data"])) == ("snapshot", [("BTC", 2, 3), ("BTC", 5, 9)])
        changes = [gap(2, 3, state="backfilling"), gap(2, 3, state="healed"), gap(30, 31)]
        for change in changes:
            await plant.publish(update(gaps=[change]))
            message = await socket.receive()
            assert (message["type"], message["channel"]) == ("gap", GAPS)
            assert ids([message["data"]]) == [("BTC", change.first_id, change.last_id)]
            assert message["data"]["state"] == change.state
        await plant.publish(update(gaps=[gap(2, 4, symbol=ETH)]), ETH)
        async with plant.socket() as other:
            await other.subscribe(GAPS)
            assert ids((await other.receive())["data"]) == [("BTC", 5, 9), ("BTC", 30, 31)]


async def test_the_parts_of_a_gap_take_its_place(plant: Plant) -> None:
    await store_some(plant)
    async with plant.socket() as socket:
        await socket.subscribe(GAPS)
        await socket.receive()
        parts = [gap(5, 6, state="healed"), gap(7, 7, state="unrecoverable"), gap(8, 9)]
        await plant.publish(update(gaps=parts))
        for _ in parts:
            await socket.receive()
        async with plant.socket() as other:
            await other.subscribe(GAPS)
            assert ids((await other.receive())["data"]) == [("BTC", 2, 3), ("BTC", 7, 7), ("BTC", 8, 9)]


async def test_gaps_resume_from_a_cursor(plant: Plant) -> None:
    await plant.publish(update(trade(1)))
    async with plant.socket() as socket:
        await socket.subscribe(GAPS)
        cursor = (await socket.receive_until("snapshot"))["cursor"]
    await plant.publish(update(gaps=[gap(2, 3), gap(5, 6)]))
    await plant.publish(update(gaps=[gap(7, 8)]))
    async with plant.socket() as socket:
        await socket.subscribe(GAPS, since=cursor)
        await socket.receive_until("resumed")
        messages = [await socket.receive() for _ in range(3)]
    assert [message["data"]["first_id"] for message in messages] == [2, 5, 7]


async def test_gaps_of_every_symbol_at_once(plant: Plant) -> None:
    assert partition_of(*BTC, PARTITIONS) != partition_of(*ETH, PARTITIONS)
    await store_some(plant)
    async with plant.socket() as socket:
        assert (await socket.subscribe("gaps"))["channels"] == [GAPS, ETH_GAPS]
        snapshots = [await socket.receive() for _ in range(2)]
        assert [len(message["data"]) for message in snapshots] == [2, 1]
        await plant.publish(update(gaps=[gap(2, 4, state="healed", symbol=ETH)]), ETH)
        assert (await socket.receive())["channel"] == ETH_GAPS
        await socket.ask(op="unsubscribe", id=2, channels=["gaps"])
        assert (await socket.receive())["channels"] == [GAPS, ETH_GAPS]
        await socket.ask(op="unsubscribe", id=3, channels=["gaps"])
        assert (await socket.receive())["code"] == "not_subscribed"
