"""Coinbase Exchange as it documents itself: subscriptions, heartbeats, last matches, and REST."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from sandbox_tape import Stopped, make_tape

from sandbox.coinbase.frames import encode_match
from sandbox.coinbase.session import CoinbaseSession
from sandbox.coinbase.venue import SandboxCoinbase
from sandbox.tape import Tape
from sandbox.venue import Answer, BadAddressError
from tickplant.errors import PoisonError
from tickplant.intervals import MINUTE_US
from tickplant.market import Trade

START_US = 1_783_465_080_000_000  # a full minute
COINBASE = SandboxCoinbase()

TRADES = [  # microseconds after the start, price, size, the taker's side
    (0, "63514.6", "0.2", "buy"),
    (1, "63519.28", "0.00015721", "sell"),
    (59_999_999, "63510", "1", "buy"),
    (60_000_000, "63511.5", "0.5", "buy"),
    (180_000_000, "63500", "2", "sell"),
]


def trade(trade_id: int, after_us: int = 0, price: str = "1.5", size: str = "2", side: Any = "buy") -> Trade:
    time_us = START_US + after_us
    return Trade("coinbase", "BTC-USD", trade_id, price, size, side, time_us, time_us)


def tape() -> Tape:
    return make_tape(COINBASE, (trade(number, *fields) for number, fields in enumerate(TRADES, 100)))


def open_session(market: Stopped | None = None) -> CoinbaseSession:
    market = market or Stopped(tape())
    return CoinbaseSession(market, market.now_us)


def request(session: CoinbaseSession, **request: Any) -> list[Any]:
    return [json.loads(text) for text in session.receive(json.dumps(request))]


def get(path: str, market: Stopped | None = None) -> Answer:
    market = market or Stopped(tape())
    answer = COINBASE.open_rest(market, COINBASE.limits, lambda: 0).get(path, {}, market.now_us())
    assert answer is not None
    return answer


def read(path: str) -> Any:
    answer = get(path)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_a_match_tells_the_makers_side_and_a_trade_has_the_takers() -> None:
    frame = (
        b'{"type":"match","trade_id":1052119289,"maker_order_id":"15bc13f2-e38c-4693-8c0b-e8c6152b9c1d",'
        b'"taker_order_id":"13d7d08f-7396-421b-9dba-94eac92f3d78","side":"sell","size":"0.2",'
        b'"price":"63514.6","product_id":"BTC-USD","sequence":132235026010,"time":"2026-07-07T22:58:17.164892Z"}'
    )
    parsed = COINBASE.parse_frame(frame, 7)
    assert parsed is not None
    expected = Trade("coinbase", "BTC-USD", 1052119289, "63514.6", "0.2", "buy", 1_783_465_097_164_892, 7)
    assert (parsed.stream, parsed.text, parsed.trades, parsed.historical) == (
        "BTC-USD",
        frame,
        (expected,),
        False,
    )
    (encoded,) = COINBASE.read_trades(encode_match("BTC-USD", 5, "1.5", "2", "sell", START_US).encode())
    assert encoded == trade(5, side="sell")
    assert json.loads(encode_match("BTC-USD", 5, "1.5", "2", "sell", START_US))["side"] == "buy"


def test_what_belonged_to_the_recording_connection_is_not_played() -> None:
    for text in (
        '{"type":"subscriptions","channels":[]}',
        '{"type":"heartbeat","last_trade_id":5,"product_id":"BTC-USD","sequence":1,"time":"2026-07-07T22:58:18Z"}',
        '{"type":"error","message":"Failed to subscribe"}',
    ):
        assert COINBASE.parse_frame(text.encode(), 0) is None
    last = COINBASE.parse_frame(
        encode_match("BTC-USD", 5, "1.5", "2", "buy", START_US, kind="last_match").encode(), 0
    )
    assert last is not None
    assert last.historical
    book = COINBASE.parse_frame(
        b'{"type":"l2update","product_id":"BTC-USD","time":"2026-07-07T22:58:18Z"}', 0
    )
    assert book is not None
    assert (book.stream, book.trades) == ("BTC-USD", ())


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"type":"match"}',
        encode_match("BTC-USD", 5, "1e5", "2", "buy", START_US),
        encode_match("BTC-USD", 5, "1", "2", "buy", START_US).replace('"sell"', '"neither"'),
        encode_match("BTC-USD", 5, "1", "2", "buy", START_US).replace('"trade_id":5', '"trade_id":"5"'),
    ],
)
def test_a_broken_frame_is_refused(text: str) -> None:
    with pytest.raises(PoisonError):
        COINBASE.parse_frame(text.encode(), 0)


def test_a_subscription_is_confirmed_whole_and_followed_by_the_last_match() -> None:
    session = open_session(Stopped(tape(), 3))
    answers = request(session, type="subscribe", product_ids=["BTC-USD"], channels=["matches", "heartbeat"])
    assert answers[0] == {
        "type": "subscriptions",
        "channels": [
            {"name": "matches", "product_ids": ["BTC-USD"], "account_ids": None},
            {"name": "heartbeat", "product_ids": ["BTC-USD"], "account_ids": None},
        ],
    }
    (last,) = answers[1:]
    assert (last["type"], last["trade_id"], last["side"]) == ("last_match", 102, "sell")
    assert session.view.streams == {"BTC-USD"}
    again = request(session, type="subscribe", channels=[{"name": "matches", "product_ids": ["BTC-USD"]}])
    assert [each["type"] for each in again] == ["subscriptions"]


def test_there_is_no_last_match_before_the_first_trade() -> None:
    session = open_session(Stopped(tape(), 0))
    answers = request(session, type="subscribe", product_ids=["BTC-USD"], channels=["matches"])
    assert [each["type"] for each in answers] == ["subscriptions"]


def test_a_recorded_last_match_is_the_last_match_of_the_tapes_start() -> None:
    made = tape()
    earlier = COINBASE.parse_frame(
        encode_match("ETH-USD", 9, "1.5", "2", "buy", START_US, kind="last_match").encode(), 0
    )
    assert earlier is not None
    made.add(earlier, 0)
    answers = request(
        open_session(Stopped(made, 0)), type="subscribe", product_ids=["ETH-USD"], channels=["matches"]
    )
    assert [(each["type"], each.get("trade_id")) for each in answers][1:] == [("last_match", 9)]


def test_heartbeats_come_for_their_products_with_the_venues_time() -> None:
    session = open_session(Stopped(tape(), 2))
    assert not session.beat(quiet=True)
    request(session, type="subscribe", product_ids=["BTC-USD"], channels=["heartbeat"])
    assert not session.view.streams
    (text,) = session.beat(quiet=False)
    assert json.loads(text) == {
        "type": "heartbeat",
        "last_trade_id": 101,
        "product_id": "BTC-USD",
        "sequence": 101,
        "time": "2026-07-07T22:58:00.000001Z",
    }


def test_subscriptions_end_by_product_or_by_channel() -> None:
    session = open_session()
    request(session, type="subscribe", product_ids=["BTC-USD"], channels=["matches", "heartbeat"])
    (answer,) = request(session, type="unsubscribe", channels=["heartbeat"])
    assert [channel["name"] for channel in answer["channels"]] == ["matches"]
    (answer,) = request(session, type="unsubscribe", product_ids=["BTC-USD"], channels=["matches"])
    assert answer["channels"] == []
    assert not session.view.streams


@pytest.mark.parametrize(
    ("request_text", "message", "reason"),
    [
        ("nonsense", "Malformed JSON", "JSON is malformed"),
        ('{"type":"jump"}', "Malformed JSON", "jump is not a valid type"),
        ('{"type":"subscribe","product_ids":["BTC-USD"]}', "Failed to subscribe", "No channels provided"),
        (
            '{"type":"subscribe","product_ids":["BTC-USD","ABC-USD"],"channels":["matches"]}',
            "Failed to subscribe",
            "ABC-USD is not a valid product",
        ),
        (
            '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["trades"]}',
            "Failed to subscribe",
            "trades is not a valid channel",
        ),
        (
            '{"type":"subscribe","channels":["matches"]}',
            "Failed to subscribe",
            "You need to specify at least one product ID for channel matches",
        ),
    ],
)
def test_a_message_with_anything_wrong_changes_nothing(request_text: str, message: str, reason: str) -> None:
    session = open_session()
    (answer,) = session.receive(request_text)
    error = json.loads(answer)
    assert (error["type"], error["message"]) == ("error", message)
    assert error["reason"].startswith(reason)
    assert not session.view.streams


def test_a_subscription_can_be_refused_and_nothing_else() -> None:
    session = open_session()
    request = '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}'
    answers = session.refuse(request) or []
    assert [json.loads(each)["message"] for each in answers] == ["Failed to subscribe"]
    assert session.refuse(request.replace("subscribe", "unsubscribe")) is None
    assert session.refuse("nonsense") is None


def test_the_feed_has_one_address() -> None:
    market = Stopped(tape())
    COINBASE.open_session("/", market, market.now_us)
    with pytest.raises(BadAddressError):
        COINBASE.open_session("/v2", market, market.now_us)


def test_trades_come_newest_first_with_cursors() -> None:
    answer = get("/products/BTC-USD/trades?limit=2")
    page = json.loads(answer.body)
    assert [each["trade_id"] for each in page] == [104, 103]
    assert page[0] == {
        "trade_id": 104,
        "side": "buy",
        "size": "2.00000000",
        "price": "63500.00000000",
        "time": "2026-07-07T23:01:00.000000Z",
    }
    assert (answer.headers["CB-BEFORE"], answer.headers["CB-AFTER"]) == ("104", "103")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [104, 103, 102, 101, 100]),
        ("limit=9999", [104, 103, 102, 101, 100]),
        ("after=103", [102, 101, 100]),
        ("after=103&limit=2", [102, 101]),
        ("after=100", []),
        ("before=102", [104, 103]),
        ("before=100&limit=2", [104, 103]),
        ("before=100&after=103", [102, 101]),
    ],
)
def test_cursors_lead_to_older_and_newer_trades(query: str, ids: list[int]) -> None:
    assert [each["trade_id"] for each in read(f"/products/BTC-USD/trades?{query}")] == ids


def test_pages_by_cursor_are_the_whole_history() -> None:
    found: list[int] = []
    query = ""
    while page := read(f"/products/BTC-USD/trades?limit=2{query}"):
        found += [each["trade_id"] for each in page]
        query = f"&after={page[-1]['trade_id']}"
    assert found == [104, 103, 102, 101, 100]


def test_candles_are_those_of_intervals_with_trades() -> None:
    assert read("/products/BTC-USD/candles?granularity=60") == [
        [1_783_465_260, 63500, 63500, 63500, 63500, 2],
        [1_783_465_140, 63511.5, 63511.5, 63511.5, 63511.5, 0.5],
        [1_783_465_080, 63510, 63519.28, 63514.6, 63510, 1.20015721],
    ]
    query = "granularity=60&start=2026-07-07T22:59:00Z&end=1783465140"
    assert [row[0] for row in read(f"/products/BTC-USD/candles?{query}")] == [1_783_465_140]


def test_products_and_time() -> None:
    (product,) = read("/products")
    assert product == read("/products/BTC-USD")
    assert (product["id"], product["base_currency"], product["quote_increment"]) == ("BTC-USD", "BTC", "0.01")
    assert read("/time") == {"iso": "2026-07-07T23:01:00.000000Z", "epoch": 1_783_465_260}


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/products/ABC-USD/trades", 404, "NotFound"),
        ("/products/BTC-USD/nothing", 404, "NotFound"),
        ("/products/BTC-USD/trades?limit=x", 400, "Invalid limit"),
        ("/products/BTC-USD/trades?after=-5", 400, "Invalid after"),
        ("/products/BTC-USD/candles?granularity=61", 400, "Unsupported granularity"),
        ("/products/BTC-USD/candles?start=yesterday", 400, "Invalid start"),
        ("/products/BTC-USD/candles?start=0&end=1783465140", 400, "granularity too small"),
    ],
)
def test_errors_have_a_message(path: str, status: int, message: str) -> None:
    answer = get(path)
    assert answer.status == status
    assert json.loads(answer.body)["message"].startswith(message)


def test_requests_are_counted_and_refused_above_the_limit() -> None:
    market = Stopped(tape())
    limits = replace(COINBASE.limits, requests=2, requests_window_s=1)
    now_us = 5 * MINUTE_US
    rest = COINBASE.open_rest(market, limits, lambda: now_us)

    def status() -> int:
        answer = rest.get("/time", {}, 0)
        assert answer is not None
        return answer.status

    assert [status() for _ in range(3)] == [200, 200, 429]
    now_us += 1_000_000
    assert status() == 200


def test_there_is_history_to_switch_off() -> None:
    assert COINBASE.is_history("/products/BTC-USD/trades")
    assert COINBASE.is_history("/products/BTC-USD/candles")
    assert not COINBASE.is_history("/products/BTC-USD")
    assert not COINBASE.is_history("/time")
