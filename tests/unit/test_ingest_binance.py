"""Binance's frames: trades, what is no trade, and what is broken."""

import pytest

from ingest.venues.binance import parse_trades, stream_url
from tickplant.errors import PoisonError
from tickplant.market import Trade

ENVELOPED = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
BARE = ENVELOPED.partition(b'"data":')[2][:-1]


def test_a_trade_is_taken_as_the_venue_wrote_it() -> None:
    expected = Trade(
        "binance",
        "BTCUSDT",
        3735683259,
        "61837.63000000",
        "0.02000000",
        "sell",  # the buyer was the maker
        1723161255342000,
        7,
    )
    assert list(parse_trades(ENVELOPED, 7)) == [expected]
    assert list(parse_trades(BARE, 7)) == [expected]


def test_times_in_microseconds_are_recognised() -> None:
    (trade,) = parse_trades(BARE.replace(b"1723161255342", b"1723161255342042"), 7)
    assert trade.event_time_us == 1723161255342042


@pytest.mark.parametrize(
    "frame",
    [
        b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"1","a":"2","A":"3"}}',
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}',
        b'{"e":"24hrTicker","s":"BTCUSDT","p":"-1.5","q":"3","T":0}',
        b'{"e":"kline","s":"BTCUSDT","k":{"t":1,"T":2}}',
        b'{"e":"odd","t":"not a number","p":1.5,"m":"x"}',
        b'{"lastUpdateId":160,"bids":[["1","2"]],"asks":[]}',
        b'{"result":null,"id":1}',
    ],
)
def test_a_frame_that_is_no_trade_is_ignored(frame: bytes) -> None:
    assert list(parse_trades(frame, 7)) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"e":"trade"', "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"trade"', "not a JSON object"),
        (BARE.replace(b'"61837.63000000"', b"61837.63"), "another shape"),
        (BARE.replace(b'"61837.63000000"', b'"NaN"'), "price"),
        (BARE.replace(b'"61837.63000000"', b'"-1"'), "price"),
        (BARE.replace(b'"0.02000000"', b'""'), "size"),
        (BARE.replace(b'"0.02000000"', b'"' + b"9" * 41 + b'"'), "size"),
        (BARE.replace(b'"t":3735683259,', b""), "without its id"),
        (BARE.replace(b"3735683259", b"-1"), "another shape"),
        (BARE.replace(b"3735683259", b"99999999999999999999"), "another shape"),
        (BARE.replace(b"1723161255342", b"0"), "without its id, symbol, time"),
        (BARE.replace(b'"m":true,', b""), "side"),
        (BARE.replace(b'"BTCUSDT"', b'""'), "symbol"),
        (b'{"stream":"x@trade","data":5}', "another shape"),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', "reports an error"),
        (b'{"code":-1003,"msg":"Too many requests"}', "reports an error"),
    ],
)
def test_a_broken_frame_is_refused_with_its_reason(frame: bytes, reason: str) -> None:
    with pytest.raises(PoisonError, match=reason):
        parse_trades(frame, 7)


def test_the_address_asks_for_all_symbols_in_microseconds() -> None:
    assert stream_url("wss://host:9443", ["BTCUSDT", "ETHUSDT"]) == (
        "wss://host:9443/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND"
    )
