"""The websocket's channels of signals, alerts, the paper bot and what is unified."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from api_plant import BTC, ETH, T0, Plant, Socket, live, running_plant, trade, update
from conftest import on_one_variant
from msgspec.structs import replace

from api.views.bot import account_view
from db.alerts.states import AlertRows
from db.bot.states import BotRows
from db.signals import SignalRows
from tickplant.bot import AccountChanges, PaperAccount, Rules, new_account
from tickplant.derived import Firing, Signal, Unified, signal_view
from tickplant.market import SymbolId
from tickplant.wire import LiveUpdate
from workers.roles.unified import Unifier

pytestmark = on_one_variant

SIGNALS = "signals:binance:BTCUSDT"
ALERTS = "alerts:binance:BTCUSDT"
BOT = "bot:binance:BTCUSDT"
UNIFIED = "unified:binance:BTCUSDT"


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def signal(number: int, symbol: SymbolId = BTC) -> Signal:
    return Signal(
        "cross",
        *symbol,
        number,
        T0 + number * 1_000_000,
        number,
        "61837.63000000",
        "buy",
        0.5,
        {"sma_7": 1.5},
    )


def firing(number: int) -> Firing:
    return Firing(
        "a1",
        number,
        "ada",
        *BTC,
        "above",
        T0 + number * 1_000_000,
        number,
        "61837.63",
        "61837.63",
        "61000",
        "",
    )


def account(version: int) -> PaperAccount:
    opened = new_account(*BTC, Rules())
    return replace(opened, version=version, time_us=T0 + version, price=Decimal("61837.63"))


def unified(number: int) -> Unified:
    return Unifier(signals=[signal(number)]).join(trade(number))


def rows(signals: Sequence[Signal]) -> SignalRows:
    return SignalRows(0, signals, [])


async def numbers_until(socket: Socket, last: int) -> list[int]:
    """Numbers of signals or firings received, up to the last that is awaited."""
    found: list[int] = []
    while not found or found[-1] != last:
        message = await socket.receive()
        views = message["data"] if message["type"] == "snapshot" else [message.get("data")]
        found += [view["number"] for view in views if view]
    return found


async def test_nothing_is_known_yet(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, ALERTS, BOT, UNIFIED)
        assert [(await socket.receive())["data"] for _ in range(4)] == [[], [], None, None]


async def test_a_snapshot_is_followed_by_updates(plant: Plant) -> None:
    await plant.commit(
        rows([signal(1)]),
        AlertRows(0, [], [firing(1)], []),
        BotRows(0, [AccountChanges(account(1), [], [], [])], None),
        entry="1-0",
    )
    update = LiveUpdate(
        signals=(signal(1),), firings=(firing(1),), accounts=(account(1),), unified=(unified(1),)
    )
    await plant.publish_committed(update, committed="1-0")
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, ALERTS, BOT, UNIFIED)
        snapshots = [await socket.receive() for _ in range(4)]
        assert [message["channel"] for message in snapshots] == [SIGNALS, ALERTS, BOT, UNIFIED]
        assert [view["number"] for view in snapshots[0]["data"]] == [1]
        assert [view["user"] for view in snapshots[1]["data"]] == ["ada"]
        assert snapshots[2]["data"]["cash"] == "10000.00000000"
        assert snapshots[3]["data"]["signals"]["cross"]["number"] == 1

        more = LiveUpdate(
            signals=(signal(2), signal(3)),
            firings=(firing(2),),
            accounts=(account(2),),
            unified=(unified(3),),
        )
        await plant.publish_committed(more, committed="2-0")
        messages = [await socket.receive() for _ in range(5)]
        assert [message["type"] for message in messages] == [
            "signal",
            "signal",
            "firing",
            "account",
            "unified",
        ]
        assert [message["data"]["number"] for message in messages[:3]] == [2, 3, 2]
        assert messages[3]["data"]["version"] == 2
        assert messages[4]["data"]["trade_id"] == 3


async def test_views_are_those_of_rest(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, BOT)
        await socket.receive_until("snapshot", BOT)
        await plant.publish_committed(
            LiveUpdate(signals=(signal(1),), accounts=(account(1),)), committed="1-0"
        )
        data = (await socket.receive_until("signal"))["data"]
        assert data == {name: getattr(signal_view(signal(1)), name) for name in data}
        shown = (await socket.receive_until("account"))["data"]
        assert shown == {name: getattr(account_view(account(1)), name) for name in shown}


async def test_results_committed_but_not_published_are_published_once(plant: Plant) -> None:
    await plant.commit(rows([signal(1)]), entry="9-0")
    await plant.publish_committed(LiveUpdate(signals=(signal(1),)), committed="9-0")
    await plant.commit(rows([signal(2)]), AlertRows(0, [], [firing(2)], []), entry="10-0")
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, ALERTS)
        assert [view["number"] for view in (await socket.receive_until("snapshot", SIGNALS))["data"]] == [1]
        assert (await socket.receive_until("snapshot", ALERTS))["data"] == []
        await plant.publish_committed(
            LiveUpdate(signals=(signal(2),), firings=(firing(2),)), committed="10-0"
        )
        assert (await socket.receive_until("signal"))["data"]["number"] == 2
        assert (await socket.receive_until("firing"))["data"]["number"] == 2


async def test_where_redis_knows_nothing_all_that_is_stored_is_shown(plant: Plant) -> None:
    await plant.commit(rows([signal(1)]), entry="1-0")
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS)
        assert [view["number"] for view in (await socket.receive_until("snapshot"))["data"]] == [1]


async def test_a_reconnected_client_gets_each_missed_signal_once(plant: Plant) -> None:
    await plant.publish_committed(LiveUpdate(signals=(signal(1),)), committed="1-0")
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS)
        cursor = (await socket.receive_until("snapshot"))["cursor"]
    for number in range(2, 80):
        await plant.publish_committed(LiveUpdate(signals=(signal(number),)), committed=f"{number}-0")
        await plant.publish(update(trade(number), entry=f"{number}-0"))
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, since=cursor)
        assert (await socket.receive())["type"] == "resumed"
        assert await numbers_until(socket, 79) == list(range(2, 80))


async def test_a_cursor_in_the_middle_of_an_update_loses_nothing(plant: Plant) -> None:
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, ALERTS)
        await socket.receive_until("snapshot", ALERTS)
        update = LiveUpdate(signals=(signal(1), signal(2)), firings=(firing(1),))
        await plant.publish_committed(update, committed="1-0")
        seen = [await socket.receive() for _ in range(3)]
    for have in range(1, 3):
        async with plant.socket() as socket:
            await socket.subscribe(SIGNALS, ALERTS, since=seen[have - 1]["cursor"])
            await socket.receive_until("resumed")
            await socket.receive_until("resumed")
            assert [await socket.receive() for _ in range(3 - have)] == seen[have:]


async def test_one_name_stands_for_every_symbol(plant: Plant) -> None:
    async with plant.socket() as socket:
        ack = await socket.subscribe("signals", "alerts", "bot")
        assert ack["channels"] == [
            f"{kind}:binance:{symbol}"
            for kind in ("signals", "alerts", "bot")
            for symbol in ("BTCUSDT", "ETHUSDT")
        ]
        await plant.publish_committed(LiveUpdate(signals=(signal(1, ETH),)), ETH, committed="1-0")
        assert (await socket.receive_until("signal"))["channel"] == "signals:binance:ETHUSDT"


async def test_states_are_conflated_and_events_are_not(plant: Plant) -> None:
    """What comes within one turn of the hub: the newest of each state, but each event."""
    async with plant.socket() as socket:
        await socket.subscribe(SIGNALS, BOT, UNIFIED)
        await socket.receive_until("snapshot", UNIFIED)
        several: dict[str, Any] = {
            "signals": (signal(1), signal(2)),
            "accounts": (account(1), account(2)),
            "unified": (unified(1), unified(2)),
        }
        await plant.publish_committed(LiveUpdate(**several), committed="1-0")
        messages = [await socket.receive() for _ in range(4)]
        assert [message["type"] for message in messages] == ["signal", "signal", "account", "unified"]
        assert messages[2]["data"]["version"] == 2
