"""Binance's address and units; the contract suite has its frames."""

import pytest

from ingest.venues.base import Closing, Refused
from ingest.venues.binance import BinanceAdapter
from tickplant.errors import PoisonError

FRAME = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,'
    b'"m":true,"M":true}'
)


def test_the_address_asks_for_all_symbols_in_microseconds() -> None:
    url = BinanceAdapter().stream_url("wss://host:9443", ["BTCUSDT", "ETHUSDT"])
    assert url == "wss://host:9443/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND"


def test_history_asks_for_microseconds_as_the_stream_does() -> None:
    assert BinanceAdapter().history_headers == {"X-MBX-TIME-UNIT": "MICROSECOND"}


@pytest.mark.parametrize(
    ("told", "event_time_us"),
    [(b"1672515782136", 1672515782136000), (b"1672515782136042", 1672515782136042)],
)
def test_times_in_either_unit_are_recognised(told: bytes, event_time_us: int) -> None:
    parsed = BinanceAdapter.parse_frame(FRAME.replace(b'"T":1672515782136', b'"T":' + told), 7)
    assert isinstance(parsed, tuple)
    (trade,) = parsed
    assert trade.event_time_us == event_time_us


@pytest.mark.parametrize("frame", [b'{"result":null,"id":1}', b'{"e":"odd","t":"x","p":1.5}'])
def test_what_is_no_trade_gives_none(frame: bytes) -> None:
    assert BinanceAdapter.parse_frame(frame, 7) == ()


def test_a_shutdown_and_errors_are_notices() -> None:
    shutdown = BinanceAdapter.parse_frame(b'{"e":"serverShutdown","E":1770123456789}', 7)
    assert shutdown == Closing("the server is shutting down")
    error = BinanceAdapter.parse_frame(b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', 7)
    assert error == Refused("Invalid request (code 2)")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"stream":"x@trade","data":5}', "unexpected shape"),
        (b'{"e":"trade","s":"\xff"}', "not JSON"),
        (b'{"x":' * 100_000, "not JSON"),
    ],
)
def test_broken_frames_are_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(PoisonError, match=reason):
        BinanceAdapter.parse_frame(frame, 7)
