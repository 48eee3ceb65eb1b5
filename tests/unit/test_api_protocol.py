"""What is said on a websocket."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from websockets.frames import Frame as WebsocketFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from api.live.channel_names import parse_channel
from api.live.frames import text_frame
from api.live.protocol import Channel, Op, ProtocolError, Request, Update, parse_request, request_id
from api.views.alerts import FiringView
from api.views.bot import AccountView
from api.views.candles import CandleView
from api.views.connections import ConnectionView
from api.views.gaps import GapView
from api.views.stats import ChangeView
from api.views.trades import TradeView
from tickplant.derived import SignalView, Unified


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed"),
        ("{", "malformed"),
        (b"\xff", "malformed"),
        ("[]", "invalid_request"),
        ("{}", "invalid_request"),
        ('{"op": 1}', "invalid_request"),
        ('{"op": "subscribe", "channels": "price:X"}', "invalid_request"),
        ('{"op": "subscribe", "channels": ["price:X"], "since": 5}', "invalid_request"),
    ],
)
def test_invalid_requests_are_distinguished(text: str | bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_request(text)
    assert caught.value.code == code


def test_a_request_is_read() -> None:
    text = '{"op": "subscribe", "id": "a", "channels": ["price:X"], "since": {"price:X": "0.1-1"}, "more": 1}'
    assert parse_request(text) == Request("subscribe", "a", ["price:X"], {"price:X": "0.1-1"})


def test_the_answer_to_an_invalid_request_repeats_its_id() -> None:
    assert request_id('{"op": 5, "id": 7}') == 7
    assert request_id('{"op": 5, "id": []}') is None
    assert request_id("[7]") is None
    assert request_id("{") is None


def test_channels_are_split() -> None:
    assert parse_channel("price:binance:BTCUSDT") == ("price", "binance:BTCUSDT", "")
    assert parse_channel("trades:BTCUSDT") == ("trades", "BTCUSDT", "")
    assert parse_channel("gaps:kraken:BTC/USD") == ("gaps", "kraken:BTC/USD", "")
    assert parse_channel("gaps") == ("gaps", "", "")
    assert parse_channel("bot") == ("bot", "", "")
    assert parse_channel("signals:BTCUSDT") == ("signals", "BTCUSDT", "")
    assert parse_channel("candles:binance:BTCUSDT:1m") == ("candles", "binance:BTCUSDT", "1m")
    assert str(Channel("candles", "binance", "BTCUSDT", "1m")) == "candles:binance:BTCUSDT:1m"
    assert str(Channel("price", "binance", "BTCUSDT")) == "price:binance:BTCUSDT"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "unknown_channel"),
        ("price", "unknown_channel"),
        ("price:", "unknown_channel"),
        ("books:BTCUSDT", "unknown_channel"),
        ("candles:BTCUSDT", "unknown_channel"),
        ("gaps:", "unknown_channel"),
        ("bot:", "unknown_channel"),
        ("unified", "unknown_channel"),
        ("candles::1m", "unknown_channel"),
        ("trades", "unknown_channel"),
        ("candles:BTCUSDT:2m", "unknown_interval"),
        ("candles:BTCUSDT:1s", "unknown_interval"),
    ],
)
def test_other_channels_are_refused(name: str, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_channel(name)
    assert caught.value.code == code


def test_the_error_for_an_unknown_channel_names_every_form() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_channel("books:BTCUSDT")
    for form in ("price:SYMBOL", "candles:SYMBOL:INTERVAL", "wildcards are", "price:*", "candles:*:INTERVAL"):
        assert form in str(caught.value)


@given(st.one_of(st.text(max_size=300), st.sampled_from(["x" * 65_533, "x" * 65_534, "x" * 70_000])))
def test_frames_are_what_websockets_expect(text: str) -> None:
    reader = StreamReader()
    reader.feed_data(text_frame(text).data)
    parser = WebsocketFrame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stopped:
        next(parser)
    frame = stopped.value.value
    assert (frame.opcode, frame.fin) == (Opcode.TEXT, True)
    assert json.loads(frame.data) == text


def test_a_message_nested_too_deeply_is_refused_like_any_other() -> None:
    deep = "[" * 20_000
    with pytest.raises(ProtocolError):
        parse_request(deep)
    assert request_id(deep) is None


DOCUMENT = Path(__file__).parents[2] / "docs" / "websocket.md"
EXAMPLES = re.findall(r"^\{.*\}$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
DATA: dict[str, Any] = {
    "price": TradeView,
    "candle": CandleView,
    "gap": GapView,
    "signal": SignalView,
    "firing": FiringView,
    "account": AccountView,
    "unified": Unified,
    "stats": ChangeView,
    "connections": list[ConnectionView],
}


@pytest.mark.parametrize("text", [text for text in EXAMPLES if '"op":' in text and '"type":' not in text])
def test_requests_of_the_document_are_understood(text: str) -> None:
    request = parse_request(text)
    assert request.op in get_args(Op)
    for channel in request.channels:
        parse_channel(channel)


@pytest.mark.parametrize("text", [text for text in EXAMPLES if '"data":' in text])
def test_messages_of_the_document_have_the_fields_that_are_sent(text: str) -> None:
    message = json.loads(text)
    kind = message["type"] if message["type"] != "snapshot" else parse_channel(message["channel"])[0]
    data = msgspec.convert(message["data"], DATA[kind])
    assert msgspec.to_builtins(data) == message["data"]
    if message["type"] != "snapshot":
        update = Update(message["type"], message["channel"], message.get("cursor", UNSET), data)
        assert msgspec.json.decode(msgspec.json.encode(update)) == message


def test_the_document_shows_a_message_of_every_type() -> None:
    shown = {json.loads(text).get("type") for text in EXAMPLES} - {None}
    assert shown == {*DATA, "ack", "snapshot", "error"}
