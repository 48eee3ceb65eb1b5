"""MarketData: history, prices and streams over gRPC are those of REST and the websocket."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from api_plant import BTC, ETH, T0, candle, trade, update
from conftest import on_one_variant
from grpc_plant import GrpcPlant, items_of, next_of, refusal_of, running_grpc
from msgspec.structs import replace

from tickplant.api.v1.market_data_pb2 import (
    CANDLE_FILTER_CLOSED,
    CANDLE_FILTER_OPEN,
    Candle,
    GetCandlesRequest,
    GetPriceRequest,
    GetTradesRequest,
    StreamCandlesRequest,
    StreamTradesRequest,
)
from tickplant.intervals import MINUTE_US
from tickplant.market import SymbolId
from tickplant.time_parsing import parse_time_us

pytestmark = on_one_variant

NEW = SymbolId("kraken", "NEW/EUR")


@pytest.fixture
async def served(redis_url: str, database_url: str) -> AsyncIterator[GrpcPlant]:
    async with running_grpc(redis_url, database_url) as running:
        yield running


def as_view(message: Any, view: dict[str, Any]) -> dict[str, Any]:
    """The values of a message, by the names of a view's fields."""
    values = {}
    for name, value in view.items():
        time = f"{name}_us"
        if time in message.DESCRIPTOR.fields_by_name:
            values[name] = getattr(message, time)
            assert values[name] == parse_time_us(value)
            values[name] = value
        else:
            absent = value is None and not message.HasField(name)
            values[name] = None if absent else getattr(message, name)
    return values


async def test_candles_are_those_of_rest(served: GrpcPlant) -> None:
    await served.plant.store(*[trade(number, at_us=T0 + number * 7_000_000) for number in range(100)])
    for request, parameters in (
        (GetCandlesRequest(symbol="BTCUSDT"), {}),
        (GetCandlesRequest(symbol="binance:BTCUSDT", interval="5m"), {"interval": "5m"}),
        (GetCandlesRequest(symbol="BTCUSDT", interval="3m"), {"interval": "3m"}),
        (
            GetCandlesRequest(symbol="BTCUSDT", interval="1s", fill=True),
            {"interval": "1s", "fill": "previous"},
        ),
        (
            GetCandlesRequest(symbol="BTCUSDT", start_us=T0 + MINUTE_US, end_us=T0 + 3 * MINUTE_US),
            {"start": T0 + MINUTE_US, "end": T0 + 3 * MINUTE_US},
        ),
    ):
        answer = await served.market.GetCandles(request)
        expected = await served.plant.get("/api/v1/ohlcv/BTCUSDT", **parameters)
        assert expected["candles"]
        found = [as_view(each, view) for each, view in zip(answer.candles, expected["candles"], strict=True)]
        assert found == expected["candles"]
        assert (answer.cursor or None) == expected["cursor"]
        assert (answer.next_page_token or None) == expected["next"]
        assert {(each.symbol, each.interval) for each in answer.candles} == {
            ("binance:BTCUSDT", expected["interval"])
        }


async def test_pages_lead_through_all_candles_and_trades(served: GrpcPlant) -> None:
    await served.plant.store(*[trade(number, at_us=T0 + number * 60_000_000) for number in range(25)])
    times: list[int] = []
    token = ""
    while True:
        request = GetCandlesRequest(symbol="BTCUSDT", start_us=T0, page_size=7, page_token=token)
        page = await served.market.GetCandles(request)
        times += [each.open_time_us for each in page.candles]
        token = page.next_page_token
        if not token:
            break
    assert times == [T0 + number * MINUTE_US for number in range(25)]
    ids: list[int] = []
    while True:
        page = await served.market.GetTrades(
            GetTradesRequest(symbol="BTCUSDT", page_size=10, page_token=token)
        )
        ids = [each.trade_id for each in page.trades] + ids
        token = page.next_page_token
        if not token:
            break
    assert ids == list(range(25))


async def test_trades_and_the_price_are_those_of_rest(served: GrpcPlant) -> None:
    made = [trade(1), replace(trade(2), side=None), trade(3, price="0.000000000000000001", size="1")]
    await served.plant.store(*made)
    await served.plant.publish(update(*made))
    await served.plant.caught_up()
    answer = await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))
    expected = await served.plant.get("/api/v1/trades/BTCUSDT")
    assert [as_view(each, view) for each, view in zip(answer.trades, expected["trades"], strict=True)] == (
        expected["trades"]
    )
    assert answer.cursor == expected["cursor"] != ""
    price = await served.market.GetPrice(GetPriceRequest(symbol="BTCUSDT"))
    view = await served.plant.get("/api/v1/price/BTCUSDT")
    assert price.cursor == view.pop("cursor")
    assert as_view(price.trade, view) == view


async def test_a_stream_of_candles_starts_with_the_newest_and_goes_on(served: GrpcPlant) -> None:
    await served.plant.store(*[trade(number, at_us=T0 + number * 20_000_000) for number in range(7)])
    stream = served.market.StreamCandles(StreamCandlesRequest(symbols=["btcusdt"]))
    first = await items_of(stream, "candles", 2)
    assert [each.open_time_us for each in first] == [T0 + MINUTE_US, T0 + 2 * MINUTE_US]
    await served.plant.publish(update(candles=[candle(2, count=3)], entry="9-0"))
    (changed,) = await items_of(stream, "candles", 1)
    assert (changed.open_time_us, changed.trade_count, changed.closed) == (T0 + 2 * MINUTE_US, 3, False)
    assert not changed.HasField("complete") or changed.complete is False
    await served.plant.publish(update(candles=[candle(2, count=4, closed=True)], entry="10-0"))
    (closed,) = await items_of(stream, "candles", 1)
    assert (closed.trade_count, closed.closed, closed.complete) == (4, True, True)
    stream.cancel()


@pytest.mark.parametrize(
    ("filter_", "expected"), [(CANDLE_FILTER_CLOSED, [True, True]), (CANDLE_FILTER_OPEN, [False, False])]
)
async def test_closed_and_open_candles_alone(served: GrpcPlant, filter_: int, expected: list[bool]) -> None:
    request = StreamCandlesRequest(symbols=["BTCUSDT"], filter=filter_, skip_snapshot=True)  # type: ignore[arg-type]
    stream = served.market.StreamCandles(request)
    assert (await next_of(stream)).cursor
    for number in range(2):
        await served.plant.publish(update(candles=[candle(number, count=1)], entry=f"{2 * number + 1}-0"))
        await served.plant.caught_up()
        made = candle(number, count=2, closed=True)
        await served.plant.publish(update(candles=[made], entry=f"{2 * number + 2}-0"))
        await served.plant.caught_up()
    found = await items_of(stream, "candles", 2)
    assert [each.closed for each in found] == expected
    stream.cancel()


async def test_symbols_venues_and_intervals_select(served: GrpcPlant) -> None:
    streams = {
        "symbols": served.market.StreamTrades(StreamTradesRequest(symbols=["ETHUSDT"], skip_snapshot=True)),
        "venues": served.market.StreamTrades(StreamTradesRequest(venues=["kraken"], skip_snapshot=True)),
        "all": served.market.StreamTrades(StreamTradesRequest(skip_snapshot=True)),
    }
    for stream in streams.values():
        assert (await next_of(stream)).cursor
    for symbol in (BTC, ETH, NEW):
        await served.plant.publish(
            update(replace(trade(1), venue=symbol.venue, symbol=symbol.symbol)), symbol
        )
    assert [each.symbol for each in await items_of(streams["symbols"], "trades", 1)] == [str(ETH)]
    assert [each.symbol for each in await items_of(streams["venues"], "trades", 1)] == [str(NEW)]
    assert {each.symbol for each in await items_of(streams["all"], "trades", 3)} == {
        str(BTC),
        str(ETH),
        str(NEW),
    }
    candles = served.market.StreamCandles(
        StreamCandlesRequest(symbols=["BTCUSDT"], intervals=["5m", "1m", "5m"], skip_snapshot=True)
    )
    assert (await next_of(candles)).cursor
    await served.plant.publish(
        update(candles=[candle(), replace(candle(), interval="5m"), replace(candle(), interval="1h")])
    )
    assert {each.interval for each in await items_of(candles, "candles", 2)} == {"1m", "5m"}


async def test_a_stream_continues_where_history_ends_and_at_each_cursor(served: GrpcPlant) -> None:
    await served.plant.store(trade(1))
    await served.plant.publish(update(trade(1)))
    await served.plant.caught_up()
    cursor = (await served.market.GetTrades(GetTradesRequest(symbol="BTCUSDT"))).cursor
    seen: list[int] = []
    for number in range(2, 8):
        await served.plant.publish(update(trade(number), entry=f"{number}-0"))
        stream = served.market.StreamTrades(StreamTradesRequest(symbols=["BTCUSDT"], cursor=cursor))
        while not seen or seen[-1] < number:
            response = await next_of(stream)
            assert not response.lost
            seen += [each.trade_id for each in response.trades]
            cursor = response.cursor
        stream.cancel()
    assert seen == [2, 3, 4, 5, 6, 7]


async def test_what_can_not_be_resumed_is_named(served: GrpcPlant) -> None:
    await served.plant.store(trade(1))
    await served.plant.publish(update(trade(1)))
    partition = (await served.market.GetPrice(GetPriceRequest(symbol="BTCUSDT"))).cursor.partition(".")[0]
    gone = f"{partition}.5-0"
    stream = served.market.StreamTrades(StreamTradesRequest(symbols=["BTCUSDT"], cursor=gone))
    response = await next_of(stream)
    while not response.lost:
        response = await next_of(stream)
    assert list(response.lost) == ["binance:BTCUSDT"]
    stream = served.market.StreamCandles(StreamCandlesRequest(cursor=gone))
    while not (response := await next_of(stream)).lost:
        pass
    assert "*" in response.lost


async def test_a_quiet_stream_tells_its_cursor(served: GrpcPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.grpc.streams.CURSOR_S", 0.05)
    request = StreamCandlesRequest(symbols=["BTCUSDT"], filter=CANDLE_FILTER_CLOSED, skip_snapshot=True)
    stream = served.market.StreamCandles(request)
    first = (await next_of(stream)).cursor
    await served.plant.publish(update(candles=[candle(0)]))
    response = await next_of(stream)
    assert not response.candles
    assert response.cursor != first


async def test_wrong_requests_have_a_status_that_names_the_field(
    served: GrpcPlant, caplog: pytest.LogCaptureFixture
) -> None:
    market = served.market
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for call, code, field in (
        (market.GetPrice(GetPriceRequest()), invalid, "symbol"),
        (market.GetPrice(GetPriceRequest(symbol="NOSUCH")), grpc.StatusCode.NOT_FOUND, None),
        (market.GetPrice(GetPriceRequest(symbol="ETHUSDT")), grpc.StatusCode.NOT_FOUND, None),
        (market.GetCandles(GetCandlesRequest(symbol="BTCUSDT", interval="7m")), invalid, "interval"),
        (market.GetCandles(GetCandlesRequest(symbol="BTCUSDT", page_size=1001)), invalid, "page_size"),
        (market.GetCandles(GetCandlesRequest(symbol="BTCUSDT", page_size=-1)), invalid, "page_size"),
        (
            market.GetCandles(GetCandlesRequest(symbol="BTCUSDT", page_token="x")),
            grpc.StatusCode.NOT_FOUND,
            "page_token",
        ),
        (market.GetCandles(GetCandlesRequest(symbol="BTCUSDT", start_us=5, end_us=4)), invalid, "end_us"),
        (market.StreamCandles(StreamCandlesRequest(symbols=["NOSUCH"])), grpc.StatusCode.NOT_FOUND, None),
        (
            market.StreamCandles(StreamCandlesRequest(symbols=["BTCUSDT", "NOSUCH"])),
            grpc.StatusCode.NOT_FOUND,
            None,
        ),
        (market.StreamCandles(StreamCandlesRequest(intervals=["7m"])), invalid, None),
        (market.StreamCandles(StreamCandlesRequest(intervals=["3m"])), invalid, None),
        (market.StreamCandles(StreamCandlesRequest(filter=9)), invalid, "filter"),  # type: ignore[arg-type]
        (market.StreamCandles(StreamCandlesRequest(cursor="x")), invalid, None),
        (market.StreamCandles(StreamCandlesRequest(venues=["a:b"])), invalid, "venues"),
        (
            market.StreamCandles(StreamCandlesRequest(venues=["kraken"], symbols=["BTCUSDT"])),
            invalid,
            "venues",
        ),
        (market.StreamTrades(StreamTradesRequest(symbols=[""])), invalid, "symbol"),
        (
            market.StreamTrades(StreamTradesRequest(symbols=[f"S{number}" for number in range(2000)])),
            invalid,
            None,
        ),
    ):
        refusal = await refusal_of(call)
        assert refusal.code == code, refusal.text
        assert refusal.info.domain == "tickplant"
        assert refusal.info.reason == refusal.info.reason.upper() != ""
        assert refusal.fields == ([] if field is None else [field])
    near = await refusal_of(market.GetPrice(GetPriceRequest(symbol="BTCUSDX")))
    assert "binance:BTCUSDT" in near.info.metadata["near"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_extreme_times_are_no_errors(served: GrpcPlant) -> None:
    await served.plant.store(trade(1))
    request = GetTradesRequest(symbol="BTCUSDT", start_us=-(2**63), end_us=2**63 - 1)
    assert len((await served.market.GetTrades(request)).trades) == 1


async def test_the_documented_client_runs(served: GrpcPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "grpc.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    main, _, start = code.rpartition("\n\n")
    assert start == 'asyncio.run(follow("127.0.0.1:50051"))\n'
    printed: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    names: dict[str, Any] = {"print": lambda *words: printed.put_nowait(words)}
    exec(main, names)
    await served.plant.store(*[trade(number, at_us=T0 + number * 20_000_000) for number in range(7)])
    following = asyncio.create_task(names["follow"](served.address))
    async with asyncio.timeout(20):
        assert (await printed.get())[0] == T0 + MINUTE_US
        made = candle(2, count=3, closed=True)
        await served.plant.publish(update(candles=[made], entry="9-0"))
        assert await printed.get() == (made.open_time_us, str(made.close), True)
    following.cancel()
    await asyncio.wait([following])


async def test_a_merged_interval_is_sent_too(served: GrpcPlant) -> None:
    await served.plant.store(*[trade(number, at_us=T0 + number * 20_000_000) for number in range(20)])
    stream = served.market.StreamCandles(StreamCandlesRequest(symbols=["BTCUSDT"], intervals=["3m"]))
    found: list[Candle] = await items_of(stream, "candles", 2)
    assert {each.interval for each in found} == {"3m"}
