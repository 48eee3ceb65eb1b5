"""Websocket requests, as Binance documents their answers."""

import json
from typing import Any

import pytest

from sandbox.binance.session import BinanceSession, Style, open_session, shutdown_notice
from sandbox.frames import View
from sandbox.venue import BadAddressError


def ask(session: BinanceSession, **request: Any) -> Any:
    return answer_to(session, json.dumps(request))


def answer_to(session: BinanceSession, message: str | bytes) -> Any:
    (answer,) = session.receive(message)
    return json.loads(answer)


@pytest.mark.parametrize(
    ("path", "streams", "combined", "micro"),
    [
        ("/ws/btcusdt@trade", {"btcusdt@trade"}, False, False),
        ("/ws/btcusdt@trade/ethusdt@trade", {"btcusdt@trade", "ethusdt@trade"}, False, False),
        ("/ws", set(), False, False),
        ("/ws/", set(), False, False),
        ("/stream", set(), True, False),
        ("/stream?streams=btcusdt@trade/ethusdt@trade", {"btcusdt@trade", "ethusdt@trade"}, True, False),
        (
            "/stream?streams=btcusdt%40trade%2Fethusdt%40trade",
            {"btcusdt@trade", "ethusdt@trade"},
            True,
            False,
        ),
        ("/stream?streams=btcusdt@trade&timeUnit=MICROSECOND", {"btcusdt@trade"}, True, True),
        ("/stream?timeUnit=microsecond&streams=btcusdt@trade", {"btcusdt@trade"}, True, True),
        ("/ws/btcusdt@trade?timeUnit=MICROSECOND", {"btcusdt@trade"}, False, True),
        ("/ws/btcusdt@trade?timeUnit=MILLISECOND", {"btcusdt@trade"}, False, False),
    ],
)
def test_the_address_selects_the_streams(path: str, streams: set[str], combined: bool, micro: bool) -> None:
    assert open_session(path).view == View(frozenset(streams), Style(combined, micro))


@pytest.mark.parametrize(
    "path", ["/", "/streams", "/stream/btcusdt@trade", "/ws/a@b?timeUnit=NANOSECOND", "/w/x"]
)
def test_an_address_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(BadAddressError):
        open_session(path)


def test_subscriptions_are_added_listed_and_removed() -> None:
    session = open_session("/ws/btcusdt@trade")
    wished = ["ethusdt@trade", "btcusdt@trade", "pepeusdt@trade"]
    assert ask(session, method="SUBSCRIBE", params=wished, id=1) == {"result": None, "id": 1}
    assert ask(session, method="LIST_SUBSCRIPTIONS", id=3) == {
        "result": ["btcusdt@trade", "ethusdt@trade", "pepeusdt@trade"],
        "id": 3,
    }
    unwished = ["btcusdt@trade", "never@trade"]
    assert ask(session, method="UNSUBSCRIBE", params=unwished, id=312) == {"result": None, "id": 312}
    assert session.view.streams == {"ethusdt@trade", "pepeusdt@trade"}


@pytest.mark.parametrize("request_id", [0, -5, 2**63 - 1, "abc123", "x" * 36, None])
def test_ids_of_every_documented_kind_are_returned(request_id: int | str | None) -> None:
    session = open_session("/ws")
    assert ask(session, method="LIST_SUBSCRIPTIONS", id=request_id) == {"result": [], "id": request_id}


@pytest.mark.parametrize("request_id", [2**63, 1.5, True, [], "x" * 37, "with space"])
def test_other_ids_are_refused(request_id: Any) -> None:
    answer = ask(open_session("/ws"), method="LIST_SUBSCRIPTIONS", id=request_id)
    expected = {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}
    assert answer["error"] == expected


def test_an_id_is_mandatory() -> None:
    session = open_session("/ws")
    assert ask(session, method="SUBSCRIBE", params=["a@trade"])["error"]["code"] == 2
    assert not session.view.streams


def test_what_is_no_json_gets_its_place() -> None:
    answer = answer_to(open_session("/ws"), '{"method":')
    assert answer["error"] == {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 11"}


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ('{"params":["a@trade"],"id":1}', "missing field `method` at line 1 column 29"),
        (
            '{"method":"SUBSCRIBES","id":1}',
            "unknown variant `SUBSCRIBES`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`,"
            " `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 22",
        ),
        ('{"method":"SUBSCRIBE","params":["nonsense"],"id":1}', "invalid stream"),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', "invalid stream"),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', "invalid stream"),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', "too many parameters"),
        ('{"method":"SET_PROPERTY","params":[],"id":1}', "property name must be a string"),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', "too many parameters"),
        ('["SUBSCRIBE"]', "expected a JSON object"),
    ],
)
def test_bad_requests_get_code_2(request_text: str, message: str) -> None:
    assert answer_to(open_session("/ws"), request_text)["error"] == {
        "code": 2,
        "msg": f"Invalid request: {message}",
    }


def test_an_error_carries_the_requests_id() -> None:
    assert ask(open_session("/ws"), method="SUBSCRIBE", params=["nonsense"], id=7)["id"] == 7


def test_the_combined_property_can_be_read_and_set() -> None:
    session = open_session("/stream?streams=btcusdt@trade")
    assert ask(session, method="GET_PROPERTY", params=["combined"], id=2) == {"result": True, "id": 2}
    assert ask(session, method="SET_PROPERTY", params=["combined", False], id=5) == {"result": None, "id": 5}
    assert session.view.style == Style(combined=False, micro=False)
    assert ask(session, method="SET_PROPERTY", params=["combined", "no"], id=5)["error"]["code"] == 1
    assert ask(session, method="GET_PROPERTY", params=["other"], id=5)["error"] == {
        "code": 0,
        "msg": "Unknown property",
    }


def test_a_subscription_can_be_refused_and_nothing_else() -> None:
    session = open_session("/ws")
    answers = session.refuse('{"method":"SUBSCRIBE","params":["a@trade"],"id":4}') or []
    assert [(json.loads(each)["error"]["code"], json.loads(each)["id"]) for each in answers] == [(1, 4)]
    assert session.refuse('{"method":"LIST_SUBSCRIPTIONS","id":4}') is None
    assert session.refuse("nonsense") is None
    assert not session.view.streams


def test_the_shutdown_notice_is_wrapped_like_any_event() -> None:
    nothing: frozenset[str] = frozenset()
    event = {"e": "serverShutdown", "E": 1_770_123_456_789}
    assert json.loads(shutdown_notice(View(nothing, Style(False, False)), 1_770_123_456_789_012)) == event
    combined = json.loads(shutdown_notice(View(nothing, Style(True, True)), 1_770_123_456_789_012))
    assert combined == {"stream": "!serverShutdown", "data": {**event, "E": 1_770_123_456_789_012}}
