"""Kraken as it documents itself: subscriptions, snapshots, heartbeats, and REST."""

import json
from typing import Any

import pytest
from sandbox_tape import Stopped, make_tape

from sandbox.frames import View
from sandbox.kraken.frames import encode_row, wrap
from sandbox.kraken.rest import rest_name
from sandbox.kraken.session import KrakenSession
from sandbox.kraken.venue import SandboxKraken
from sandbox.tape import Tape
from sandbox.times import rfc3339
from sandbox.venue import BadAddressError, SyntheticTrade, ViewFit
from tickplant.errors import PoisonError
from tickplant.market import Trade

START_US = 1_688_669_580_000_000  # a full minute
KRAKEN = SandboxKraken()

SAMPLE = (
    b'{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,'
    b'"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
)


def trade(trade_id: int, after_us: int, symbol: str = "BTC/USD", side: Any = "buy") -> Trade:
    time_us = START_US + after_us
    return Trade("kraken", symbol, trade_id, "30243.4", "0.34507674", side, time_us, time_us)


def tape(count: int = 60) -> Tape:
    trades = [trade(number, number * 1_000_000 + 5) for number in range(1, count + 1)]
    return make_tape(KRAKEN, [*trades, trade(7, 61_000_000, "DOGE/EUR", "sell")])


def open_session(market: Stopped | None = None) -> KrakenSession:
    market = market or Stopped(tape())
    return KrakenSession(market, market.now_us)


def request(session: KrakenSession, method: str, req_id: int | None = None, **params: Any) -> list[Any]:
    request = {"method": method, "params": params} | ({} if req_id is None else {"req_id": req_id})
    return [json.loads(text) for text in session.receive(json.dumps(request))]


def read(path: str, market: Stopped | None = None) -> Any:
    market = market or Stopped(tape())
    answer = KRAKEN.open_rest(market, KRAKEN.limits, lambda: 0).get(path, {}, market.now_us())
    assert answer is not None
    assert answer.status == 200
    return json.loads(answer.body)


def test_a_frame_has_trades_with_their_numbers_own_text() -> None:
    parsed = KRAKEN.parse_frame(SAMPLE.replace(b"40.0", b"4.00e-7"), 9)
    assert parsed is not None
    time_us = 1_695_628_177_708_706
    expected = Trade("kraken", "MATIC/USD", 4_665_906, "0.5117", "0.000000400", "sell", time_us, 9)
    assert parsed.trades == (expected,)
    assert (parsed.stream, parsed.event_time_us, parsed.historical) == ("MATIC/USD", time_us, False)
    snapshot = KRAKEN.parse_frame(SAMPLE.replace(b'"update"', b'"snapshot"'), 9)
    assert snapshot is not None
    assert snapshot.historical


@pytest.mark.parametrize("text", ['{"channel":"heartbeat"}', '{"method":"subscribe","success":true}'])
def test_what_belonged_to_the_recording_connection_is_not_played(text: str) -> None:
    assert KRAKEN.parse_frame(text.encode(), 0) is None


@pytest.mark.parametrize(
    "broken", [SAMPLE[:-9], SAMPLE.replace(b'"sell"', b"null"), SAMPLE.replace(b"0.5117", b'"x"')]
)
def test_a_broken_frame_is_refused(broken: bytes) -> None:
    with pytest.raises(PoisonError):
        KRAKEN.parse_frame(broken, 0)


def test_an_orders_trades_are_one_frame() -> None:
    order = [SyntheticTrade(0, number, "1.5", "0.25", "sell") for number in (5, 6)]
    (text,) = KRAKEN.encode_order("BTC/USD", order, START_US)
    found = [(each.trade_id, each.price, each.size, each.side) for each in KRAKEN.read_trades(text)]
    assert found == [(5, "1.5", "0.25", "sell"), (6, "1.5", "0.25", "sell")]


def test_a_frame_of_several_symbols_is_cut_to_those_asked_for() -> None:
    rows = [
        encode_row(symbol, number, "0.10", "2", "buy", rfc3339(START_US))
        for number, symbol in enumerate(("BTC/USD", "ETH/USD", "BTC/USD"))
    ]
    parsed = KRAKEN.parse_frame(wrap(rows, "update").encode(), 0)
    assert parsed is not None
    assert parsed.stream == "BTC/USD ETH/USD"
    view = View(frozenset({"BTC/USD"}))
    assert KRAKEN.fit(parsed.stream, view) is ViewFit.STYLED
    assert KRAKEN.style(parsed.text, parsed.stream, view) == wrap((rows[0], rows[2]), "update").encode()
    assert KRAKEN.fit(parsed.stream, View(frozenset({"BTC/USD", "ETH/USD"}))) is ViewFit.AS_IT_LIES
    assert KRAKEN.fit(parsed.stream, View(frozenset({"ADA/USD"}))) is ViewFit.NONE


def test_each_symbol_is_acknowledged_and_a_snapshot_follows_if_asked_for() -> None:
    session = open_session()
    assert json.loads(session.greet()[0])["data"][0]["system"] == "online"
    answers = request(session, "subscribe", 5, channel="trade", symbol=["BTC/USD", "XBT/USD", "DOGE/EUR"])
    assert [(each["success"], each.get("error")) for each in answers] == [
        (True, None),
        (False, "Currency pair not supported XBT/USD"),
        (True, None),
    ]
    assert answers[0] == {
        "method": "subscribe",
        "result": {"channel": "trade", "snapshot": False, "symbol": "BTC/USD"},
        "success": True,
        "time_in": "2023-07-06T18:54:01.000000Z",
        "time_out": "2023-07-06T18:54:01.000000Z",
        "req_id": 5,
    }
    assert session.view.streams == {"BTC/USD", "DOGE/EUR"}
    (again,) = request(session, "subscribe", channel="trade", symbol=["BTC/USD"])
    assert again["error"] == "Already subscribed"


def test_a_snapshot_has_the_latest_fifty_trades_oldest_first() -> None:
    session = open_session()
    answer, snapshot = request(session, "subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True)
    assert answer["result"]["snapshot"]
    assert (snapshot["channel"], snapshot["type"]) == ("trade", "snapshot")
    assert [row["trade_id"] for row in snapshot["data"]] == list(range(11, 61))
    early = open_session(Stopped(tape(), 0))
    assert len(request(early, "subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True)) == 1


def test_heartbeats_fill_silence_once_something_is_subscribed_to() -> None:
    session = open_session()
    assert not session.beat(quiet=True)
    request(session, "subscribe", channel="trade", symbol=["BTC/USD"])
    assert session.beat(quiet=True) == ['{"channel":"heartbeat"}']
    assert not session.beat(quiet=False)


def test_subscriptions_end() -> None:
    session = open_session()
    request(session, "subscribe", channel="trade", symbol=["BTC/USD"])
    answers = request(session, "unsubscribe", channel="trade", symbol=["BTC/USD", "DOGE/EUR"])
    assert [each["success"] for each in answers] == [True, False]
    assert not session.view.streams


def test_other_requests_are_answered_or_refused() -> None:
    session = open_session()
    (pong,) = session.receive('{"method":"ping","req_id":3}')
    assert (json.loads(pong)["method"], json.loads(pong)["req_id"]) == ("pong", 3)
    for text in ("nonsense", '{"method":"jump"}', '{"method":"subscribe","params":{"channel":"book"}}'):
        (answer,) = session.receive(text)
        assert json.loads(answer)["success"] is False


def test_a_subscription_can_be_refused_and_nothing_else() -> None:
    session = open_session()
    request = '{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD","DOGE/EUR"]}}'
    answers = session.refuse(request) or []
    assert [(json.loads(each)["success"], json.loads(each)["symbol"]) for each in answers] == [
        (False, "BTC/USD"),
        (False, "DOGE/EUR"),
    ]
    assert session.refuse('{"method":"ping"}') is None
    assert session.refuse("nonsense") is None


def test_the_feed_is_at_v2() -> None:
    market = Stopped(tape())
    KRAKEN.open_session("/v2", market, market.now_us)
    with pytest.raises(BadAddressError):
        KRAKEN.open_session("/v1", market, market.now_us)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/USD", "XXBTZUSD"),
        ("ETH/BTC", "XETHXXBT"),
        ("DOGE/EUR", "XXDGZEUR"),
        ("ETH/USDT", "ETHUSDT"),
        ("SOL/USD", "SOLUSD"),
    ],
)
def test_rest_calls_symbols_otherwise(symbol: str, name: str) -> None:
    assert rest_name(symbol) == name


@pytest.mark.parametrize("pair", ["XBTUSD", "BTC/USD", "BTCUSD", "XBT/USD", "XXBTZUSD", "xbtusd"])
def test_a_request_may_call_a_symbol_anything(pair: str) -> None:
    result = read(f"/0/public/Trades?pair={pair}&count=1")["result"]
    assert list(result) == ["XXBTZUSD", "last"]


def test_trades_have_the_documented_form() -> None:
    assert read("/0/public/Trades?pair=XBTUSD&count=1") == {
        "error": [],
        "result": {
            "XXBTZUSD": [["30243.40000", "0.34507674", 1688669640.000005, "b", "m", "", 60]],
            "last": "1688669640000005000",
        },
    }
    (row,) = read("/0/public/Trades?pair=XDGEUR")["result"]["XXDGZEUR"]
    assert (row[3], row[6]) == ("s", 7)


def test_pages_since_the_last_are_the_whole_history() -> None:
    found: list[int] = []
    since = "0"
    while True:
        result = read(f"/0/public/Trades?pair=XBTUSD&since={since}&count=7")["result"]
        if not result["XXBTZUSD"]:
            break
        found += [row[6] for row in result["XXBTZUSD"]]
        since = result["last"]
    assert found == list(range(1, 61))
    assert result["last"] == since


def test_since_is_exclusive_and_in_seconds_or_nanoseconds() -> None:
    def first(since: int) -> int:
        return int(read(f"/0/public/Trades?pair=XBTUSD&since={since}&count=1")["result"]["XXBTZUSD"][0][6])

    exact_ns = (START_US + 5_000_005) * 1000
    assert [first(exact_ns - 1), first(exact_ns), first(exact_ns + 1)] == [5, 6, 6]
    assert first(START_US // 1_000_000 + 5) == 5


def test_candles_have_the_documented_form() -> None:
    result = read("/0/public/OHLC?pair=XBTUSD&interval=1")["result"]
    rows = result["XXBTZUSD"]
    assert [row[0] for row in rows] == [1_688_669_580, 1_688_669_640]
    assert rows[0] == [
        1_688_669_580, "30243.4", "30243.4", "30243.4", "30243.4", "30243.40000", "20.35952766", 59,
    ]  # fmt: skip
    assert result["last"] == 1_688_669_580


def test_pairs_time_and_status() -> None:
    pairs = read("/0/public/AssetPairs")["result"]
    assert list(pairs) == ["XXBTZUSD", "XXDGZEUR"]
    assert (pairs["XXBTZUSD"]["altname"], pairs["XXBTZUSD"]["wsname"]) == ("XBTUSD", "XBT/USD")
    assert read("/0/public/AssetPairs?pair=XBTUSD")["result"].keys() == {"XXBTZUSD"}
    assert read("/0/public/Time")["result"]["unixtime"] == 1_688_669_641
    assert read("/0/public/SystemStatus")["result"]["status"] == "online"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("Trades?pair=NOSUCH", "EQuery:Unknown asset pair"),
        ("Trades", "EQuery:Unknown asset pair"),
        ("Trades?pair=XBTUSD&since=x", "EGeneral:Invalid arguments:since"),
        ("Trades?pair=XBTUSD&count=1001", "EGeneral:Invalid arguments:count"),
        ("OHLC?pair=XBTUSD&interval=2", "EGeneral:Invalid arguments:interval"),
    ],
)
def test_errors_come_with_status_200(path: str, error: str) -> None:
    assert read(f"/0/public/{path}") == {"error": [error]}


def test_requests_are_counted_by_pair() -> None:
    market = Stopped(tape())
    rest = KRAKEN.open_rest(market, KRAKEN.limits, lambda: 0)

    def errors(pair: str) -> list[str]:
        answer = rest.get(f"/0/public/Trades?pair={pair}&count=1", {}, 0)
        assert answer is not None
        found: list[str] = json.loads(answer.body)["error"]
        return found

    assert [errors("XBTUSD") for _ in range(16)] == [*([[]] * 15), ["EGeneral:Too many requests"]]
    assert errors("XDGEUR") == []
