"""Generated requests of routes outside of the OpenAPI document, and of server-sent events, which have no end.

Each answer has the form of its interface, none is a server error, and nothing is logged as one.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from api_plant import BTC, T0, Plant, live, running_plant, trade
from conftest import on_one_variant
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tickplant.market import SymbolId

pytestmark = on_one_variant

EXAMPLES = int(os.environ.get("TICKPLANT_TEST_EXAMPLES", "30"))
"""Generated requests of each interface, ten times as many of routes."""
KRAKEN = SymbolId("kraken", "BTC/USD")

Pairs = list[tuple[str, str]]

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.sampled_from([0, 1, 2, 1000, T0 // 1000, T0 // 1_000_000, 2**31, 2**63, 10**30]).flatmap(
    lambda number: st.sampled_from([str(number), str(-number), f"{number}.5", f" {number} ", f"{number}e9"])
)
SYMBOLS = st.sampled_from(
    ["BTCUSDT", "btcusdt", "binance:BTCUSDT", "kraken:BTC/USD", "BTC/USD", "NOPE", "", ":", "a:b:c", "*"]
)
LISTS = st.sampled_from(['["BTCUSDT"]', "[]", '["NOPE"]', "[1]", "[", "null", "BTCUSDT,NOPE", ","])
INTERVALS = st.sampled_from(["1m", "1M", "1s", "3d", "9m", "1", "60", "1D", "1W", "0", "-1", "D", "S"])
VALUES = st.one_of(NUMBERS, SYMBOLS, LISTS, INTERVALS, TEXTS)


def pairs(names: list[str], required: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[Pairs]:
    """Parameters: the required ones most often right, others with any value."""
    right = st.tuples(*(st.tuples(st.just(name), values) for name, values in required.items())).map(list)
    any_values = st.lists(st.tuples(st.one_of(st.sampled_from(names), TEXTS), VALUES), max_size=4)
    return st.one_of(
        any_values,
        st.tuples(
            right, st.lists(st.tuples(st.sampled_from(names), st.one_of(NUMBERS, VALUES)), max_size=3)
        ).map(lambda both: both[0] + [pair for pair in both[1] if pair[0] not in required]),
    )


BINANCE_NAMES = ["symbol", "symbols", "interval", "limit", "fromId", "startTime", "endTime", "timeZone"]
BINANCE_NAMES += ["type", "timestamp"]
BINANCE_PATHS = ["ping", "time", "exchangeInfo", "klines", "uiKlines", "trades", "historicalTrades"]
BINANCE_PATHS += ["aggTrades", "avgPrice", "ticker/24hr", "ticker/price"]
UDF_NAMES = ["symbol", "symbols", "resolution", "from", "to", "countback", "query", "exchange", "limit"]
UDF_PATHS = ["config", "time", "symbols", "search", "history", "quotes", "marks", "timescale_marks"]
WHOLE = st.integers(-(2**64), 2**64).map(str)

BINANCE = st.tuples(
    st.sampled_from(["/binance", "/binance/binance", "/binance/kraken", "/binance/nowhere"]),
    st.one_of(
        st.sampled_from([f"/api/v3/{path}" for path in BINANCE_PATHS] + ["/fapi/v1/exchangeInfo"]),
        TEXTS.map(lambda text: "/api/v3/" + quote(text, safe="")),
    ),
    pairs(
        BINANCE_NAMES,
        {"symbol": st.sampled_from(["BTCUSDT", "BTC/USD"]), "interval": st.sampled_from(["1m", "1M"])},
    )
    | pairs(BINANCE_NAMES, {"symbol": st.sampled_from(["BTCUSDT", "BTC/USD"])}),
).map(lambda parts: (parts[0] + parts[1], parts[2]))
UDF = st.tuples(
    st.sampled_from([f"/udf/{path}" for path in UDF_PATHS]),
    pairs(
        UDF_NAMES,
        {
            "symbol": st.sampled_from(["binance:BTCUSDT", "BTCUSDT"]),
            "resolution": st.sampled_from(["1", "60", "1D", "1S"]),
            "from": WHOLE,
            "to": WHOLE,
        },
    ),
)


@pytest.fixture
async def plant(redis_url: str, database_url: str) -> AsyncIterator[Plant]:
    async with running_plant(redis_url, database_url, symbols=(BTC, KRAKEN)) as running:
        await live(running)
        await running.store(*(trade(number) for number in range(100)))
        await running.store(*(trade(number, symbol=KRAKEN) for number in range(100)))
        yield running


def binance_form(answer: httpx.Response) -> str | None:
    """What is wrong with an answer in Binance's form."""
    if answer.status_code == 200:
        return None if isinstance(answer.json(), dict | list) else "no object and no list"
    body = answer.json()
    right = body.keys() == {"code", "msg"} and type(body["code"]) is int and type(body["msg"]) is str
    return None if right and body["code"] < 0 and body["msg"] else "not Binance's error"


def udf_form(answer: httpx.Response) -> str | None:
    """What is wrong with an answer in UDF's form."""
    if answer.status_code != 200:
        return "another status than 200"
    body = json.loads(answer.content)
    if isinstance(body, dict) and body.get("s") == "error":
        return None if body.keys() == {"s", "errmsg"} and body["errmsg"] else "not UDF's error"
    if answer.url.path == "/udf/history":
        return None if body["s"] in ("ok", "no_data") else "another status of a history"
    return None


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("requests", "fault_of"), [(BINANCE, binance_form), (UDF, udf_form)])
async def test_every_answer_has_the_form_of_its_interface(
    plant: Plant,
    caplog: pytest.LogCaptureFixture,
    requests: st.SearchStrategy[tuple[str, Pairs]],
    fault_of: Callable[[httpx.Response], str | None],
) -> None:
    loop = asyncio.get_running_loop()
    refused: set[bool] = set()

    async def ask(path: str, parameters: Pairs) -> None:
        answer = await plant.http.get(f"{path}?{urlencode(parameters)}")
        assert answer.status_code < 500, answer.text
        assert fault_of(answer) is None, answer.text
        assert logged(caplog) == []
        refused.add(b'"msg":' in answer.content or b'"errmsg":' in answer.content)

    await asyncio.to_thread(run_examples, requests, lambda asked: run_on(loop, ask(*asked)), EXAMPLES * 10)
    assert refused == {False, True}


def run_on(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result(30)


def run_examples(requests: st.SearchStrategy[Any], check: Callable[[Any], None], examples: int) -> None:
    """Check generated requests, in a thread of their own: hypothesis calls a test without waiting for it."""

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def examine(request: Any) -> None:
        check(request)

    examine()


CHANNELS = st.lists(
    st.one_of(
        st.sampled_from(
            ["price:BTCUSDT", "trades:binance:BTCUSDT", "candles:BTCUSDT:1m", "price:*", "alerts"]
        ),
        st.tuples(st.sampled_from(["price", "trades", "candles", "gaps", "x", ""]), VALUES, VALUES).map(
            ":".join
        ),
        TEXTS,
    ),
    max_size=4,
).map(",".join)
EVENTS = st.tuples(
    st.one_of(CHANNELS.map(lambda text: [("channels", text)]), st.just([])),
    st.dictionaries(st.sampled_from(["every", "snapshot", "since", "unknown"]), VALUES | TEXTS, max_size=2),
    st.none() | VALUES | st.sampled_from(["3.1795167827449-0.n0", "0.1-0", "x" * 3000]),
)


async def test_streams_of_events_are_refused_or_begin_as_documented(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what comes before the first event is read."""
    document = await plant.get("/docs/openapi.json")
    documented = document["paths"]["/sse"]["get"]["responses"]
    loop = asyncio.get_running_loop()
    statuses: set[int] = set()

    async def ask(channels: Pairs, others: dict[str, str], last_id: str | None) -> None:
        value = bytes(byte for byte in (last_id or "").encode() if byte > 0x20 and byte != 0x7F)
        headers = [] if last_id is None else [(b"last-event-id", value)]
        query = urlencode([*channels, *others.items()])
        async with plant.http.stream("GET", f"/sse?{query}", headers=headers) as answer:
            assert str(answer.status_code) in documented
            (kind,) = documented[str(answer.status_code)]["content"]
            assert answer.headers["content-type"].partition(";")[0] == kind
            if answer.status_code != 200:
                problem = json.loads(await answer.aread())
                assert problem["status"] == answer.status_code
                assert problem["detail"]
        assert logged(caplog) == []
        statuses.add(answer.status_code)

    await asyncio.to_thread(run_examples, EVENTS, lambda asked: run_on(loop, ask(*asked)), EXAMPLES)
    assert statuses >= {200, 400}
