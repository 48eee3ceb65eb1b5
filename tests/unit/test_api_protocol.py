"""What is said on a websocket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as WebsocketFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from api.live.protocol import (
    Channel,
    ProtocolError,
    Request,
    encode,
    parse_request,
    request_id,
    split_channel,
)


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
def test_wrong_requests_are_told_apart(text: str | bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_request(text)
    assert caught.value.code == code


def test_a_request_is_read() -> None:
    text = '{"op": "subscribe", "id": "a", "channels": ["price:X"], "since": {"price:X": "0.1-1"}, "more": 1}'
    assert parse_request(text) == Request("subscribe", "a", ["price:X"], {"price:X": "0.1-1"})


def test_the_id_of_a_wrong_request_is_given_back() -> None:
    assert request_id('{"op": 5, "id": 7}') == 7
    assert request_id('{"op": 5, "id": []}') is None
    assert request_id("[7]") is None
    assert request_id("{") is None


def test_channels_are_split() -> None:
    assert split_channel("price:binance:BTCUSDT") == ("price", "binance:BTCUSDT", "")
    assert split_channel("trades:BTCUSDT") == ("trades", "BTCUSDT", "")
    assert split_channel("gaps:kraken:BTC/USD") == ("gaps", "kraken:BTC/USD", "")
    assert split_channel("gaps") == ("gaps", "", "")
    assert split_channel("candles:binance:BTCUSDT:1m") == ("candles", "binance:BTCUSDT", "1m")
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
        ("trades", "unknown_channel"),
        ("candles:BTCUSDT:2m", "unknown_interval"),
        ("candles:BTCUSDT:1s", "unknown_interval"),
    ],
)
def test_other_channels_are_refused(name: str, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        split_channel(name)
    assert caught.value.code == code


@given(st.one_of(st.text(max_size=300), st.sampled_from(["x" * 65_533, "x" * 65_534, "x" * 70_000])))
def test_frames_are_what_websockets_expect(text: str) -> None:
    reader = StreamReader()
    reader.feed_data(encode(text).data)
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
