"""The paper bot over REST, and its switch, which reaches every worker."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from api_plant import BTC, ETH, PARTITIONS, T0, Plant, all_pages, live, running_plant
from conftest import on_one_variant
from msgspec.structs import replace
from working import START_US, publishing, trade, until, working

from db.bot.states import BotRows
from tickplant import wire
from tickplant.bot import AccountChanges, Equity, Fill, PaperAccount, PaperOrder, Rules, new_account
from tickplant.derived import BotSwitch
from tickplant.intervals import MINUTE_US
from tickplant.market import SymbolId
from tickplant.streams import trades_stream

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def account(symbol: SymbolId, **fields: object) -> PaperAccount:
    return replace(new_account(*symbol, Rules()), version=1, time_us=T0, **fields)


def order(number: int, **fields: object) -> PaperOrder:
    return replace(PaperOrder(*BTC, number, "cross", number, "buy", 10 * number, T0 + number), **fields)


def equity(minute: int) -> Equity:
    return Equity(
        *BTC, T0 + minute * MINUTE_US, Decimal(9000), Decimal("0.5"), Decimal(2000), Decimal(10_000)
    )


async def test_nothing_has_traded_yet(plant: Plant) -> None:
    answer = await plant.get("/api/v1/bot")
    assert (answer["paper"], answer["accounts"], answer["orders"], answer["totals"]) == (True, [], [], [])
    assert "No order is ever sent to a venue" in answer["notice"]
    assert answer["switch"] == {
        "enabled": True,
        "version": 0,
        "reason": None,
        "switched_at": None,
        "arrived": True,
    }


async def test_accounts_orders_and_totals_by_currency(plant: Plant) -> None:
    numbers = (Decimal("2.5"), Decimal(40), Decimal(100), Decimal("0.1"), Decimal(0))
    fill = Fill(*BTC, 1, "buy", 11, T0 + 1, *numbers)
    refused = order(2, state="refused", reason="there is nothing to sell")
    changes = [
        AccountChanges(
            account(BTC, cash=Decimal("9899.90000000")), [order(1, state="filled"), refused], [fill], []
        ),
        AccountChanges(account(ETH), [], [], []),
        AccountChanges(account(SymbolId("coinbase", "BTC-EUR")), [], [], []),
        AccountChanges(account(SymbolId("finnhub", "IBM")), [], [], []),
    ]
    await plant.commit(BotRows(0, changes, None), entry="1-0")
    answer = await plant.get("/api/v1/bot")
    assert [signal["symbol"] for signal in answer["accounts"]] == [
        "binance:BTCUSDT",
        "binance:ETHUSDT",
        "coinbase:BTC-EUR",
        "finnhub:IBM",
    ]
    assert [(signal["quote"], signal["accounts"], signal["cash"]) for signal in answer["totals"]] == [
        ("EUR", 1, "10000.00000000"),
        ("USDT", 2, "19899.90000000"),
    ]
    assert [(signal["number"], signal["state"], signal["reason"]) for signal in answer["orders"]] == [
        (2, "refused", "there is nothing to sell"),
        (1, "filled", None),
    ]
    assert answer["orders"][1]["fill"]["size"] == "40"
    alone = await plant.get("/api/v1/bot", symbol="ETHUSDT", orders=0)
    assert [signal["symbol"] for signal in alone["accounts"]] == ["binance:ETHUSDT"]
    assert alone["orders"] == []


async def test_equity_by_the_minute_in_pages(plant: Plant) -> None:
    changes = AccountChanges(account(BTC), [], [], [equity(minute) for minute in range(5)])
    await plant.commit(BotRows(0, [changes], None), entry="1-0")
    path = "/api/v1/bot/equity/BTCUSDT"
    newest = await all_pages(plant, path, "equity", limit=2)
    minutes = [[signal["time"][14:16] for signal in page] for page in newest]
    assert minutes == [["57", "58"], ["55", "56"], ["54"]]
    forward = await all_pages(plant, path, "equity", limit=2, start="2024-08-08T23:55:00.000000Z")
    assert [[signal["time"][14:16] for signal in page] for page in forward] == [["55", "56"], ["57", "58"]]
    until_end = await plant.get(path, end="2024-08-08T23:55:00.000000Z")
    assert [signal["time"] for signal in until_end["equity"]] == ["2024-08-08T23:54:00.000000Z"]
    assert (until_end["equity"][0]["equity"], until_end["equity"][0]["position"]) == ("10000", "0.5")


async def test_a_switching_goes_to_every_partition_once(plant: Plant) -> None:
    answer = await plant.http.patch("/api/v1/bot", json={"enabled": False, "reason": "lunch"})
    switch = answer.json()
    assert (switch["enabled"], switch["version"], switch["reason"]) == (False, 1, "lunch")
    assert not switch["arrived"]

    async def sent() -> bool:
        return all([await plant.redis.xlen(trades_stream(number)) for number in range(PARTITIONS)])

    await until(sent, "the switching in every stream")
    entries: Any = await plant.redis.xrange(trades_stream(0))
    ((_, fields),) = entries
    assert wire.decode_change(fields[wire.CHANGE]) == BotSwitch(False, 1, "lunch")
    assert (await plant.get("/api/v1/bot"))["switch"] == switch


async def test_the_switch_arrives_at_workers_and_holds_for_symbols_to_come(
    plant: Plant, redis_url: str, database_url: str
) -> None:
    async with working(redis_url, database_url):
        for version, enabled in ((1, False), (2, True)):
            await plant.http.patch("/api/v1/bot", json={"enabled": enabled})

            async def arrived(enabled: bool = enabled, version: int = version) -> bool:
                switch = (await plant.get("/api/v1/bot"))["switch"]
                return bool(switch["arrived"]) and (switch["enabled"], switch["version"]) == (
                    enabled,
                    version,
                )

            await until(arrived, f"version {version} of the switch")


async def test_wrong_switchings_are_refused(plant: Plant) -> None:
    for body in ({}, {"enabled": "maybe"}, {"enabled": True, "reason": "x" * 201}, {"enable": True}):
        answer = await plant.http.patch("/api/v1/bot", json=body)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await plant.get("/api/v1/bot"))["switch"]["version"] == 0


async def test_signals_of_workers_are_followed_at_the_price_of_the_next_trade(
    redis_url: str, database_url: str
) -> None:
    """Over an hour of prices that rise and fall, everything received agrees with everything stored."""
    symbol = SymbolId("binance", "AAAUSDT")
    wave = [*range(100, 140), *range(140, 100, -1), *range(100, 120)]
    trades = [
        trade(2 * minute + number, at_us=START_US + minute * MINUTE_US + number, price=f"{price + number}.50")
        for minute, price in enumerate(wave)
        for number in range(2)
    ]
    async with (
        working(redis_url, database_url),
        running_plant(redis_url, database_url, symbols=[symbol]) as plant,
        publishing(redis_url) as publisher,
        plant.socket() as socket,
    ):
        await live(plant)
        await socket.subscribe("signals", "bot", "unified:AAAUSDT")
        for start in range(0, len(trades), 25):
            await publisher.publish(trades[start : start + 25])
        received: dict[str, list[Any]] = {"signal": [], "account": [], "unified": []}
        while not received["unified"] or received["unified"][-1]["trade_id"] < trades[-1].trade_id:
            message = await socket.receive()
            if message["type"] in received:
                received[message["type"]].append(message["data"])
        answer = await plant.get("/api/v1/bot")
        crosses = [signal for signal in received["signal"] if signal["strategy"] == "cross"]
        orders = answer["orders"][::-1]
        assert len(crosses) >= 2
        assert [(signal["strategy"], signal["signal_number"]) for signal in orders] == [
            (signal["strategy"], signal["number"]) for signal in crosses
        ]
        prices = {made.trade_id: Decimal(made.price) for made in trades}
        slippage = {"buy": Decimal("1.0005"), "sell": Decimal("0.9995")}
        fills = [
            signal["fill"] | {"after": signal["trade_id"], "side": signal["side"]}
            for signal in orders
            if signal["fill"]
        ]
        assert fills
        for fill in fills:
            assert fill["trade_id"] == fill["after"] + 1
            assert Decimal(fill["price"]) == prices[fill["trade_id"]] * slippage[fill["side"]]
        (account,) = answer["accounts"]
        assert received["account"][-1] == account
        equity = (await plant.get("/api/v1/bot/equity/AAAUSDT"))["equity"]
        assert len(equity) == len(wave) - 1
        assert received["unified"][-1]["signals"]["cross"] == crosses[-1]
