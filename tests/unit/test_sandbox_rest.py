"""REST answers, as Binance documents them."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from sandbox_tape import Stopped, make_tape

from sandbox.binance.rest import BinanceRest
from sandbox.binance.venue import SandboxBinance
from sandbox.venue import Answer
from tickplant.intervals import MINUTE_US
from tickplant.market import SymbolId, Trade

BTC = SymbolId("binance", "BTCUSDT")
START_MS = 1_723_161_600_000  # a full minute

TRADES = [  # milliseconds after the start, price, size, buyer is maker
    (100, "10.00000000", "1.00000000", True),
    (100, "10.00000000", "0.50000000", True),
    (200, "12.50000000", "2.00000000", False),
    (59_999, "9.00000000", "0.00000001", True),
    (180_000, "11.00000000", "3.00000000", False),
    (180_500, "11.00000000", "1.00000000", False),
]


def stopped(position: int = len(TRADES)) -> Stopped:
    tape = make_tape(
        SandboxBinance(),
        (
            Trade("binance", "BTCUSDT", number, price, size, "sell" if maker else "buy", time_us, time_us)
            for number, (ms, price, size, maker) in enumerate(TRADES, 100)
            for time_us in [(START_MS + ms) * 1000]
        ),
    )
    tape.columns[BTC].price_decimals, tape.columns[BTC].size_decimals = 2, 5
    return Stopped(tape, position)


def open_rest(market: Stopped) -> BinanceRest:
    return BinanceRest(market, SandboxBinance.limits, lambda: 0)


def answer(path: str, *, position: int = len(TRADES), micro: bool = False) -> Answer:
    headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if micro else {}
    market = stopped(position)
    found = open_rest(market).get(f"/api/v3/{path}", headers, market.now_us())
    assert found is not None
    return found


def get(path: str, **options: Any) -> Any:
    found = answer(path, **options)
    assert found.status == 200, found.body
    return json.loads(found.body)


def ids(path: str, **options: Any) -> list[int]:
    return [trade["id"] for trade in get(path, **options)]


def test_ping_and_time() -> None:
    assert get("ping") == {}
    assert get("time") == {"serverTime": START_MS + 180_500}
    assert get("time", micro=True) == {"serverTime": (START_MS + 180_500) * 1000}
    assert get("time", position=0) == {"serverTime": START_MS + 100}


def test_a_trade_is_encoded_as_by_the_venue() -> None:
    assert get("historicalTrades?symbol=BTCUSDT&fromId=102&limit=1") == [
        {
            "id": 102,
            "price": "12.50000000",
            "qty": "2.00000000",
            "quoteQty": "25.00000000",
            "time": START_MS + 200,
            "isBuyerMaker": False,
            "isBestMatch": True,
        }
    ]


def test_trades_are_paged_by_id_or_are_the_latest() -> None:
    assert ids("historicalTrades?symbol=BTCUSDT&fromId=101&limit=2") == [101, 102]
    assert ids("historicalTrades?symbol=BTCUSDT&fromId=0") == [100, 101, 102, 103, 104, 105]
    assert ids("historicalTrades?symbol=BTCUSDT&fromId=106") == []
    assert ids("historicalTrades?symbol=BTCUSDT&limit=2") == [104, 105]
    assert ids("trades?symbol=BTCUSDT&limit=2") == [104, 105]
    assert ids("trades?symbol=BTCUSDT&limit=5000") == [100, 101, 102, 103, 104, 105]


def test_history_contains_only_sent_trades() -> None:
    assert ids("trades?symbol=BTCUSDT", position=3) == [100, 101, 102]
    assert ids("historicalTrades?symbol=BTCUSDT&fromId=102", position=3) == [102]
    assert get("aggTrades?symbol=BTCUSDT", position=0) == []
    assert get("klines?symbol=BTCUSDT&interval=1m", position=0) == []


def test_aggregates_join_what_one_order_traded_at_one_price() -> None:
    found = get("aggTrades?symbol=BTCUSDT")
    assert found[0] == {
        "a": 1,
        "p": "10.00000000",
        "q": "1.50000000",
        "f": 100,
        "l": 101,
        "T": START_MS + 100,
        "m": True,
        "M": True,
    }
    assert [aggregate["a"] for aggregate in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("fromId=2&limit=2", [2, 3]),
        ("limit=2", [4, 5]),
        (f"startTime={START_MS + 200}&endTime={START_MS + 59_999}", [2, 3]),
        (f"startTime={(START_MS + 200) * 1000}&endTime={(START_MS + 59_999) * 1000}", [2, 3]),
        (f"startTime={START_MS}&limit=2", [1, 2]),
        (f"endTime={START_MS + 180_000}&limit=2", [3, 4]),
    ],
)
def test_aggregates_are_found_by_number_and_by_time(query: str, numbers: list[int]) -> None:
    assert [found["a"] for found in get(f"aggTrades?symbol=BTCUSDT&{query}")] == numbers


def test_a_kline_is_encoded_as_by_the_venue_and_quiet_minutes_repeat_the_close() -> None:
    first, second, third, last = get("klines?symbol=BTCUSDT&interval=1m")
    assert first == [
        START_MS,
        "10.00000000",
        "12.50000000",
        "9.00000000",
        "9.00000000",
        "3.50000001",
        START_MS + 59_999,
        "40.00000009",
        4,
        "2.00000000",
        "25.00000000",
        "0",
    ]
    assert second[:6] == [START_MS + 60_000, *["9.00000000"] * 4, "0.00000000"]
    assert third[0] == START_MS + 120_000
    assert third[7:] == ["0.00000000", 0, "0.00000000", "0.00000000", "0"]
    assert last[:6] == [START_MS + 180_000, *["11.00000000"] * 4, "4.00000000"]


@pytest.mark.parametrize(
    ("query", "minutes"),
    [
        ("limit=2", [2, 3]),
        (f"startTime={START_MS + 1}&limit=2", [1, 2]),
        (f"endTime={START_MS + 119_999}&limit=1", [1]),
        (f"startTime={START_MS}&endTime={START_MS + 60_000}", [0, 1]),
        (f"startTime={START_MS * 1000}&endTime={(START_MS + 60_000) * 1000}", [0, 1]),
        (f"startTime={START_MS + 240_000}", []),
        (f"endTime={START_MS - 1}", []),
    ],
)
def test_klines_are_chosen_by_open_time(query: str, minutes: list[int]) -> None:
    found = get(f"klines?symbol=BTCUSDT&interval=1m&{query}")
    assert [(row[0] - START_MS) // 60_000 for row in found] == minutes


def test_a_quiet_first_kline_takes_the_close_before_the_page() -> None:
    (row,) = get(f"klines?symbol=BTCUSDT&interval=1m&startTime={START_MS + 60_000}&limit=1")
    assert row[4] == "9.00000000"


def test_klines_of_all_intervals_hold_the_same_trades() -> None:
    for interval in (
        "1s",
        "1m",
        "3m",
        "5m",
        "15m",
        "30m",
        "1h",
        "2h",
        "4h",
        "6h",
        "8h",
        "12h",
        "1d",
        "3d",
        "1w",
    ):
        rows = get(f"klines?symbol=BTCUSDT&interval={interval}")
        assert sum(row[8] for row in rows) == len(TRADES)
        assert sum(Decimal(row[5]) for row in rows) == sum(Decimal(size) for _, _, size, _ in TRADES)


def test_times_are_in_microseconds_on_request() -> None:
    (row,) = get("klines?symbol=BTCUSDT&interval=1d", micro=True)
    assert row[6] - row[0] == 24 * 60 * MINUTE_US - 1
    assert get("trades?symbol=BTCUSDT&limit=1", micro=True)[0]["time"] == (START_MS + 180_500) * 1000


def test_exchange_info_names_the_symbols_and_their_grid() -> None:
    (symbol,) = get("exchangeInfo")["symbols"]
    assert (symbol["symbol"], symbol["status"]) == ("BTCUSDT", "TRADING")
    assert (symbol["baseAsset"], symbol["quoteAsset"]) == ("BTC", "USDT")
    filters = {each["filterType"]: each for each in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert get("exchangeInfo?symbol=BTCUSDT")["symbols"] == [symbol]
    assert get(f"exchangeInfo?symbols={quote(json.dumps(['BTCUSDT']))}")["symbols"] == [symbol]


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("trades?symbol=NOSUCH", -1121, "Invalid symbol."),
        ("exchangeInfo?symbol=NOSUCH", -1121, "Invalid symbol."),
        ('exchangeInfo?symbols=["BTCUSDT","NOSUCH"]', -1121, "Invalid symbol."),
        ("trades?symbol=btcusdt", -1100, "Illegal characters found in parameter 'symbol'; legal range is "),
        ("exchangeInfo?symbols=BTCUSDT", -1100, "Illegal characters found in parameter 'symbols'; "),
        ("trades?symbol=BTCUSDT&limit=ten", -1100, "Illegal characters found in parameter 'limit'; "),
        ("trades?symbol=BTCUSDT&limit=-1", -1100, "Illegal characters found in parameter 'limit'; "),
        ("trades?symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("trades", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("trades?symbol=", -1105, "Parameter 'symbol' was empty."),
        ("klines?symbol=BTCUSDT", -1102, "Mandatory parameter 'interval' was not sent, "),
        ("klines?symbol=BTCUSDT&interval=7m", -1120, "Invalid interval."),
        ("klines?symbol=BTCUSDT&interval=1M", -1120, "Invalid interval."),
        ("trades?symbol=BTCUSDT&symbol=BTCUSDT", -1101, "Duplicate values for a parameter detected."),
        ("ping?a=1", -1101, "Too many parameters; expected '0' and received '1'."),
        (
            "trades?symbol=BTCUSDT&colour=red",
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
        ),
        (
            "aggTrades?symbol=BTCUSDT&fromId=1&startTime=1",
            -1128,
            "Combination of optional parameters invalid.",
        ),
    ],
)
def test_bad_requests_get_the_venues_codes(path: str, code: int, message: str) -> None:
    found = answer(path)
    assert found.status == 400
    error = json.loads(found.body)
    assert error["code"] == code
    assert error["msg"].startswith(message)


def test_what_is_not_there_has_no_answer() -> None:
    assert open_rest(stopped()).get("/api/v3/order", {}, 0) is None


def test_weight_is_counted_by_the_minute_and_refused_above_the_limit() -> None:
    now_us = 30_000_000
    rest = BinanceRest(stopped(), replace(SandboxBinance.limits, requests=51), lambda: now_us)

    def status(path: str) -> tuple[int, str]:
        found = rest.get(f"/api/v3/{path}", {}, 0)
        assert found is not None
        return found.status, found.headers["X-MBX-USED-WEIGHT-1M"]

    assert status("time") == (200, "1")
    assert status("trades?symbol=BTCUSDT") == (200, "26")
    assert status("historicalTrades?symbol=NOSUCH") == (400, "51")
    refused = rest.get("/api/v3/ping", {}, 0)
    assert refused is not None
    assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
    assert json.loads(refused.body)["code"] == -1003
    now_us += 30_000_000
    assert status("ping") == (200, "1")
