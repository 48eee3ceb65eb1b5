"""REST: what each route answers, page by page and error by error."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
from api_plant import BTC, Plant, all_pages, live, running_plant, trade, update
from conftest import on_one_variant

from db.provenance import claim_database_source
from tickplant.market import SymbolId
from tickplant.streams import live_stream, trades_stream

pytestmark = on_one_variant


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url) as running:
        await live(running)
        yield running


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a problem document that has all that one needs."""
    assert {"type", "title", "status", "detail", "code"} <= answer.keys()
    return answer["status"], answer["code"]


# symbols and prices


async def test_symbols_of_the_settings_and_of_the_database(plant: Plant) -> None:
    await plant.store(trade(1), trade(2), trade(5))
    await plant.store(trade(9, symbol=SymbolId("other", "XYZ")))
    pages = await all_pages(plant, "/api/v1/symbols", "symbols", limit=2)
    assert [[view["symbol"] for view in page] for page in pages] == [
        ["binance:BTCUSDT", "binance:ETHUSDT"],
        ["other:XYZ"],
    ]
    assert pages[0][0] == {
        "symbol": "binance:BTCUSDT",
        "venue": "binance",
        "name": "BTCUSDT",
        "configured": True,
        "first_trade_id": 1,
        "last_trade_id": 5,
        "missing_trades": 2,
        "seen_until": "2024-08-08T23:54:05.000000Z",
        "source": None,
    }
    assert pages[0][1]["seen_until"] is None
    assert pages[1][0]["configured"] is False


@pytest.mark.parametrize("source", ["live", "replay", "synthetic"])
async def test_symbols_and_health_name_the_source_of_trades(plant: Plant, source: str) -> None:
    await plant.store(trade(1))
    await claim_database_source(plant.services.pool, source)
    page = await plant.get("/api/v1/symbols")
    assert {view["source"] for view in page["symbols"]} == {source}
    assert (await plant.get("/health"))["source"] == source


async def test_the_price_is_the_one_in_redis(plant: Plant) -> None:
    await plant.store(trade(1, price="1.0"))
    entry_id = await plant.publish(update(trade(2, price="2.00000000")))
    assert await plant.get("/api/v1/price/binance:BTCUSDT") == {
        "symbol": "binance:BTCUSDT",
        "trade_id": 2,
        "price": "2.00000000",
        "size": "0.02000000",
        "side": "sell",
        "event_time": "2024-08-08T23:54:02.000000Z",
        "ingest_time": "2024-08-08T23:54:02.001342Z",
        "cursor": f"3.{entry_id}",
    }


async def test_where_redis_has_no_price_the_last_trade_is_it(plant: Plant) -> None:
    await plant.store(trade(1, price="1.0"), trade(2, price="0.00000001"))
    assert (await plant.get("/api/v1/price/BTCUSDT"))["price"] == "0.00000001"
    assert problem(await plant.get("/api/v1/price/ETHUSDT", 404)) == (404, "no_price")


async def test_symbols_in_every_spelling(plant: Plant) -> None:
    for text in ("binance:BTCUSDT", "BTCUSDT", "btcusdt", "Binance:BtcUsdt"):
        assert (await plant.get(f"/api/v1/trades/{text}"))["symbol"] == "binance:BTCUSDT"


async def test_an_unknown_symbol_with_near_ones(plant: Plant) -> None:
    for path in ("price", "trades", "ohlcv"):
        answer = await plant.get(f"/api/v1/{path}/BTCUSD", 404)
        assert problem(answer) == (404, "unknown_symbol")
        assert answer["near"][0] == "binance:BTCUSDT"
    await plant.store(trade(9, symbol=SymbolId("other", "PEPE")))
    for name in ("qqqqq", "NOPE"):
        assert (await plant.get(f"/api/v1/price/{name}", 404))["near"] == []


async def test_unknown_paths_are_problems(plant: Plant) -> None:
    for path in ("/docs/x", "/x", "/docs/openapi.xml"):
        answer = await plant.http.get(path)
        assert answer.headers["content-type"] == "application/problem+json", path
        assert problem(answer.json()) == (404, "not_found")
        assert "/docs describes the paths" in answer.json()["detail"]


async def test_a_symbol_that_two_venues_have(redis_url: str, database_url: str) -> None:
    symbols = [BTC, SymbolId("other", "BTCUSDT")]
    async with running_plant(redis_url, database_url, symbols=symbols) as plant:
        answer = await plant.get("/api/v1/trades/BTCUSDT", 409)
        assert problem(answer) == (409, "conflict")
        assert answer["parameter"] == "symbol"
        assert answer["near"] == ["binance:BTCUSDT", "other:BTCUSDT"]
        await plant.get("/api/v1/trades/other:BTCUSDT")


async def test_a_symbol_that_only_the_database_has(plant: Plant) -> None:
    await plant.store(trade(9, symbol=SymbolId("other", "XYZ")))
    assert (await plant.get("/api/v1/trades/xyz"))["symbol"] == "other:XYZ"


async def test_symbols_with_a_slash(redis_url: str, database_url: str) -> None:
    symbol = SymbolId("kraken", "BTC/USD")
    async with running_plant(redis_url, database_url, symbols=[symbol]) as plant:
        await plant.store(trade(1, symbol=symbol))
        for path, text in product(
            ("trades", "price", "ohlcv"), ("kraken:BTC/USD", "kraken%3ABTC%2FUSD", "BTC/USD", "btc%2fusd")
        ):
            assert (await plant.get(f"/api/v1/{path}/{text}"))["symbol"] == "kraken:BTC/USD"
        for text, channel in (
            ("price/kraken:BTC/USD", "price:kraken:BTC/USD"),
            ("ohlcv/BTC%2FUSD?interval=5m", "candles:kraken:BTC/USD:5m"),
        ):
            async with plant.socket(f"/ws/{text}") as socket:
                assert (await socket.receive())["channels"] == [channel]
        answer = await plant.get("/api/v1/price/BTC/EUR", 404)
        assert (problem(answer), answer["near"]) == ((404, "unknown_symbol"), ["kraken:BTC/USD"])
        assert "'BTC/EUR'" in answer["detail"]


# parameters


WRONG = [
    ("trades", {"start": "yesterday"}, "start"),
    ("trades", {"end": "2024-08-08T00:00:00"}, "end"),
    ("trades", {"limit": "0"}, "limit"),
    ("trades", {"limit": "1001"}, "limit"),
    ("trades", {"limit": "many"}, "limit"),
    ("ohlcv", {"interval": "2m"}, "interval"),
    ("ohlcv", {"window": "2m"}, "window"),
    ("ohlcv", {"fill": "zero"}, "fill"),
    ("ohlcv", {"intervall": "5m"}, "intervall"),
    ("trades", {"from": "2024-08-08T00:00:00.000000Z"}, "from"),
    ("price", {"interval": "1m"}, "interval"),
    ("trades", {"hub": "1"}, "hub"),
]


async def test_a_wrong_parameter_is_named(plant: Plant) -> None:
    for path, parameters, parameter in WRONG:
        answer = await plant.get(f"/api/v1/{path}/BTCUSDT", 400, **parameters)
        assert problem(answer) == (400, "bad_parameter")
        assert answer["parameter"] == parameter


async def test_parameters_that_are_not_possible_together_are_named(plant: Plant) -> None:
    for path, parameters, parameter in (
        ("trades", {"start": "2", "end": "1"}, "end"),
        ("ohlcv", {"interval": "1m", "window": "5m"}, "window"),
        ("moving-average", {"period": "5m", "interval": "1m"}, "period"),
    ):
        answer = await plant.get(f"/api/v1/{path}/BTCUSDT", 409, **parameters)
        assert (problem(answer), answer["parameter"]) == ((409, "conflict"), parameter)


async def test_a_repeated_parameter_is_refused(plant: Plant) -> None:
    """One of its values would be ignored."""
    answer = await plant.get("/api/v1/trades/BTCUSDT", 400, limit=[1, 2])
    assert (problem(answer), answer["parameter"]) == ((400, "bad_parameter"), "limit")


async def test_where_only_a_few_words_will_do_they_are_named(plant: Plant) -> None:
    for path, parameters, words in (
        ("24h-change", {"order": "up"}, "asc, desc"),
        ("moving-average/BTCUSDT", {"kind": "hull"}, "sma, ema, wma"),
        ("alerts/webhooks", {"state": "lost"}, "waiting, delivered, dead"),
    ):
        answer = await plant.get(f"/api/v1/{path}", 400, **parameters)
        assert answer["detail"].endswith(f"; allowed are {words}")
    body = {"symbol": "BTCUSDT", "kind": "ABOVE"}
    made = await plant.http.post("/api/v1/alerts", json=body)
    assert "above, below, crosses_above" in made.json()["detail"]


async def test_where_there_is_nothing_the_documentation_is_named(plant: Plant) -> None:
    for path, status in (("/api/v1/alert", 404), ("/api/v1/bot/equity", 404)):
        assert "/docs" in (await plant.get(path, status))["detail"]
    answer = await plant.http.put("/api/v1/alerts")
    assert problem(answer.json()) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


async def test_a_forged_page_token_is_refused(plant: Plant) -> None:
    await plant.get("/api/v1/trades/BTCUSDT", after=made_up(["trades/binance:BTCUSDT", True, [0, 0], [1, 1]]))
    for path, rest in (
        ("trades/BTCUSDT", ["trades/binance:BTCUSDT", True, [0, 0], [10**18, 1]]),
        ("trades/BTCUSDT", ["trades/binance:BTCUSDT", True, [0, 0], [1, 10**30]]),
        ("gaps", ["gaps//", [0, "a", "b", 2**63, 1]]),
        ("gaps", ["gaps//", [0, "a", "\0", 1, 1]]),
    ):
        answer = await plant.get(f"/api/v1/{path}", 404, after=made_up(rest))
        assert (problem(answer), answer["parameter"]) == ((404, "unknown_page"), "after")
    for after in ("", "xyz", "é"):
        await plant.get("/api/v1/trades/BTCUSDT", 404, after=after)


def made_up(rest: list[Any]) -> str:
    return urlsafe_b64encode(json.dumps(rest).encode()).decode()


async def test_a_page_of_one_list_is_none_of_another(plant: Plant) -> None:
    await plant.store(trade(1), trade(2))
    after = (await plant.get("/api/v1/trades/BTCUSDT", limit=1))["next"]
    for path in ("trades/ETHUSDT", "ohlcv/BTCUSDT"):
        assert (await plant.get(f"/api/v1/{path}", 404, after=after))["parameter"] == "after"
    assert (await plant.get("/api/v1/symbols", 404, after=after))["parameter"] == "after"


# errors, health and the rest


async def test_errors_of_routing_are_problem_documents(plant: Plant) -> None:
    missing = await plant.http.get("/api/v2/nothing")
    wrong = await plant.http.post("/api/v1/symbols")
    plain = await plant.http.get("/ws")
    assert [problem(answer.json())[0] for answer in (missing, wrong, plain)] == [404, 405, 426]
    for answer in (missing, wrong, plain):
        assert answer.headers["content-type"] == "application/problem+json"
    assert "GET" in wrong.headers["allow"]


async def test_an_unexpected_error_is_a_problem_document(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(plant.services.health, "report", fail)
    answer = await plant.get("/health", 500)
    assert problem(answer) == (500, "internal_error")
    assert "secret" not in str(answer)
    assert "a secret" in caplog.text


async def test_health(plant: Plant) -> None:
    await plant.store(trade(1), entry="5-0")
    for number in range(40):
        await plant.redis.xadd(trades_stream(3), {"t": "x"}, id=f"{4 + number}-0")
    assert await plant.get("/health/live") == {"status": "live"}
    for path in ("/health", "/health/ready"):
        report = await plant.get(path)
        assert report["status"] == "ready"
        assert report["redis"]["status"] == report["database"]["status"] == "up"
        assert report["live"] == "live"
        assert [part["lag_entries"] for part in report["partitions"][:3]] == [0, 0, 0]
        assert report["partitions"][3]["lag_entries"] >= 38
        assert report["partitions"][3]["worker"] is True


async def test_lag_is_counted_in_entries(plant: Plant) -> None:
    await plant.store(trade(1), entry="5-0")
    for number in range(10):
        await plant.redis.xadd(trades_stream(3), {"t": "x"}, id=f"{4 + number}-0")
    assert (await plant.get("/health"))["partitions"][3] == {
        "partition": 3,
        "worker": True,
        "committed_entry": "5-0",
        "lag_entries": 8,
        "problem": None,
    }


@pytest.mark.parametrize("key", [trades_stream(3), live_stream(3)])
async def test_health_names_a_key_that_another_program_has_taken(plant: Plant, key: str) -> None:
    await plant.redis.delete(key)
    await plant.redis.set(key, "taken")
    report = await plant.get("/health")
    assert report["status"] == "degraded"
    assert [part["problem"] is None for part in report["partitions"]] == [
        number != 3 for number in range(len(report["partitions"]))
    ]
    assert report["partitions"][3]["problem"].startswith(f"{key} in Redis holds what another program")
    await plant.redis.delete(key)
    assert {part["problem"] for part in (await plant.get("/health"))["partitions"]} == {None}


async def test_metrics_count_requests_by_route(plant: Plant) -> None:
    await plant.get("/api/v1/trades/ETHUSDT")
    await plant.get("/api/v1/trades/NOSUCHTHING", 404)
    await plant.http.get("/no/such/route")
    answer = await plant.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for labels in (
        'route="/api/v1/trades/{symbol}",status="200"',
        'route="/api/v1/trades/{symbol}",status="404"',
        'route="unmatched",status="404"',
    ):
        assert f"tickplant_api_request_seconds_count{{{labels}}}" in answer.text


async def test_pages_of_other_origins_may_read_where_allowed(redis_url: str, database_url: str) -> None:
    origin = "https://example.org"
    async with running_plant(redis_url, database_url, origins=[origin]) as plant:
        answer = await plant.http.get("/api/v1/symbols", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        other = await plant.http.get("/api/v1/symbols", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
