"""Pages of trades and candles over REST, on either kind of database: each item once, exact, in order."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
from api_plant import ETH, T0, Plant, all_pages, live, running_plant, trade
from msgspec.structs import replace

from tickplant.intervals import CANDLE_INTERVALS, MINUTE_US, SECOND_US
from tickplant.time_parsing import parse_time_us


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


# trades


async def test_trades_come_as_exact_as_stored(plant: Plant) -> None:
    await plant.store(trade(1, price="0.00000812", size="1000000000000.10"))
    (found,) = (await plant.get("/api/v1/trades/BTCUSDT"))["trades"]
    assert (found["price"], found["size"]) == ("0.00000812", "1000000000000.10")


async def test_pages_of_trades_hold_each_once(plant: Plant) -> None:
    times_us = [T0, T0, T0, T0 + 1, T0 + 1, T0 + SECOND_US, T0 + SECOND_US]
    await plant.store(*(trade(number, at_us=time_us) for number, time_us in enumerate(times_us, 1)))
    for where, limit in product(({}, {"start": "2024-08-08T23:54:00.000000Z"}), (1, 2, 3, 7, 1000)):
        pages = await all_pages(plant, "/api/v1/trades/BTCUSDT", "trades", limit=limit, **where)
        ids = [[view["trade_id"] for view in page] for page in pages]
        ordered = ids if where else ids[::-1]
        assert [number for page in ordered for number in page] == [1, 2, 3, 4, 5, 6, 7]
        assert max(map(len, ids)) <= limit


async def test_pages_stay_put_while_trades_come(plant: Plant) -> None:
    await plant.store(*(trade(number) for number in (10, 11, 14, 15)))
    first = await plant.get("/api/v1/trades/BTCUSDT", limit=2)
    await plant.store(trade(16), trade(17))
    await plant.store(trade(12))
    second = await plant.get("/api/v1/trades/BTCUSDT", limit=2, after=first["next"])
    assert [view["trade_id"] for view in first["trades"]] == [14, 15]
    assert [view["trade_id"] for view in second["trades"]] == [11, 12]


async def test_start_is_inclusive_and_end_exclusive(plant: Plant) -> None:
    await plant.store(*(trade(number) for number in range(1, 6)))
    found = await plant.get(
        "/api/v1/trades/BTCUSDT", start=T0 // 1000 + 2000, end="2024-08-08T23:54:04.000000Z"
    )
    assert [view["trade_id"] for view in found["trades"]] == [2, 3]
    newest = await plant.get("/api/v1/trades/BTCUSDT", end="2024-08-08T23:54:04.000000Z", limit=1)
    assert [view["trade_id"] for view in newest["trades"]] == [3]


async def test_eth_and_btc_do_not_mix(plant: Plant) -> None:
    await plant.store(trade(1))
    await plant.store(trade(2, symbol=ETH))
    for symbol, number in (("BTCUSDT", 1), ("ETHUSDT", 2)):
        assert [view["trade_id"] for view in (await plant.get(f"/api/v1/trades/{symbol}"))["trades"]] == [
            number
        ]


# candles


async def test_a_candle_with_all_its_fields(plant: Plant) -> None:
    prices = ["100.5", "99.25", "101.0", "100.75"]
    await plant.store(*(trade(number, price=price, size="0.10") for number, price in enumerate(prices, 1)))
    (found,) = (await plant.get("/api/v1/ohlcv/BTCUSDT"))["candles"]
    assert found == {
        "open_time": "2024-08-08T23:54:00.000000Z",
        "close_time": "2024-08-08T23:55:00.000000Z",
        "open": "100.5",
        "high": "101.0",
        "low": "99.25",
        "close": "100.75",
        "volume": "0.40",
        "quote_volume": "40.1500",
        "taker_buy_volume": "0.20",
        "taker_buy_quote_volume": "20.150",
        "vwap": "100.375",
        "trade_count": 4,
        "first_trade_id": 1,
        "last_trade_id": 4,
        "closed": False,
        "complete": False,
        "revision": 0,
    }


async def test_sums_of_buyers_are_unknown_where_a_side_is(plant: Plant) -> None:
    await plant.store(trade(1, at_us=T0), replace(trade(2, at_us=T0), side=None))
    for interval in ("1m", "1s"):
        (found,) = (await plant.get("/api/v1/ohlcv/BTCUSDT", interval=interval))["candles"]
        assert found["taker_buy_volume"] is found["taker_buy_quote_volume"] is None


async def test_the_mean_price_is_rounded_to_18_places(plant: Plant) -> None:
    await plant.store(trade(1, price="100", size="1"), trade(2, price="101", size="2"))
    (found,) = (await plant.get("/api/v1/ohlcv/BTCUSDT"))["candles"]
    assert found["vwap"] == "100.666666666666666667"


INTERVALS = [
    ("1m", "2024-08-08T23:54:00.000000Z", "2024-08-08T23:55:00.000000Z"),
    ("1h", "2024-08-08T23:00:00.000000Z", "2024-08-09T00:00:00.000000Z"),
    ("1d", "2024-08-08T00:00:00.000000Z", "2024-08-09T00:00:00.000000Z"),
    ("1w", "2024-08-05T00:00:00.000000Z", "2024-08-12T00:00:00.000000Z"),
    ("1s", "2024-08-08T23:54:01.000000Z", "2024-08-08T23:54:02.000000Z"),
    ("3m", "2024-08-08T23:54:00.000000Z", "2024-08-08T23:57:00.000000Z"),
    ("12h", "2024-08-08T12:00:00.000000Z", "2024-08-09T00:00:00.000000Z"),
    ("3d", "2024-08-06T00:00:00.000000Z", "2024-08-09T00:00:00.000000Z"),
    ("1M", "2024-08-01T00:00:00.000000Z", "2024-09-01T00:00:00.000000Z"),
]


async def test_intervals(plant: Plant) -> None:
    await plant.store(trade(1))
    for (interval, opened, ended), name in product(INTERVALS, ("interval", "window")):
        answer = await plant.get("/api/v1/ohlcv/BTCUSDT", **{name: interval})
        assert answer["interval"] == interval
        assert [(view["open_time"], view["close_time"]) for view in answer["candles"]] == [(opened, ended)]


def _minutes(*minutes: int) -> list[Any]:
    """A trade in each of some minutes, with consecutive ids."""
    return [trade(number, at_us=T0 + minute * MINUTE_US) for number, minute in enumerate(minutes, 1)]


@pytest.mark.parametrize("interval", ["1m", "1s", "3m", "8h", "3d", "1M"])
async def test_pages_of_candles_hold_each_once(plant: Plant, interval: str) -> None:
    bounds = CANDLE_INTERVALS[interval]
    opened_us = [bounds.after(bounds.floor(T0), at) for at in range(9)]
    traded = [0, 1, 4, 5, 6]
    trades = [trade(number, at_us=opened_us[at] + 500) for number, at in enumerate(traded, 1)]
    await plant.store(*trades, closed_until_us=opened_us[8] + 1)
    wheres: tuple[dict[str, Any], ...] = ({}, {"start": opened_us[0]})
    for where, limit, fill in product(wheres, (1, 2, 3, 1000), ("none", "previous")):
        parameters: dict[str, Any] = {"interval": interval, "limit": limit, "fill": fill, **where}
        pages = await all_pages(plant, "/api/v1/ohlcv/BTCUSDT", "candles", **parameters)
        found = [view for page in (pages if where else pages[::-1]) for view in page]
        expected = traded if fill == "none" else list(range(9))
        assert [opened_us.index(parse_time_us(view["open_time"])) for view in found] == expected
        assert max(map(len, pages)) <= limit
        assert [bool(view["trade_count"]) for view in found] == [at in traded for at in expected]


async def test_filled_candles_repeat_the_close_and_are_complete_where_ids_prove_it(plant: Plant) -> None:
    trades = [
        trade(1, at_us=T0, price="5.0"),
        trade(2, at_us=T0 + 2 * MINUTE_US, price="6.50"),
        trade(4, at_us=T0 + 4 * MINUTE_US, price="7.0"),
    ]
    await plant.store(*trades, closed_until_us=T0 + 6 * MINUTE_US + 1)
    found = (await plant.get("/api/v1/ohlcv/BTCUSDT", fill="previous"))["candles"]
    filled = {index: view for index, view in enumerate(found) if not view["trade_count"]}
    assert {
        index: (view["open"], view["high"], view["low"], view["close"]) for index, view in filled.items()
    } == {
        1: ("5.0",) * 4,
        3: ("6.50",) * 4,
        5: ("7.0",) * 4,
        6: ("7.0",) * 4,
    }
    assert [(view["closed"], view["complete"]) for view in filled.values()] == [
        (True, True),
        (True, False),  # trade 3 is missing: it may belong here
        (True, False),  # trade 5 will decide
        (False, False),  # the venue is not past it
    ]
    assert filled[1]["volume"] == filled[1]["quote_volume"] == "0"
    assert filled[1]["taker_buy_volume"] == filled[1]["taker_buy_quote_volume"] == "0"
    assert filled[1]["vwap"] is None
    assert filled[1]["first_trade_id"] is filled[1]["last_trade_id"] is None


async def test_filling_starts_with_the_first_trade_and_respects_the_window(plant: Plant) -> None:
    await plant.store(*_minutes(2, 5), closed_until_us=T0 + 9 * MINUTE_US)
    found = (await plant.get("/api/v1/ohlcv/BTCUSDT", fill="previous", start=0))["candles"]
    assert [view["open_time"][14:16] for view in found] == ["56", "57", "58", "59", "00", "01", "02", "03"]
    found = (
        await plant.get(
            "/api/v1/ohlcv/BTCUSDT",
            fill="previous",
            start="2024-08-08T23:56:30.000000Z",
            end="2024-08-08T23:58:30.000000Z",
        )
    )["candles"]
    assert [view["open_time"][14:16] for view in found] == ["57", "58"]
    assert [view["trade_count"] for view in found] == [0, 0]


async def test_nothing_is_an_empty_page(plant: Plant) -> None:
    for fill in ("none", "previous"):
        answer = await plant.get("/api/v1/ohlcv/ETHUSDT", fill=fill)
        assert (answer["candles"], answer["next"]) == ([], None)
    assert (await plant.get("/api/v1/trades/ETHUSDT"))["trades"] == []


async def test_where_the_venue_numbers_nothing_completeness_is_unknown(plant: Plant) -> None:
    await plant.store(*_minutes(0, 1, 3), closed_until_us=T0 + 3 * MINUTE_US, numbered=False)
    for interval, fill, expected in (
        ("1m", "none", [None, None, False]),
        ("1s", "none", [None, None, False]),
        ("1m", "previous", [None, None, None, False]),
    ):
        found = (await plant.get("/api/v1/ohlcv/BTCUSDT", interval=interval, fill=fill))["candles"]
        assert [view["complete"] for view in found] == expected
        assert [view["closed"] for view in found] == [complete is None for complete in expected]
    assert (await plant.get("/api/v1/symbols"))["symbols"][0]["missing_trades"] is None
